package reassembly

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sttwall/reason"
)

func TestSegmentsInAnyOrderMakeTheFrame(t *testing.T) {
	a, b, c, d := piece(1, 0, 18), piece(2, 18, 50), piece(3, 50, 51), piece(4, 51, 100)
	for _, tt := range []struct {
		name  string
		order []Segment
	}{
		{"in order", []Segment{a, b, c, d}},
		{"backwards", []Segment{d, c, b, a}},
		{"the last one first", []Segment{d, a, b, c}},
		{"the first one last", []Segment{b, c, d, a}},
		{"from the middle", []Segment{b, d, a, c}},
		{"in one packet", []Segment{piece(1, 0, 100)}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, src := range []netip.Addr{endpointA, endpoint6} {
				g := newRig(t, Config{})
				var want []uint64
				for i, s := range tt.order {
					s.Src = src
					out := g.add(int64(100+i), s)
					want = append(want, uint64(i+1))
					if i < len(tt.order)-1 {
						if out != nil {
							t.Fatalf("got %v after %d segments, want them held", out, i+1)
						}
						continue
					}
					if diff := cmp.Diff([]outcome{{
						Key: s.key(), IDs: want, Data: string(numbered(100)), First: 100,
					}}, out, cmp.Comparer(func(a, b Key) bool { return a == b })); diff != "" {
						t.Errorf("frame (-want +got):\n%s", diff)
					}
				}
				st := g.r.Held()
				st.Idle = 0
				if st != (Stats{}) {
					t.Errorf("held %+v when the frame is out, want nothing", st)
				}
			}
		})
	}
}

func TestAFrameCarriesWhatItsPacketsTold(t *testing.T) {
	g := newRig(t, Config{})
	second := piece(2, 60, 100)
	second.Packet = Packet{
		ID: 2, GSO: true, Offset: 12345, FlowLabel: 0xabcde, IPID: 0x1234, TTL: 63, TOS: 0xb8,
		HeaderLen: 60, DontFragment: true, Canonical: true, Unfinished: true, Sum: 0x4321, Summed: true,
	}
	first := piece(1, 0, 60)
	g.r.Add(5, &second)
	f := g.r.Add(8, &first)
	if f == nil {
		t.Fatal("got no frame")
	}
	want := []Packet{{ID: 1, Offset: 0, Length: 60}, second.Packet}
	want[1].Offset, want[1].Length = 60, 40
	if diff := cmp.Diff(want, f.Packets, cmpopts.IgnoreUnexported(Packet{})); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if f.Key != first.key() || f.SrcPort != 40000 || f.DstPort != 7471 || f.FrameLength != 100 || f.First != 5 {
		t.Errorf("got %+v, want what its segments say", f)
	}
	f.Release()
	f.Release()
	if f.Data != nil || f.Packets != nil {
		t.Error("data left after Release")
	}
}

func TestAFrameInOnePacketIsNotCopied(t *testing.T) {
	g := newRig(t, Config{})
	s := piece(1, 0, 100)
	f := g.r.Add(0, &s)
	if f == nil || unsafe.SliceData(f.Data) != unsafe.SliceData(s.Payload) || cap(f.Data) != len(s.Payload) {
		t.Fatalf("got %+v, want its data to be the payload itself", f)
	}
	if g.r.keys.n != 0 || g.r.Held() != (Stats{}) {
		t.Errorf("held %+v, want nothing", g.r.Held())
	}
}

// TestNoTombstoneAfterAWholeFrame: frame IDs are used again.
func TestNoTombstoneAfterAWholeFrame(t *testing.T) {
	g := newRig(t, Config{})
	for i := range 3 {
		id := uint64(10 * i)
		if out := g.add(0, piece(id, 0, 50)); out != nil {
			t.Fatalf("got %v, want it held", out)
		}
		if out := g.add(0, piece(id+1, 50, 100)); len(out) != 1 || out[0].Reason != reason.None {
			t.Fatalf("got %v, want the frame", out)
		}
		if out := g.add(0, piece(id+2, 0, 100)); len(out) != 1 || out[0].Reason != reason.None {
			t.Fatalf("got %v, want the frame in one packet", out)
		}
	}
}

func TestAFrameHasItsTimeFromTheFirstSegmentOn(t *testing.T) {
	g := newRig(t, Config{Timeout: time.Second})
	if _, ok := g.r.NextDeadline(); ok {
		t.Error("got a deadline with nothing held")
	}
	const t0, second = 1e18, int64(time.Second)
	other := func(s Segment) Segment { return with(s, func(s *Segment) { s.FrameID++ }) }
	g.add(t0, piece(1, 0, 20))
	g.add(t0+second/2, other(piece(2, 0, 20)))
	g.add(t0+second-1, piece(3, 20, 40)) // gains no time
	for _, want := range []struct {
		deadline int64
		ids      []uint64
	}{{t0 + second, []uint64{1, 3}}, {t0 + second + second/2, []uint64{2}}} {
		deadline, ok := g.r.NextDeadline()
		if !ok || deadline != want.deadline {
			t.Fatalf("got deadline %d, %v, want %d", deadline, ok, want.deadline)
		}
		if out := g.expire(deadline - 1); out != nil {
			t.Errorf("got %v before the deadline", out)
		}
		out := g.expire(deadline)
		if len(out) != 1 || out[0].Reason != reason.FrameTimeout || !cmp.Equal(out[0].IDs, want.ids) {
			t.Errorf("got %v at the deadline, want %v dropped", out, want.ids)
		}
	}
	if _, ok := g.r.NextDeadline(); ok {
		t.Error("got a deadline when all is over")
	}
}

