package replay_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/capture"
	"sttwall/replay"
	"sttwall/stt"
)

var update = flag.Bool("update", false, "rewrite the files in testdata")

// story is a capture in which everything happens: frames that pass, that are
// dropped by rule, default, unknown context and structure, that never become
// whole, packets out of order, late, not STT, not IP.
func story(t *testing.T) string {
	t.Helper()
	header := stt.FrameHeader{ContextID: 100}
	small, large := innerTCP(t, 10), innerTCP(t, 3000)
	accepted := frame{path: path4, id: 1, header: header, inner: large, cuts: []int{0, 1000, 2000}, order: []int{1, 0, 2}}
	byRule := frame{path: path6, id: 2, header: stt.FrameHeader{ContextID: 100, TCI: 0x102a}, inner: innerTCPTo(t, 445, 10), cuts: []int{0}}
	byDefault := frame{path: path4, id: 3, header: stt.FrameHeader{ContextID: 200}, inner: small, cuts: []int{0}}
	unknown := frame{path: path4, id: 4, header: stt.FrameHeader{ContextID: 0xfedcba9876543210}, inner: small, cuts: []int{0}}
	lying := frame{path: path4, id: 5, header: stt.FrameHeader{ContextID: 100, L4Offset: 35}, inner: small, cuts: []int{0}}
	overlapping := frame{path: path4, id: 6, header: header, inner: large, cuts: []int{0, 1000, 2000}, order: []int{0, 0, 1}}
	missing := frame{path: path4, id: 7, header: header, inner: large, cuts: []int{0, 1000}, order: []int{1}}
	syn := frame{path: path4, id: 8, header: header, inner: small, cuts: []int{0}, bend: func(b []byte) { b[20+13] |= stt.FlagSYN }}

	var packets [][]byte
	for _, f := range []*frame{&accepted, &byRule, &overlapping, &byDefault, &unknown, &lying, &missing, &syn} {
		packets = append(packets, f.packets()...)
	}
	all := records(capture.LinkEthernet, packets...)
	http := append([]byte(nil), byDefault.packets()[0]...)
	http[20+2], http[20+3] = 0, 80
	all = append(all,
		capture.Record{Time: start + 500_000, Link: capture.LinkEthernet, Header: linkHeader(capture.LinkEthernet, http), Packet: http},
		capture.Record{Time: start + 500_001, Link: capture.LinkEthernet, Header: []byte("\xff\xff\xff\xff\xff\xff\x02\x00\x00\x00\x00\x01\x08\x06"), Packet: make([]byte, 28)},
	)
	return recordAll(t, all...)
}

const storyRules = `
tenant "acme" {
  context_ids    = [100]
  default_action = "accept"
  rule "no-windows" {
    action      = "drop"
    destination = ["192.168.100.2"]
    services    = ["tcp/445"]
  }
  rule "web" {
    state  = "stateless" # the story begins in the middle
    action   = "accept"
    services = ["tcp/80"]
  }
}
tenant "other" {
  context_ids    = [200]
  default_action = "drop"
}
`

// TestTheWordsOfAReplay keeps both forms of output in testdata.
func TestTheWordsOfAReplay(t *testing.T) {
	for name, c := range map[string]replay.Config{
		"story.json":  {Format: replay.JSON, Hash: true},
		"story.table": {Format: replay.Table},
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			c.Policy, c.Inputs, c.Out = load(t, storyRules), []string{story(t)}, &got
			if _, err := replay.Run(context.Background(), c); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", name)
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("(-want +got; -update rewrites it):\n%s", diff)
			}
		})
	}
}

