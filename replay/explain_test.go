package replay_test

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/capture"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/replay"
	"sttwall/stt"
)

// Their list of frames says which packets each is made of, and a replay what
// became of it; an explanation of any packet must say the same.
func TestAnExplanationOfAPacketNamesItsFrameAndWhatReplayDecides(t *testing.T) {
	text, err := os.ReadFile("../testdata/rules/captures.hcl")
	if err != nil {
		t.Fatal(err)
	}
	rules := load(t, string(text))
	for _, path := range captures(t) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			var events []firewall.FrameEvent
			_, err := replay.Run(t.Context(), replay.Config{Policy: rules, Inputs: []string{path}, Observer: func(e *firewall.FrameEvent) { events = append(events, *e) }})
			if err != nil {
				t.Fatal(err)
			}
			frames, err := os.ReadFile(strings.TrimSuffix(path, ".pcap") + ".frames.jsonl")
			if err != nil {
				t.Fatal(err)
			}
			for i, l := range decodeLines(t, frames) {
				if i%15 != 0 {
					continue // each explanation is two replays
				}
				var numbers []int
				for _, n := range l["packets"].([]any) {
					v, err := n.(json.Number).Int64()
					if err != nil {
						t.Fatal(err)
					}
					numbers = append(numbers, int(v))
				}
				for _, n := range []int{numbers[0], numbers[len(numbers)-1]} {
					x, err := replay.Explain(t.Context(), replay.Config{Policy: rules, Inputs: []string{path}}, n)
					if err != nil {
						t.Fatal(err)
					}
					e := &events[i]
					if diff := cmp.Diff(numbers, x.Packets); diff != "" || !x.STT || x.Decided != numbers[len(numbers)-1] {
						t.Errorf("packet %d: decided with %d, -want +got\n%s", n, x.Decided, diff)
					}
					if x.Left != (e.Verdict == firewall.Accept) || x.Reason != e.Reason || x.Rewritten != e.Rewritten || x.Policy == nil {
						t.Fatalf("packet %d: %+v, want %v %v", n, x, e.Verdict, e.Reason)
					}
					d := x.Policy.Decision
					if d.Rule != e.Decision.Rule || d.Tenant != e.Decision.Tenant || d.Reason != e.Reason || x.Policy.Begins != e.Begins || x.Policy.State != e.State {
						t.Errorf("packet %d: %v %+v, want %v %+v", n, x.Policy.State, d, e.State, e.Decision)
					}
				}
			}
		})
	}
}

func TestAnExplanationSaysWhyAPacketIsDroppedWhateverTheRulesAre(t *testing.T) {
	h := stt.FrameHeader{ContextID: 100}
	three := frame{path: path4, id: 5, inner: innerTCP(t, 4000), header: h, cuts: []int{0, 1400, 2800}}
	segments := three.packets()
	whole := frame{path: path4, id: 6, inner: innerTCP(t, 100), header: h, cuts: []int{0}}
	bad := frame{path: path4, id: 7, inner: innerTCP(t, 100), header: stt.FrameHeader{Version: 1, ContextID: 100}, cuts: []int{0}}
	single := whole.packets()[0]
	broken := bytes.Clone(segments[1])
	broken[36]++ // its checksum
	syn := whole
	syn.bend = func(b []byte) { b[20+13] |= 2 }
	other := bytes.Clone(single)
	other[9] = 17 // UDP
	rules := acceptAll(t)
	for _, tt := range []struct {
		name    string
		packets [][]byte
		number  int
		want    replay.Explained // Frame and Policy are not compared
		framed  bool
	}{
		{"whole", [][]byte{single}, 1, replay.Explained{STT: true, Left: true, Packets: []int{1}, Decided: 1}, true},
		{"the middle of a frame, between others", [][]byte{segments[0], single, segments[1], other, segments[2]}, 3,
			replay.Explained{STT: true, Left: true, Packets: []int{1, 3, 5}, Decided: 5}, true},
		{"out of order", [][]byte{segments[2], segments[0], segments[1]}, 1,
			replay.Explained{STT: true, Left: true, Packets: []int{2, 3, 1}, Decided: 3}, true},
		{"not STT", [][]byte{single, other}, 2, replay.Explained{Decided: 0}, false},
		{"a frame that is refused", [][]byte{single, bad.packets()[0]}, 2, replay.Explained{STT: true, Reason: reason.FrameVersion, Packets: []int{2}, Decided: 2}, true},
		{"twice", [][]byte{segments[0], segments[0], segments[1]}, 1, replay.Explained{STT: true, Reason: reason.SegmentDuplicate, Packets: []int{1, 2}, Decided: 2}, true},
		{"after its frame was dropped", [][]byte{segments[0], segments[0], segments[1]}, 3, replay.Explained{STT: true, Decided: 3}, false},
		{"a segment that is refused", [][]byte{segments[0], broken, segments[1]}, 2, replay.Explained{STT: true, Reason: reason.SegmentChecksum, Decided: 2}, false},
		{"a SYN", [][]byte{syn.packets()[0]}, 1, replay.Explained{STT: true, Reason: reason.SegmentFlags, Packets: []int{1}, Decided: 1}, true},
		{"never whole", [][]byte{segments[0], single, segments[1]}, 1, replay.Explained{STT: true, Reason: reason.FrameIncomplete, Packets: []int{1, 3}}, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := replay.Explain(t.Context(), replay.Config{Policy: rules, Inputs: []string{record(t, tt.packets...)}}, tt.number)
			if err != nil {
				t.Fatal(err)
			}
			got := *x
			got.Frame, got.Policy = nil, nil
			slices.Sort(got.Packets)
			slices.Sort(tt.want.Packets)
			if diff := cmp.Diff(tt.want, got); diff != "" || (x.Frame != nil) != tt.framed || (x.Policy != nil) != tt.want.Left {
				t.Errorf("frame %v, policy %v, -want +got:\n%s", x.Frame, x.Policy, diff)
			}
		})
	}
}

