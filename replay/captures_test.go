package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/policy"
	"sttwall/replay"
)

// captures returns the names of the captures of a real implementation.
func captures(t testing.TB) []string {
	t.Helper()
	files, err := filepath.Glob("../testdata/pcaps/*.pcap")
	if err != nil || len(files) != 15 {
		t.Fatalf("captures: %d, %v; want 15", len(files), err)
	}
	return files
}

func acceptAll(t testing.TB) *policy.Policy {
	t.Helper()
	p, diagnostics, _ := policy.LoadFile("../testdata/rules/accept-all.hcl")
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	return p
}

func load(t testing.TB, rules string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", []byte(rules))
	if diagnostics.HasErrors() {
		t.Fatal(diagnostics)
	}
	return p
}

// line is one object of JSON with its numbers as they stand there.
type line map[string]any

func decodeLine(t testing.TB, b []byte) line {
	t.Helper()
	var l line
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&l); err != nil {
		t.Fatalf("%v in %s", err, b)
	}
	return l
}

func decodeLines(t testing.TB, b []byte) []line {
	t.Helper()
	var all []line
	for _, l := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
		all = append(all, decodeLine(t, l))
	}
	return all
}

// run replays and returns the lines of JSON.
func run(t testing.TB, c replay.Config) ([]line, replay.Summary) {
	t.Helper()
	var out bytes.Buffer
	c.Out, c.Format = &out, replay.JSON
	summary, err := replay.Run(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	return decodeLines(t, out.Bytes()), summary
}

// expected turns a line of a .frames.jsonl file, which another program made,
// into what replay has to say of the frame when it is accepted.
func expected(l line) line {
	in := l["inner"].(map[string]any)
	inner := line{}
	for theirs, ours := range map[string]string{
		"eth_src": "eth_src", "eth_dst": "eth_dst", "vlan": "vlan", "ethertype": "ethertype",
		"src": "src", "dst": "dst", "proto": "protocol", "sport": "src_port", "dport": "dst_port",
		"tcp_flags": "tcp_flags", "icmp_type": "icmp_type", "icmp_code": "icmp_code", "fragment": "fragment",
	} {
		if v, ok := in[theirs]; ok {
			inner[ours] = v
		}
	}
	if len(inner["vlan"].([]any)) == 0 {
		delete(inner, "vlan")
	}
	return line{
		"event": "frame", "verdict": "accept", "time": l["t"],
		"outer":    map[string]any{"src": l["src"], "dst": l["dst"], "src_port": l["sport"]},
		"frame_id": "0x" + l["frame_id"].(string), "frame_length": l["frame_len"], "segments": l["segments"],
		"flags": l["flags"], "l4_offset": l["l4_offset"], "mss": l["mss"], "tci": l["tci"],
		"context_id": "0x" + l["context_id"].(string),
		"inner":      map[string]any(inner), "inner_sha256": l["inner_sha256"],
	}
}

// TestEveryCaptureEqualsItsFrames compares with what a program that shares no
// code with this one found in the captures.
func TestEveryCaptureEqualsItsFrames(t *testing.T) {
	rules := acceptAll(t)
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(strings.TrimSuffix(path, ".pcap") + ".frames.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			theirs := decodeLines(t, b)
			ours, summary := run(t, replay.Config{Policy: rules, Inputs: []string{path}, Hash: true})
			if len(ours) != len(theirs)+1 {
				t.Fatalf("lines: got %d, want %d frames and a summary", len(ours), len(theirs))
			}
			for i := range theirs {
				got := ours[i]
				delete(got, "tenant")
				delete(got, "rule")
				// Numbers are compared as they are written: so a time has
				// all its digits, or the test fails.
				normalise(got, "time")
				want := expected(theirs[i])
				normalise(want, "time")
				if diff := cmp.Diff(want, got); diff != "" {
					t.Fatalf("frame %d (-want +got):\n%s", i+1, diff)
				}
			}
			checkSummary(t, summary, theirs)
		})
	}
}

// normalise fills a time up to six decimals: 1.5 and 1.500000 are one number.
func normalise(l line, key string) {
	s := l[key].(json.Number).String()
	_, decimals, _ := strings.Cut(s, ".")
	l[key] = s + strings.Repeat("0", max(0, 6-len(decimals)))
}

func checkSummary(t *testing.T, got replay.Summary, theirs []line) {
	t.Helper()
	want := replay.Summary{
		Event: "summary", Files: 1, Packets: got.Packets, NotSTT: got.NotSTT,
		Tenants: map[string]replay.Count{"all": {Accepted: len(theirs)}}, Rules: got.Rules, Reasons: map[string]int{},
		Frames: len(theirs), Accepted: len(theirs), Rewritten: got.Rewritten,
	}
	for _, l := range theirs {
		packets := len(l["packets"].([]any))
		want.STT += packets
		want.Left += packets
		if l["outer_tags"] != nil {
			want.Tagged += packets
		}
		if l["outer_checksum"] == "pseudo" {
			want.Unfinished += packets
		}
	}
	if got.Packets != want.STT+got.NotSTT {
		t.Errorf("packets: got %d, %d not STT; want %d STT", got.Packets, got.NotSTT, want.STT)
	}
	// A frame without the V bit leaves with it; see the settings' receivers.
	rewritten := 0
	for _, l := range theirs {
		if tci, _ := l["tci"].(json.Number).Int64(); tci != 0 && tci&0x1000 == 0 {
			rewritten++
		}
	}
	want.Rewritten = rewritten
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

// TestNotSTTIsCounted takes its numbers from the table in the captures' README.
func TestNotSTTIsCounted(t *testing.T) {
	for _, test := range []struct {
		file               string
		packets, stt, tags int
	}{
		{"off-arp-ping4", 37, 36, 2},
		{"on-ping6", 28, 24, 0},
		{"off-tcp-bulk", 118, 117, 0},
		{"on-udp", 117, 115, 0},
		{"off-vlan", 166, 166, 87},
	} {
		_, got := run(t, replay.Config{Policy: acceptAll(t), Inputs: []string{"../testdata/pcaps/" + test.file + ".pcap"}})
		if got.Packets != test.packets || got.STT != test.stt || got.NotSTT != test.packets-test.stt || got.Tagged != test.tags {
			t.Errorf("%s: got %d packets, %d STT, %d not STT, %d tagged; want %d, %d, %d, %d", test.file,
				got.Packets, got.STT, got.NotSTT, got.Tagged, test.packets, test.stt, test.packets-test.stt, test.tags)
		}
	}
}

// BenchmarkRun is the whole of replay --json over one capture.
func BenchmarkRun(b *testing.B) {
	for _, name := range []string{"off-tcp-bulk", "on-tcp-bulk"} {
		b.Run("capture="+name, func(b *testing.B) {
			path := "../testdata/pcaps/" + name + ".pcap"
			info, err := os.Stat(path)
			if err != nil {
				b.Fatal(err)
			}
			rules := acceptAll(b)
			b.ReportAllocs()
			b.SetBytes(info.Size())
			for range b.N {
				run(b, replay.Config{Policy: rules, Inputs: []string{path}})
			}
		})
	}
}