func TestWhatOnlyAuditModeLetsPassIsNamed(t *testing.T) {
	rules := strings.NewReplacer("[100]", "[100]\n  mode = \"audit\"", "[200]", "[200]\n  mode = \"audit\"").Replace(storyRules)
	lines := make(map[replay.Format]string)
	for _, format := range []replay.Format{replay.JSON, replay.Table} {
		var out bytes.Buffer
		c := replay.Config{Policy: load(t, rules), Inputs: []string{story(t)}, Format: format, Out: &out}
		summary, err := replay.Run(context.Background(), c)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := summary.Tenants["acme"], (replay.Count{Accepted: 2, Audited: 1}); summary.Audited != 2 || got != want {
			t.Errorf("got %d and %+v, want 2 and %+v", summary.Audited, got, want)
		}
		lines[format] = out.String()
	}
	for want, format := range map[string]replay.Format{
		`"verdict":"accept","tenant":"acme","rule":"acme/no-windows","would_be":"drop","would":"rule_drop"`: replay.JSON,
		`"verdict":"accept","tenant":"other","would_be":"drop","would":"tenant_default"`:                    replay.JSON,
		"accept   audit: rule_drop by acme/no-windows":                                                      replay.Table,
		"accept   audit: tenant_default of other":                                                           replay.Table,
		"3 accepted (0 encoded anew, 2 by audit mode alone)":                                                replay.Table,
	} {
		if !strings.Contains(lines[format], want) {
			t.Errorf("%s is not in\n%s", want, lines[format])
		}
	}
}

func TestChecksumsAreTakenAsTold(t *testing.T) {
	header := stt.FrameHeader{ContextID: 100}
	right := frame{path: path4, id: 1, header: header, inner: innerTCP(t, 10), cuts: []int{0}}
	unfinished := right
	unfinished.sum = stt.ChecksumPartial
	wrong := func(f frame) []byte {
		b := f.packets()[0]
		b[len(b)-1]++
		return b
	}
	for _, test := range []struct {
		name                  string
		packet                []byte
		auto, require, ignore bool
	}{
		{"a right one", right.packets()[0], true, true, true},
		{"one that an offload had yet to finish", unfinished.packets()[0], true, false, true},
		{"a wrong one", wrong(right), false, false, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := record(t, test.packet)
			for mode, want := range map[replay.Checksums]bool{
				replay.ChecksumsAuto: test.auto, replay.ChecksumsRequire: test.require, replay.ChecksumsIgnore: test.ignore,
			} {
				_, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{path}, Checksums: mode})
				if accepted := got.Accepted == 1; accepted != want {
					t.Errorf("%v: accepted: got %t, want %t: %v", mode, accepted, want, got.Reasons)
				}
				if !want && got.Reasons["segment_checksum"] != 1 {
					t.Errorf("%v: reasons: got %v, want segment_checksum", mode, got.Reasons)
				}
			}
		})
	}
}

func TestTheWordsForChecksumsAreRead(t *testing.T) {
	for _, want := range []replay.Checksums{replay.ChecksumsAuto, replay.ChecksumsRequire, replay.ChecksumsIgnore} {
		got, err := replay.ParseChecksums(want.String())
		if err != nil || got != want {
			t.Errorf("got %v, %v; want %v", got, err, want)
		}
	}
	if _, err := replay.ParseChecksums("some"); err == nil || err.Error() != `"some": want auto, require or ignore` {
		t.Errorf("got %v", err)
	}
}

func TestOneFrameMayComeInTwoFiles(t *testing.T) {
	f := frame{path: path4, id: 1, header: stt.FrameHeader{ContextID: 100}, inner: innerTCP(t, 2000), cuts: []int{0, 1000}}
	p := f.packets()
	lines, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{record(t, p[0]), record(t, p[1])}})
	if got.Files != 2 || got.Accepted != 1 || lines[0]["segments"].(interface{ String() string }).String() != "2" {
		t.Errorf("got %+v, %v; want one frame of two segments", got, lines[0])
	}
}

// TestTheClockNeverGoesBack has packets out of order, as captures from several
// interfaces have them: the time that is shown stays that of the packet.
func TestTheClockNeverGoesBack(t *testing.T) {
	header := stt.FrameHeader{ContextID: 100}
	first := frame{path: path4, id: 1, header: header, inner: innerTCP(t, 10), cuts: []int{0}}
	second := frame{path: path4, id: 2, header: header, inner: innerTCP(t, 2000), cuts: []int{0, 1000}}
	all := records(capture.LinkEthernet, append(first.packets(), second.packets()...)...)
	all[0].Time, all[1].Time, all[2].Time = start+9e9, start, start+1
	lines, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{recordAll(t, all...)}})
	if got.Accepted != 2 {
		t.Fatalf("got %+v, want two frames accepted", got)
	}
	for i, want := range []string{"1795433130.000000", "1795433121.000000"} {
		if got := lines[i]["time"].(interface{ String() string }).String(); got != want {
			t.Errorf("frame %d: time: got %s, want %s", i+1, got, want)
		}
	}
}

