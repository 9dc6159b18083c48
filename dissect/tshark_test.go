package dissect_test

import (
	"bytes"
	"encoding/hex"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"

	"sttwall/dissect"
)

// pdmlField is a field as tshark tells of it.
type pdmlField struct {
	Name   string      `xml:"name,attr"`
	Pos    int         `xml:"pos,attr"`
	Size   int         `xml:"size,attr"`
	Show   string      `xml:"show,attr"`
	Fields []pdmlField `xml:"field"`
	Protos []pdmlField `xml:"proto"`
}

// whole is a whole STT frame in a capture.
type whole struct {
	header, inner []byte
	// fields are all that lie in the frame header (with negative offsets) or in the
	// inner frame, from the start of which they are counted.
	fields []pdmlField
}

const headerLen = 18

// wholeFrames has tshark take a capture apart. It takes STT for TCP unless its
// heuristics are asked first.
func wholeFrames(t testing.TB, path string) []whole {
	options := []string{"-o", "ip.try_heuristic_first:TRUE", "-o", "ipv6.try_heuristic_first:TRUE",
		"-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.desegment_tcp_streams:FALSE", "-Y", "stt.context_id"}
	dumps := hexDumps(t, tshark(t, path, append(options, "-x")...))
	packets := pdml(t, path, options...)
	if len(packets) != len(dumps) {
		t.Fatalf("%s: %d frames, and the bytes of %d", path, len(packets), len(dumps))
	}
	frames := make([]whole, len(packets))
	for i := range packets {
		frames[i] = wholeFrame(t, &packets[i], dumps[i])
	}
	return frames
}

// pdml returns the packets of a capture as tshark tells of them.
func pdml(t testing.TB, path string, options ...string) (packets []pdmlField) {
	decoder := xml.NewDecoder(bytes.NewReader(tshark(t, path, append(slices.Clip(options), "-T", "pdml")...)))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return packets
		}
		if err != nil {
			t.Fatal(err)
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local != "packet" {
			continue
		}
		var packet pdmlField
		if err := decoder.DecodeElement(&packet, &start); err != nil {
			t.Fatal(err)
		}
		packets = append(packets, packet)
	}
}

// flatten adds a field and all that are in it.
func flatten(f *pdmlField, into *[]pdmlField) {
	*into = append(*into, *f)
	for i := range f.Fields {
		flatten(&f.Fields[i], into)
	}
	for i := range f.Protos {
		flatten(&f.Protos[i], into) // what an ICMP error quotes
	}
}

func wholeFrame(t testing.TB, packet *pdmlField, dump map[string][]byte) (w whole) {
	// A frame of several segments is a buffer of its own, which begins with
	// the segment header.
	const segmentHeader = 20
	data, inner := dump["Reassembled STT"], segmentHeader+headerLen
	seen := 0
	for i := range packet.Protos {
		proto := &packet.Protos[i]
		if proto.Name == "eth" {
			if seen++; seen == 2 && data == nil {
				data, inner = dump["Frame"], proto.Pos
			}
		}
		if seen == 2 || proto.Name == "stt" {
			flatten(proto, &w.fields)
		}
	}
	if seen != 2 {
		t.Fatalf("%d Ethernet headers in a packet", seen)
	}
	w.header, w.inner = data[inner-headerLen:inner], data[inner:]
	// Of a frame of several segments, tshark counts some fields of the frame header
	// from the start of the packet that came last, others from that of the buffer.
	header := 0
	for _, f := range w.fields {
		if f.Name == "stt.version" {
			header = f.Pos + headerLen
		}
	}
	kept := w.fields[:0]
	for _, f := range w.fields {
		base := inner
		if strings.HasPrefix(f.Name, "stt.") && f.Pos >= header-headerLen {
			base = header
		}
		f.Fields, f.Protos = nil, nil
		if f.Pos -= base; f.Size > 0 && f.Pos >= -headerLen {
			kept = append(kept, f)
		}
	}
	w.fields = kept
	return w
}

