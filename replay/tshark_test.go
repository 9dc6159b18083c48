package replay_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/replay"
)

// tshark runs it over a capture and returns what it prints. It takes STT for
// TCP unless its heuristics are asked first.
func tshark(t *testing.T, path string, args ...string) string {
	t.Helper()
	binary, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is not installed; CI needs it as the judge of what is written")
		}
		t.Skip("tshark is not installed; it judges what is written")
	}
	cmd := exec.Command(binary, append([]string{"-r", path}, args...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v\n%s", strings.Join(args, " "), err, &complaints)
	}
	return string(out)
}

// fields has tshark print these fields of each packet of a capture.
func fields(t *testing.T, path string, options []string, names ...string) [][]string {
	t.Helper()
	args := append(options, "-T", "fields", "-E", "separator=|")
	for _, name := range names {
		args = append(args, "-e", name)
	}
	var rows [][]string
	for _, row := range strings.Split(strings.TrimSuffix(tshark(t, path, args...), "\n"), "\n") {
		rows = append(rows, strings.Split(row, "|"))
	}
	return rows
}

// asSTT are the options for STT over IPv4 and over IPv6.
var asSTT = []string{"-o", "ip.try_heuristic_first:TRUE", "-o", "ipv6.try_heuristic_first:TRUE"}

// checkOuterChecksums has tshark, which takes the packets for TCP then, verify
// the outer checksums.
func checkOuterChecksums(t *testing.T, path string, want int) {
	t.Helper()
	const good = "1"
	rows := fields(t, path, []string{"-o", "tcp.check_checksum:TRUE", "-o", "ip.check_checksum:TRUE"},
		"ip.version", "ip.checksum.status", "tcp.checksum.status")
	if len(rows) != want {
		t.Fatalf("packets written: got %d, want %d", len(rows), want)
	}
	for i, row := range rows {
		if row[2] != good || row[0] == "4" && row[1] != good {
			t.Errorf("packet %d: status of the checksums: IP %q, TCP %q; want %s", i+1, row[1], row[2], good)
		}
	}
}

// dissected is a frame as tshark sees it.
type dissected struct {
	Src, Dst                             string
	SrcPort, FrameID, FrameLength        uint64
	Flags, L4Offset, MSS, TCI, ContextID uint64
	Inner                                string // start of the SHA-256
	// BadChecksums: the inner checksums that tshark finds wrong although
	// nothing says that they are partial.
	BadChecksums string
}

// dissect returns the frames that tshark finds in a capture, in the order in
// which they become whole.
func dissect(t *testing.T, path string) []dissected {
	t.Helper()
	options := append(slices.Clip(asSTT), "-Y", "stt.context_id",
		"-o", "tcp.check_checksum:TRUE", "-o", "udp.check_checksum:TRUE")
	rows := fields(t, path, options,
		"ip.src", "ip.dst", "ipv6.src", "ipv6.dst", "frame.protocols", "stt.stream_id", "stt.pkt_id", "stt.pkt_len",
		"stt.flags", "stt.l4offset", "stt.mss", "stt.vlan", "stt.context_id",
		"tcp.checksum.status", "udp.checksum.status", "icmp.checksum.status", "icmpv6.checksum.status")
	dumps := hexDumps(t, tshark(t, path, append(slices.Clip(asSTT), "-Y", "stt.context_id", "-x")...))
	if len(dumps) != len(rows) {
		t.Fatalf("tshark finds %d frames and the bytes of %d", len(rows), len(dumps))
	}
	var frames []dissected
	for i, row := range rows {
		first := func(column int) string { v, _, _ := strings.Cut(row[column], ","); return v }
		number := func(column int) uint64 {
			v, err := strconv.ParseUint(row[column], 0, 64)
			if err != nil {
				t.Fatalf("frame %d: %v", i+1, err)
			}
			return v
		}
		d := dissected{
			Src: first(0), Dst: first(1),
			SrcPort: number(5), FrameID: number(6), FrameLength: number(7),
			Flags: number(8), L4Offset: number(9), MSS: number(10), TCI: number(11), ContextID: number(12),
		}
		if strings.Contains(row[4], "ipv6:stt") {
			d.Src, d.Dst = first(2), first(3)
		}
		inner := innerFrame(dumps[i], int(d.FrameLength))
		sum := sha256.Sum256(inner)
		d.Inner = hex.EncodeToString(sum[:8])
		if d.Flags&2 == 0 {
			statuses := row[13:17]
			if statuses[2] != "" {
				// An ICMP error quotes a packet with the checksum that
				// it had when it was refused, which may be partial.
				statuses = statuses[2:3]
			}
			for _, status := range statuses {
				if strings.HasPrefix(status, "0") {
					d.BadChecksums = strings.Join(row[13:17], " ")
				}
			}
		} else if want, got := pseudoSum(inner, int(d.L4Offset)); want != got {
			d.BadChecksums = fmt.Sprintf("partial %#04x, pseudo-header sum %#04x", got, want)
		}
		frames = append(frames, d)
	}
	return frames
}

