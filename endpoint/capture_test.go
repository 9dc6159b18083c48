package endpoint

import (
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket/pcapgo"

	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

const captures = "../testdata/pcaps"

// capturedFrames calls f for every STT frame of a capture, in the order in
// which they became whole.
func capturedFrames(t testing.TB, path string, f func(frame []byte)) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	packets, err := pcapgo.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	r, err := reassembly.New(reassembly.Config{}, noDrops{t})
	if err != nil {
		t.Fatal(err)
	}
	for now := int64(0); ; now++ {
		data, _, err := packets.ReadPacketData()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		data = data[12:]
		for isTag(binary.BigEndian.Uint16(data)) {
			data = data[vlanTagLen:]
		}
		data = data[2:]
		var s stt.Segment
		if s.Decode(data, len(data), []uint16{stt.Port}) != reason.None {
			continue // ARP and the like
		}
		if frame := r.Add(now, &reassembly.Segment{
			Src: s.Src, Dst: s.Dst, SrcPort: s.SrcPort, DstPort: s.DstPort, FrameID: s.FrameID,
			FrameLength: int(s.FrameLength), Offset: int(s.Offset), Payload: s.Payload,
		}); frame != nil {
			f(frame.Data)
		}
	}
}

type noDrops struct{ t testing.TB }

func (n noDrops) Dropped(d *reassembly.Dropped) { n.t.Errorf("reassembly dropped %+v", d) }

// What a real sender encapsulated, handed to a tenant as the real receiver
// does it, and taken back as if the tenant had sent it, must give the frame
// that the real sender made: flags, L4 offset, MSS, TCI and every inner byte.
func TestRealFramesComeOutOfDecapsulationAndEncapsulationUnchanged(t *testing.T) {
	files, err := filepath.Glob(captures + "/*.pcap")
	if err != nil || len(files) == 0 {
		t.Fatalf("no captures in %s: %v", captures, err)
	}
	for _, path := range files {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".pcap"), func(t *testing.T) {
			facts := frameFacts(t, strings.TrimSuffix(path, ".pcap")+".frames.jsonl")
			n := 0
			capturedFrames(t, path, func(frame []byte) {
				var want stt.FrameHeader
				want.Decode(frame)
				if n >= len(facts) {
					t.Fatalf("more than %d frames", len(facts))
				}
				f := facts[n]
				if got := (fact{want.Flags, want.L4Offset, want.MSS, want.TCI}); got != f {
					t.Fatalf("frame %d: read %+v, want %+v", n, got, f)
				}
				var d delivery
				if drop := d.decapsulate(frame, false); drop != DropNone {
					t.Fatalf("frame %d: dropped as %v", n, drop)
				}
				buf := append(make([]byte, headroom), d.frame...)
				emitted := 0
				c := newEncapsulator(&Port{ContextID: want.ContextID, TCI: want.TCI}, 65473, maphash.MakeSeed(), func(o *outgoing) {
					emitted++
					if diff := cmp.Diff(want, o.header); diff != "" {
						t.Errorf("frame %d: header (-captured +ours):\n%s", n, diff)
					}
					if string(o.buf[o.start:o.end]) != string(frame[stt.FrameHeaderLen:]) {
						t.Errorf("frame %d: the inner frame changed", n)
					}
				})
				if drop := c.encapsulate(buf, headroom, len(buf), d.vnet, vlanTag{}); drop != DropNone || emitted != 1 {
					t.Errorf("frame %d: %d frames, dropped as %v; want one", n, emitted, drop)
				}
				n++
			})
			if n != len(facts) {
				t.Errorf("got %d frames, want %d", n, len(facts))
			}
		})
	}
}

// fact is what another program read in a frame header.
type fact struct {
	Flags    uint8  `json:"flags"`
	L4Offset uint8  `json:"l4_offset"`
	MSS      uint16 `json:"mss"`
	TCI      uint16 `json:"tci"`
}

func frameFacts(t *testing.T, path string) (facts []fact) {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	for d := json.NewDecoder(file); ; {
		var f fact
		if err := d.Decode(&f); err == io.EOF {
			return facts
		} else if err != nil {
			t.Fatal(err)
		}
		facts = append(facts, f)
	}
}