func tshark(t testing.TB, path string, args ...string) []byte {
	t.Helper()
	program, err := exec.LookPath("tshark")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("tshark is not installed; CI needs it as the judge of fields")
		}
		t.Skip("tshark is not installed; it judges the fields")
	}
	cmd := exec.Command(program, append([]string{"-r", path}, args...)...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("tshark %s: %v\n%s", strings.Join(args, " "), err, &complaints)
	}
	return out
}

// hexDumps reads the output of tshark -x: for each packet its buffers by name.
func hexDumps(t testing.TB, text []byte) []map[string][]byte {
	t.Helper()
	var all []map[string][]byte
	name := ""
	for line := range strings.SplitSeq(string(text), "\n") {
		if title, isTitle := strings.CutSuffix(line, " bytes):"); isTitle {
			name = title[:strings.LastIndex(title, " (")]
			if name == "Frame" {
				all = append(all, make(map[string][]byte))
			}
			continue
		}
		_, rest, ok := strings.Cut(line, "  ")
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
			t.Fatalf("%q: %v", line, err)
		}
		all[len(all)-1][name] = append(all[len(all)-1][name], b...)
	}
	return all
}

// oneCapture puts all captures, whose file headers are the same, behind one another,
// which spares many starts of tshark, and returns how many frames they hold.
func oneCapture(t testing.TB) (path string, frames int) {
	paths, err := filepath.Glob("../testdata/pcaps/*.pcap")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	const fileHeader = 24
	var all []byte
	for _, path := range paths {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if all == nil {
			all = append(all, b[:fileHeader]...)
		}
		if !bytes.Equal(b[:fileHeader], all[:fileHeader]) {
			t.Fatalf("%s has another file header", path)
		}
		all = append(all, b[fileHeader:]...)
		lines, err := os.ReadFile(strings.TrimSuffix(path, ".pcap") + ".frames.jsonl")
		if err != nil {
			t.Fatal(err)
		}
		frames += bytes.Count(lines, []byte("\n"))
	}
	path = filepath.Join(t.TempDir(), "all.pcap")
	if err := os.WriteFile(path, all, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, frames
}

// TestTsharkNamesTheSameFields: in every frame of the captures each field that has
// a name in Wireshark is in the same bytes with the same value there, and none with
// such a name is missing.
func TestTsharkNamesTheSameFields(t *testing.T) {
	const enough = 20 // complaints
	seen := make(map[string]int)
	path, want := oneCapture(t)
	frames := wholeFrames(t, path)
	if len(frames) != want {
		t.Errorf("tshark finds %d frames, another program %d", len(frames), want)
	}
	complaints := 0
	for i := range frames {
		for _, wrong := range disagreements(&frames[i], seen, noNotes) {
			if complaints++; complaints < enough {
				t.Errorf("frame %d: %s", i+1, wrong)
			}
		}
	}
	for _, name := range []string{"stt.context_id", "arp.src.hw_mac", "ip.src", "ipv6.dst", "ipv6.fraghdr.offset", "ipv6.hopopts.nxt",
		"tcp.seq_raw", "udp.length", "icmp.ident", "icmpv6.nd.ns.target_address", "tcp.flags"} {
		if seen[name] == 0 {
			t.Errorf("no field %s was compared", name)
		}
	}
	t.Logf("%d kinds of fields were compared", len(seen))
}

// TestTsharkNamesTheSameFieldsOfRareFrames: the captures hold no SCTP, no SNAP and few
// options, so the frames of the table are captures too.
func TestTsharkNamesTheSameFieldsOfRareFrames(t *testing.T) {
	var file bytes.Buffer
	w := pcapgo.NewWriter(&file)
	if err := w.WriteFileHeader(65536, layers.LinkTypeEthernet); err != nil {
		t.Fatal(err)
	}
	var cases []*hexFrame
	for i := range made {
		if c := &made[i]; !c.apart {
			_, inner := c.frame()
			info := gopacket.CaptureInfo{Timestamp: time.Unix(1, 0), CaptureLength: len(inner), Length: len(inner)}
			if err := w.WritePacket(info, inner); err != nil {
				t.Fatal(err)
			}
			cases = append(cases, c)
		}
	}
	path := filepath.Join(t.TempDir(), "made.pcap")
	if err := os.WriteFile(path, file.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]int)
	for i, packet := range pdml(t, path, "-o", "ip.defragment:FALSE", "-o", "ipv6.defragment:FALSE", "-o", "tcp.analyze_sequence_numbers:FALSE") {
		_, inner := cases[i].frame()
		w := whole{inner: inner}
		for j := range packet.Protos {
			flatten(&packet.Protos[j], &w.fields)
		}
		for _, wrong := range disagreements(&w, seen, notesAreRight) {
			t.Errorf("%s: %s", cases[i].name, wrong)
		}
	}
	for _, name := range []string{"ieee8021ad.id", "vlan.id", "llc.type", "sctp.verification_tag", "ipv6.hopopts.nxt", "ipv6.fraghdr.more", "icmpv6.nd.ns.target_address", "eth.len"} {
		if seen[name] == 0 {
			t.Errorf("no field %s was compared", name)
		}
	}
}