// In one packet's time a frame may time out, which is not why that is dropped.
func TestAnExplanationDoesNotTakeOthersReasons(t *testing.T) {
	f := frame{path: path4, id: 5, inner: innerTCP(t, 4000), header: stt.FrameHeader{ContextID: 100}, cuts: []int{0, 1400, 2800}}
	segments := f.packets()
	broken := bytes.Clone(segments[1])
	broken[36]++ // its checksum
	all := records(capture.LinkEthernet, segments[0], broken)
	all[1].Time += int64(time.Minute)
	path := recordAll(t, all...)
	for number, want := range map[int]replay.Explained{
		1: {STT: true, Reason: reason.FrameTimeout, Packets: []int{1}, Decided: 2}, 2: {STT: true, Reason: reason.SegmentChecksum, Decided: 2},
	} {
		x, err := replay.Explain(t.Context(), replay.Config{Policy: acceptAll(t), Inputs: []string{path}}, number)
		if err != nil {
			t.Fatal(err)
		}
		x.Frame = nil
		if diff := cmp.Diff(want, *x); diff != "" {
			t.Errorf("packet %d: -want +got:\n%s", number, diff)
		}
	}
}

// The flows are those that there would be: an answer needs its question.
func TestAnExplanationKnowsTheFlowsOfThePacketsBefore(t *testing.T) {
	rules := load(t, `
settings {
  endpoints = ["10.47.0.0/16"]
}
tenant "acme" {
  context_ids = [100]
  rule "dns" {
    action      = "accept"
    destination = ["192.168.100.2"]
    services    = ["udp/53"]
  }
}
`)
	c := replay.Config{Policy: rules, Inputs: []string{"../testdata/pcaps/on-dns.pcap"}}
	x, err := replay.Explain(t.Context(), c, 2)
	if err != nil {
		t.Fatal(err)
	}
	if p := x.Policy; p.Flow == nil || !p.OfFlow || p.Decision.Rule != "acme/dns" || p.Flow.Packets != [2]uint32{1, 0} || p.Rules.Claim != "context_ids 0x64" {
		t.Errorf("%+v", p)
	}
	if x, err = replay.Explain(t.Context(), c, 1); err != nil || x.Policy.Flow != nil || !x.Policy.Begins || x.Policy.Decision.Action != policy.Accept {
		t.Errorf("%+v, %v", x, err)
	}
}

func TestWhatCannotBeExplained(t *testing.T) {
	rules := acceptAll(t)
	path := captures(t)[0]
	for _, tt := range []struct {
		name   string
		inputs []string
		number int
		want   string
	}{
		{"no capture", nil, 1, "one capture"}, {"standard input", []string{"-"}, 1, "one capture"}, {"two", []string{path, path}, 1, "one capture"},
		{"no file", []string{path + ".none"}, 1, "no such file"}, {"past the end", []string{path}, 1 << 30, "there is no packet 1073741824"}, {"0", []string{path}, 0, "there is no packet 0"},
		{"negative", []string{path}, -1, "there is no packet -1"},
	} {
		if x, err := replay.Explain(t.Context(), replay.Config{Policy: rules, Inputs: tt.inputs}, tt.number); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %+v, %v, want an error with %q", tt.name, x, err, tt.want)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := replay.Explain(ended, replay.Config{Policy: rules, Inputs: []string{path}}, 1); err == nil {
		t.Error("it does not stop")
	}
}