func TestAFrameThatTakesTooLongIsDropped(t *testing.T) {
	f := frame{path: path4, id: 1, header: stt.FrameHeader{ContextID: 100}, inner: innerTCP(t, 2000), cuts: []int{0, 1000}}
	all := records(capture.LinkEthernet, f.packets()...)
	all[1].Time += 6e9
	_, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{recordAll(t, all...)}})
	if got.Reasons["frame_timeout"] != 1 || got.Incomplete != 1 || got.Late != 1 || got.Left != 0 {
		t.Errorf("got %+v, want one frame timed out and its second packet late", got)
	}
}

// TestPacketsThatWereCutShort: a capture with a snapshot length. Without all
// of a packet its checksum cannot be verified.
func TestPacketsThatWereCutShort(t *testing.T) {
	f := frame{path: path4, id: 1, header: stt.FrameHeader{ContextID: 100}, inner: innerTCP(t, 1000), cuts: []int{0}}
	r := records(capture.LinkEthernet, f.packets()...)
	r[0].Packet, r[0].Missing = r[0].Packet[:200], len(r[0].Packet)-200
	path := recordAll(t, r...)
	_, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{path}})
	if got.CutShort != 1 || got.Reasons["copy_too_short"] != 1 {
		t.Errorf("got %+v, want copy_too_short", got)
	}
	var left bytes.Buffer
	lines, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{path}, Checksums: replay.ChecksumsIgnore, Hash: true, Write: &left})
	if got.Accepted != 1 || lines[0]["inner_sha256"] != nil {
		t.Errorf("got %+v, %v; want it accepted, without a hash of bytes that are not there", got, lines[0])
	}
	in, err := capture.NewReader("left", &left)
	if err != nil {
		t.Fatal(err)
	}
	var p capture.Packet
	if err := in.Next(&p); err != nil {
		t.Fatal(err)
	}
	if len(p.Data) != 214 || p.WireLen != 14+len(f.packets()[0]) {
		t.Errorf("left: got %d of %d bytes, want 214 of %d", len(p.Data), p.WireLen, 14+len(f.packets()[0]))
	}
}

// TestAUsedFrameIDIsReplaced: two frames of several packets with one ID cannot
// both leave with it.
func TestAUsedFrameIDIsReplaced(t *testing.T) {
	f := frame{path: path4, id: 1, header: stt.FrameHeader{ContextID: 100}, inner: innerTCP(t, 2000), cuts: []int{0, 1000}}
	var left bytes.Buffer
	_, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{record(t, append(f.packets(), f.packets()...)...)}, Write: &left})
	if got.Accepted != 2 || got.Rewritten != 1 {
		t.Fatalf("got %+v, want two frames accepted, one encoded anew", got)
	}
	ids := make(map[uint32]int)
	in, err := capture.NewReader("left", &left)
	if err != nil {
		t.Fatal(err)
	}
	var p capture.Packet
	var s stt.Segment
	for in.Next(&p) == nil {
		s.Decode(p.IPPacket(), p.IPLength(), []uint16{stt.Port})
		if !s.ChecksumGood(p.IPPacket()) {
			t.Errorf("packet %d: checksum is wrong", p.Number)
		}
		ids[s.FrameID]++
	}
	if len(ids) != 2 || ids[1] != 2 {
		t.Errorf("frame IDs by packets: got %v, want 1 and another one, two packets each", ids)
	}
}