// notes says whether good frames are compared, of which nothing may be noted.
type notes int

const (
	noNotes notes = iota
	notesAreRight
)

// disagreements compares a frame, and counts what was compared.
func disagreements(w *whole, seen map[string]int, want notes) (wrong []string) {
	type place struct {
		name string
		pos  int
	}
	theirs, ours := make(map[place]*pdmlField), make(map[place]bool)
	for i := range w.fields {
		f := &w.fields[i]
		theirs[place{f.Name, f.Pos}] = f
	}
	known := make(map[string]bool)
	for _, l := range dissect.Dissect(&dissect.Frame{Header: w.header, Data: w.inner}) {
		if l.Note != "" && want == noNotes {
			wrong = append(wrong, fmt.Sprintf("%s: note %q in a good frame", l.Name, l.Note))
		}
		for _, f := range l.Fields {
			if f.Filter == "" {
				continue
			}
			known[f.Filter] = true
			pos := f.Offset
			if l.InHeader {
				pos -= headerLen
			}
			// Of bits, tshark names the word around them.
			their := theirs[place{f.Filter, pos}]
			for back := 1; f.Bits > 0 && their == nil && back < 4; back++ {
				their = theirs[place{f.Filter, pos - back}]
			}
			switch {
			case their == nil:
				wrong = append(wrong, fmt.Sprintf("%s at %d: tshark has none there", f.Filter, pos))
				continue
			case f.Bits == 0 && (their.Pos != pos || their.Size != f.Length),
				pos < their.Pos || pos+f.Length > their.Pos+their.Size:
				wrong = append(wrong, fmt.Sprintf("%s: bytes %d+%d, tshark has %d+%d", f.Filter, pos, f.Length, their.Pos, their.Size))
			}
			if f.Filter == "ipv6.fraghdr.offset" || f.Filter == "ip.frag_offset" {
				n, err := strconv.Atoi(f.Value)
				if err != nil {
					wrong = append(wrong, err.Error())
				}
				f.Value = strconv.Itoa(n / 8) // as it is on the wire
			}
			if !sameValue(f.Value, their.Show) {
				wrong = append(wrong, fmt.Sprintf("%s: %q, tshark shows %q", f.Filter, f.Value, their.Show))
			}
			ours[place{f.Filter, their.Pos}] = true
			seen[f.Filter]++
		}
	}
	for at, f := range theirs {
		if known[at.name] && !ours[at] && at.pos < len(w.inner) {
			wrong = append(wrong, fmt.Sprintf("%s at %d: only tshark names it, %s", at.name, at.pos, f.Show))
		}
	}
	return wrong
}

// sameValue compares the first word of ours with what tshark shows, as numbers if
// they are some.
func sameValue(ours, theirs string) bool {
	word, _, _ := strings.Cut(ours, " ")
	a, err1 := strconv.ParseUint(word, 0, 64)
	b, err2 := strconv.ParseUint(theirs, 0, 64)
	if err1 == nil && err2 == nil {
		return a == b
	}
	return word == theirs
}
