package firewall

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"sttwall/reason"
	"sttwall/stt"
)

// TestTheInnerChecksumIsKnownHoweverTheFrameComes: it is put together from what the
// outer ones cover, or read.
func TestTheInnerChecksumIsKnownHoweverTheFrameComes(t *testing.T) {
	complete := innerTCP(t, 1000, 80, 3001)
	for _, tt := range []struct {
		name   string
		change func([]byte) []byte
		want   bool
	}{
		{"right", func(b []byte) []byte { return b }, true},
		{"right, with bytes behind the packet", func(b []byte) []byte { return append(b, 1, 2, 3) }, true},
		{"a payload byte is wrong", func(b []byte) []byte { b[1001] ^= 0x10; return b }, false},
		{"the last byte is wrong", func(b []byte) []byte { b[len(b)-1]++; return b }, false},
		{"the checksum is wrong", func(b []byte) []byte { b[34+16] ^= 1; return b }, false},
		{"two bytes have changed places", func(b []byte) []byte { b[1000], b[1001] = b[1001], b[1000]; return b }, false},
		{"two words have changed places", func(b []byte) []byte { // no checksum tells
			b[1000], b[1001], b[1002], b[1003] = b[1002], b[1003], b[1000], b[1001]
			return b
		}, true},
	} {
		for _, size := range []int{0, 1460, 101, 100} { // odd ones: parts at odd offsets
			for _, state := range []ChecksumState{ChecksumUnverified, ChecksumGood} {
				t.Run(fmt.Sprintf("%s/size=%d/state=%d", tt.name, size, state), func(t *testing.T) {
					frame := sttFrame(stt.FrameHeader{ContextID: 100}, tt.change(slices.Clone(complete)))
					packets := cut(path(), 5, frame, size)
					slices.Reverse(packets)
					b := newBench(t, benchConfig{})
					for i, data := range packets {
						b.sendAll(Packet{ID: uint64(i + 1), Data: data, Length: len(data), Checksum: state})
					}
					if len(b.events) != 1 || b.events[0].Reason != reason.None {
						t.Fatalf("got %+v, want the frame accepted", b.events)
					}
					if got := b.fw.tracked.Trusted; got != tt.want {
						t.Errorf("trusted: got %v, want %v", got, tt.want)
					}
				})
			}
		}
	}
}

// trains are frames in several packets, in the orders in which they can come.
var trains = []struct {
	name    string
	arrange func([]Packet) []Packet
}{
	{"in order", func(p []Packet) []Packet { return p }},
	{"shuffled", func(p []Packet) []Packet {
		rng := rand.New(rand.NewPCG(3, 3))
		rng.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
		return p
	}},
	{"reversed", func(p []Packet) []Packet { slices.Reverse(p); return p }},
	// Each from another sender, a packet of each in turn.
	{"interleaved", func(p []Packet) []Packet {
		slices.SortStableFunc(p, func(a, b Packet) int { return offsetIn(a.Data) - offsetIn(b.Data) })
		return p
	}},
}

func offsetIn(packet []byte) int { return int(binary.BigEndian.Uint16(packet[26:])) }

// train is some frames of 45 packets each, ready to be sent again and again under
// new frame IDs.
type train struct {
	*load
	round uint16
}

func newTrain(t testing.TB, frames int, arrange func([]Packet) []Packet) *train {
	h, data := stt.FrameHeader{ContextID: 100}, innerTCP(t, 1000, 80, 65000-72)
	tr := &train{load: newLoad(t, data, 1460, h, false)}
	frame := sttFrame(h, data)
	// Of millions of bits few are set, so that hardly ever an ID seems used.
	tr.fw.ids = newFilter(t, FrameIDConfig{Bits: 24})
	tr.packets = nil
	for i := range frames {
		p := path()
		src := p.Src.As4()
		p.Src = endpointAddr([]byte{src[0], src[1], src[2], src[3] + byte(i)}, 0)
		for _, data := range cut(p, 0xffff, frame, 1460) {
			tr.packets = append(tr.packets, Packet{ID: uint64(len(tr.packets)), Data: data, Length: len(data)})
		}
	}
	tr.packets = arrange(tr.packets)
	return tr
}

// send sends each frame once and reports whether all packets left. asTheyCame: none
// was written anew.
func (t *train) send() (left, asTheyCame bool) {
	t.round++
	for i := range t.packets {
		// The halves of the ID add up to what they were: the checksum stays.
		id := t.packets[i].Data[28:32]
		binary.BigEndian.PutUint16(id, t.round)
		binary.BigEndian.PutUint16(id[2:], 0xffff-t.round)
	}
	t.out.Reset()
	t.now += int64(100 * time.Millisecond) // the frame-ID filter forgets before IDs come again
	for at := 0; at < len(t.packets); at += 64 {
		t.fw.ProcessBatch(t.now, t.packets[at:min(at+64, len(t.packets))], &t.out)
	}
	left, asTheyCame = len(t.out.List) == len(t.packets), true
	for i := range t.out.List {
		v := &t.out.List[i]
		left = left && v.Action == Accept
		asTheyCame = asTheyCame && v.Payload == nil
	}
	return left, asTheyCame
}

func TestTrainsOfSegmentsAllocateNothing(t *testing.T) {
	for _, tt := range trains {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTrain(t, 8, tt.arrange)
			for range 3 {
				if left, asTheyCame := tr.send(); !left || !asTheyCame {
					t.Fatalf("left: %v, as they came: %v", left, asTheyCame)
				}
			}
			if got := testing.AllocsPerRun(100, func() { tr.send() }); got != 0 {
				t.Errorf("got %v allocations, want 0", got)
			}
		})
	}
}

// BenchmarkSegments: frames of 65,000 bytes in 45 packets, what one packet costs.
func BenchmarkSegments(b *testing.B) {
	for _, bm := range trains {
		b.Run(bm.name, func(b *testing.B) {
			tr := newTrain(b, 8, bm.arrange)
			b.ReportAllocs()
			b.SetBytes(8 * 65000)
			n := 0
			for b.Loop() {
				if left, _ := tr.send(); !left {
					b.Fatal("not all packets left")
				}
				n += len(tr.packets)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/segment")
		})
	}
}