func TestAnInputThatEndsInsideAPacketGivesWhatCameBefore(t *testing.T) {
	whole := "../testdata/pcaps/on-dns.pcap"
	b, err := os.ReadFile(whole)
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.pcap")
	if err := os.WriteFile(cut, b[:len(b)-1], 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	got, err := replay.Run(context.Background(), replay.Config{
		Policy: acceptAll(t), Inputs: []string{cut, whole}, Out: &out, Format: replay.JSON,
	})
	if want := cut + ": packet 8: the file ends inside a packet's bytes: unexpected EOF"; err == nil || err.Error() != want {
		t.Errorf("error: got %v, want %s", err, want)
	}
	if lines := decodeLines(t, out.Bytes()); got.Packets != 15 || len(lines) != 16 || lines[15]["event"] != "summary" {
		t.Errorf("got %d packets, %d lines; want 7 of the one file, 8 of the other, and a summary", got.Packets, len(lines))
	}
}

func TestStdinIsRead(t *testing.T) {
	b, err := os.ReadFile("../testdata/pcaps/on-dns.pcap")
	if err != nil {
		t.Fatal(err)
	}
	var zipped bytes.Buffer
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	_, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{"-"}, Stdin: &zipped})
	if got.Accepted != 8 {
		t.Errorf("got %+v, want 8 frames", got)
	}
}

// TestALiveInputIsShownAtOnce: what came through a pipe is shown before the
// next packet comes.
func TestALiveInputIsShownAtOnce(t *testing.T) {
	b, err := os.ReadFile("../testdata/pcaps/on-dns.pcap")
	if err != nil {
		t.Fatal(err)
	}
	in, feed := io.Pipe()
	show, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		_, err := replay.Run(context.Background(), replay.Config{
			Policy: acceptAll(t), Inputs: []string{"-"}, Stdin: in, Out: out, Format: replay.JSON,
		})
		ended <- err
		out.Close()
	}()
	first := 24 + 16 + int(b[24+8]) + int(b[24+9])<<8
	if _, err := feed.Write(b[:first]); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(`{"event":"frame"`))
	if _, err := io.ReadFull(show, got); err != nil || string(got) != `{"event":"frame"` {
		t.Errorf("got %q, %v", got, err)
	}
	feed.Close()
	if _, err := io.Copy(io.Discard, show); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

type broken struct{}

var errBroken = errors.New("broken pipe")

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestWhatStopsAReplay(t *testing.T) {
	dns := []string{"../testdata/pcaps/on-dns.pcap"}
	stopped, stop := context.WithCancel(context.Background())
	stop()
	for _, test := range []struct {
		name string
		ctx  context.Context
		c    replay.Config
		want string
	}{
		{"no policy", context.Background(), replay.Config{Out: io.Discard, Inputs: dns}, "firewall without a policy"},
		{"no output", context.Background(), replay.Config{Policy: acceptAll(t), Inputs: dns}, "replay without an output"},
		{"no input", context.Background(), replay.Config{Policy: acceptAll(t), Out: io.Discard}, "replay without an input"},
		{"stdin twice", context.Background(), replay.Config{Policy: acceptAll(t), Out: io.Discard, Inputs: []string{"-", "-"}}, "standard input can be read only once"},
		{"an input that is not there", context.Background(), replay.Config{Policy: acceptAll(t), Out: io.Discard, Inputs: []string{dns[0], "none.pcap"}}, "stat none.pcap: no such file or directory"},
		{"an input that is a directory", context.Background(), replay.Config{Policy: acceptAll(t), Out: io.Discard, Inputs: []string{"testdata"}}, "testdata: read testdata: is a directory"},
		{"an output that breaks", context.Background(), replay.Config{Policy: acceptAll(t), Out: broken{}, Inputs: dns}, "output: broken pipe"},
		{"a capture that breaks", context.Background(), replay.Config{Policy: acceptAll(t), Out: io.Discard, Inputs: dns, Write: broken{}}, "capture of what left: broken pipe"},
		{"the end of its context", stopped, replay.Config{Policy: acceptAll(t), Out: io.Discard, Inputs: dns}, "context canceled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := replay.Run(test.ctx, test.c)
			if err == nil || err.Error() != test.want {
				t.Errorf("got %v, want %s", err, test.want)
			}
			if strings.Contains(test.want, "broken") && !errors.Is(err, errBroken) {
				t.Errorf("%v does not wrap %v", err, errBroken)
			}
		})
	}
}