func TestAddDropsWhatIsOverFirst(t *testing.T) {
	g := newRig(t, Config{Timeout: time.Second})
	g.add(0, piece(1, 0, 50))
	out := g.add(int64(time.Second), piece(2, 50, 100))
	if len(out) != 2 || out[0].Reason != reason.FrameTimeout || out[0].Late ||
		out[1].Reason != reason.FrameTimeout || !out[1].Late {
		t.Errorf("got %v, want the frame timed out and its last segment late", out)
	}
}

func TestFlushDropsAllInTheOrderOfTheirBeginning(t *testing.T) {
	g := newRig(t, Config{})
	for i, id := range []uint32{3, 1, 2} {
		g.add(0, with(piece(uint64(i), 0, 50), func(s *Segment) { s.FrameID = id }))
	}
	g.add(0, with(piece(9, 50, 60), func(s *Segment) { s.FrameID = 3 }))
	out := g.flush()
	var got [][]uint64
	for _, o := range out {
		if o.Reason != reason.FrameIncomplete {
			t.Errorf("got %v, want frame_incomplete", o)
		}
		got = append(got, o.IDs)
	}
	if diff := cmp.Diff([][]uint64{{0, 9}, {1}, {2}}, got); diff != "" {
		t.Errorf("packets (-want +got):\n%s", diff)
	}
	if out := g.flush(); out != nil {
		t.Errorf("got %v from a second flush", out)
	}
}

func TestADropShowsTheStartOfTheFrameIfItIsThere(t *testing.T) {
	for _, tt := range []struct {
		name     string
		segments []Segment
		known    int
		received int
	}{
		{"the first segment", []Segment{piece(1, 0, 50)}, 50, 50},
		{"two in a row", []Segment{piece(2, 50, 70), piece(1, 0, 50)}, 70, 70},
		{"a gap", []Segment{piece(2, 60, 70), piece(1, 0, 50)}, 50, 60},
		{"not the first one", []Segment{piece(2, 50, 70)}, 0, 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, Config{})
			for _, s := range tt.segments {
				g.add(0, s)
			}
			out := g.flush()
			if len(out) != 1 || out[0].Data != string(numbered(100)[:tt.known]) || out[0].Received != tt.received {
				t.Errorf("got %v, want %d bytes of data, %d received", out, tt.known, tt.received)
			}
		})
	}
}

// TestAFrameComesOutEqualOrNotAtAll: random frames, cut anywhere, in any
// order, some segments twice, all interleaved.
func TestAFrameComesOutEqualOrNotAtAll(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	whole, dropped := 0, 0
	for round := 0; round < 150 && !t.Failed(); round++ {
		frameData := make(map[Key][]byte)
		twice := make(map[Key]bool)
		var way []Segment
		for i := range 1 + rng.IntN(12) {
			key := Key{netip.AddrFrom4([4]byte{10, 0, 0, byte(rng.IntN(3))}), endpointB, uint32(i / 2)}
			if _, ok := frameData[key]; ok {
				continue // two frames with one key are contradictions, tested elsewhere
			}
			data := make([]byte, 18+rng.IntN([]int{30, 1500, 9000, 65535 - 17}[rng.IntN(4)]))
			for j := range data {
				data[j] = byte(rng.Uint32())
			}
			frameData[key] = data
			for at := 0; at < len(data); {
				least := 1
				if at == 0 {
					least = 18
				}
				n := min(least+rng.IntN(1+len(data)/(1+rng.IntN(20))), len(data)-at)
				s := Segment{Src: key.Src, Dst: key.Dst, FrameID: key.FrameID, SrcPort: uint16(i),
					FrameLength: len(data), Offset: at, Payload: data[at : at+n]}
				way = append(way, s)
				if rng.IntN(60) == 0 {
					way = append(way, s)
					twice[key] = true
				}
				at += n
			}
		}
		rng.Shuffle(len(way), func(i, j int) { way[i], way[j] = way[j], way[i] })
		g := newRig(t, Config{SourcePackets: DefaultPackets, SourceMemory: DefaultMemory})
		came := make(map[Key]int)
		for i, s := range way {
			s.Packet.ID = uint64(i)
			for _, o := range g.add(int64(i), s) {
				if o.Reason != reason.None {
					dropped++
					if !twice[o.Key] {
						t.Errorf("frame %v, which came once, was dropped: %v", o.Key, o)
					}
					continue
				}
				whole++
				came[o.Key]++
				if !bytes.Equal([]byte(o.Data), frameData[o.Key]) {
					t.Errorf("frame %v came out different", o.Key)
				}
			}
		}
		g.flush()
		for key := range frameData {
			if !twice[key] && came[key] != 1 {
				t.Errorf("frame %v came out %d times, want once", key, came[key])
			}
		}
	}
	if whole == 0 || dropped == 0 {
		t.Errorf("%d frames whole, %d dropped: both must occur", whole, dropped)
	}
}