// pseudoSum returns the sum of the inner pseudo-header, added up the slow way,
// and what the checksum field holds.
func pseudoSum(frame []byte, l4 int) (want, got uint16) {
	addresses, protocol, field := frame[26:34], frame[23], l4+16
	if frame[14]>>4 == 6 {
		addresses, protocol = frame[22:54], frame[20]
	}
	if protocol == 17 {
		field = l4 + 6
	}
	sum := uint32(protocol) + uint32(len(frame)-l4)
	for i := 0; i < len(addresses); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(addresses[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum), binary.BigEndian.Uint16(frame[field:])
}

// innerFrame returns the inner frame of an STT frame of length bytes as tshark
// has put it together. Its buffer of a reassembled frame begins with the segment
// header.
func innerFrame(dump map[string][]byte, length int) []byte {
	const segmentHeader, frameHeader = 20, 18
	if b, ok := dump["Reassembled STT"]; ok {
		return b[segmentHeader+frameHeader : segmentHeader+length]
	}
	b := dump["Frame"]
	return b[len(b)-length+frameHeader:]
}

// hexDumps reads the output of tshark -x: for each packet its buffers by name.
func hexDumps(t *testing.T, text string) []map[string][]byte {
	t.Helper()
	var all []map[string][]byte
	name := ""
	for _, l := range strings.Split(text, "\n") {
		if title, isTitle := strings.CutSuffix(l, " bytes):"); isTitle {
			name = title[:strings.LastIndex(title, " (")]
			if name == "Frame" {
				all = append(all, make(map[string][]byte))
			}
			continue
		}
		offset, rest, ok := strings.Cut(l, "  ")
		if !ok {
			name = ""
			continue
		}
		if name == "" {
			// A packet of one buffer has no title.
			name = "Frame"
			all = append(all, make(map[string][]byte))
		}
		b, err := hex.DecodeString(strings.ReplaceAll(strings.TrimSpace(rest[:min(48, len(rest))]), " ", ""))
		if err != nil {
			t.Fatalf("offset %s: %v", offset, err)
		}
		dump := all[len(all)-1]
		dump[name] = append(dump[name], b...)
	}
	return all
}

// TestTsharkFindsTheSameFramesInWhatLeft: what --write wrote, dissected by
// tshark, is what another program found in the captures.
func TestTsharkFindsTheSameFramesInWhatLeft(t *testing.T) {
	rules := acceptAll(t)
	// The files behind one another are one file of many sections, which
	// spares many starts of tshark.
	left := filepath.Join(t.TempDir(), "left.pcapng")
	out, err := os.Create(left)
	if err != nil {
		t.Fatal(err)
	}
	var want [][]dissected
	packets := 0
	for _, path := range captures(t) {
		_, summary := run(t, replay.Config{Policy: rules, Inputs: []string{path}, Write: out})
		packets += summary.STT
		b, err := os.ReadFile(strings.TrimSuffix(path, ".pcap") + ".frames.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		var frames []dissected
		for _, l := range decodeLines(t, b) {
			frames = append(frames, leaves(t, l))
		}
		want = append(want, frames)
	}
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	got := dissect(t, left)
	for i, path := range captures(t) {
		n := min(len(want[i]), len(got))
		if diff := cmp.Diff(want[i], got[:n]); diff != "" {
			t.Errorf("%s: frames (-want +tshark):\n%s", filepath.Base(path), diff)
		}
		got = got[n:]
	}
	if len(got) > 0 {
		t.Errorf("tshark finds %d frames more", len(got))
	}
	checkOuterChecksums(t, left, packets)
}

// leaves is how a frame of a .frames.jsonl file leaves: with the V bit set in
// a TCI, for receivers that want it, and otherwise as it came.
func leaves(t *testing.T, l line) dissected {
	t.Helper()
	number := func(key string, base int) uint64 {
		v, err := strconv.ParseUint(fmt.Sprint(l[key]), base, 64)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	d := dissected{
		Src: l["src"].(string), Dst: l["dst"].(string),
		SrcPort: number("sport", 10), FrameID: number("frame_id", 16), FrameLength: number("frame_len", 10),
		Flags: number("flags", 10), L4Offset: number("l4_offset", 10), MSS: number("mss", 10),
		TCI: number("tci", 10), ContextID: number("context_id", 16),
		Inner: l["inner_sha256"].(string),
	}
	if d.TCI != 0 {
		d.TCI |= 0x1000
	}
	return d
}

// TestLinkHeadersLeaveAsTheyCame has tshark compare the outside of what left
// with that of the captures: Ethernet header, tags, IP IDs, and no packet that
// was not STT.
func TestLinkHeadersLeaveAsTheyCame(t *testing.T) {
	path := "../testdata/pcaps/off-vlan.pcap"
	left := filepath.Join(t.TempDir(), "left.pcapng")
	out, err := os.Create(left)
	if err != nil {
		t.Fatal(err)
	}
	run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{path}, Write: out})
	if err := out.Close(); err != nil {
		t.Fatal(err)
	}
	columns := []string{"eth.src", "eth.dst", "vlan.id", "vlan.etype", "ip.id", "ip.ttl", "ip.dsfield", "frame.len", "tcp.window_size_value"}
	want, got := fields(t, path, nil, columns...), fields(t, left, nil, columns...)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("packets (-came +left):\n%s", diff)
	}
}
