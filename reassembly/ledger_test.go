package reassembly

import (
	"fmt"
	"net/netip"
	"testing"

	"sttwall/reason"
)

// opening returns the first segment, with the number id, of a frame of a
// source; only the length of the frame matters.
func opening(source byte, id uint64, length int) Segment {
	s := pieceOf(id, length, 18, 28)
	s.Src = netip.AddrFrom4([4]byte{10, 0, 0, source})
	s.FrameID = uint32(id)
	return s
}

// reasons adds a segment and returns what was dropped, as "source/packet reason".
func (g *rig) lost(s Segment) (list []string) {
	g.t.Helper()
	for _, o := range g.add(0, s) {
		for _, id := range o.IDs {
			list = append(list, fmt.Sprintf("%d/%d %v", o.Key.Src.As16()[15], id, o.Reason))
		}
	}
	return list
}

func (g *rig) wantLost(s Segment, want ...string) {
	g.t.Helper()
	if got := g.lost(s); fmt.Sprint(got) != fmt.Sprint(want) {
		g.t.Errorf("packet %d: lost %v, want %v", s.Packet.ID, got, want)
	}
}

// more returns a further segment of the frame that s opened.
func more(s Segment, id uint64, from int) Segment {
	s.Packet.ID, s.Offset = id, from
	return s
}

func TestASourceOverItsShareLosesItsOwnOldestFrame(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      Config
		length int
	}{
		{"frames", Config{Frames: 12, SourceFrames: 3}, 100},
		{"packets", Config{Packets: 12, SourcePackets: 3}, 100},
		{"memory", Config{Memory: 12 << 10, SourceMemory: 3 << 10}, 1000},
		{"memory, not a multiple", Config{Memory: 20<<10 + 5, SourceMemory: 5<<10 - 1}, 1400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, tt.c)
			g.wantLost(opening(2, 100, tt.length)) // somebody else, and older
			for id := uint64(1); id <= 3; id++ {
				g.wantLost(opening(1, id, tt.length))
			}
			for id := uint64(4); id <= 20; id++ {
				g.wantLost(opening(1, id, tt.length), fmt.Sprintf("1/%d source_share_full", id-3))
			}
			if st := g.r.Held(); st.Frames != 4 {
				t.Errorf("held %+v, want the share of one and the frame of the other", st)
			}
			if out := g.add(0, more(opening(1, 17, tt.length), 50, 30)); len(out) != 1 || !out[0].Late {
				t.Errorf("got %v, want a tombstone for what was evicted", out)
			}
		})
	}
}

func TestAFrameThatIsOverTheShareByItself(t *testing.T) {
	g := newRig(t, Config{Packets: 8, SourcePackets: 3, Memory: 8 << 10, SourceMemory: 4 << 10})
	a := opening(1, 1, 200)
	g.wantLost(a)
	g.wantLost(more(a, 2, 50))
	g.wantLost(opening(1, 3, 100))
	// The oldest of the source is the frame itself: it goes with the packet that came.
	g.wantLost(more(a, 4, 70), "1/1 source_share_full", "1/2 source_share_full", "1/4 source_share_full")
	g.wantLost(opening(1, 5, 4097), "1/5 source_share_full")
	g.wantLost(more(opening(1, 5, 4097), 6, 60), "1/6 source_share_full")
	// In one packet it needs no memory.
	if out := g.add(0, pieceOf(7, 4097, 0, 4097)); len(out) != 1 || out[0].Reason != reason.None {
		t.Errorf("got %v, want the frame that came in one packet", out)
	}
	g.wantLost(opening(1, 8, 4096), "1/3 source_share_full")
}

func TestTheLastPacketOfAFrameNeedsNoRoom(t *testing.T) {
	g := newRig(t, Config{Packets: 2, SourcePackets: 2})
	g.add(0, piece(1, 0, 30))
	g.add(0, piece(2, 30, 60))
	if out := g.add(0, piece(3, 60, 100)); len(out) != 1 || out[0].Reason != reason.None {
		t.Errorf("got %v, want the frame", out)
	}
}

// TestWhenAllIsFullTheOldestFrameOfAllIsLost has a total of six.
func TestWhenAllIsFullTheOldestFrameOfAllIsLost(t *testing.T) {
	for _, tt := range []struct {
		name   string
		c      Config
		length int
	}{
		{"frames", Config{Frames: 6, SourceFrames: 6}, 100},
		{"packets", Config{Packets: 6, SourcePackets: 6}, 100},
		{"memory", Config{Memory: 6 << 10, SourceMemory: 6 << 10}, 1000},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, tt.c)
			open := func(source byte, id uint64) Segment { return opening(source, id, tt.length) }
			for i, source := range []byte{3, 1, 1, 1, 2, 2} {
				g.wantLost(open(source, uint64(i)))
			}
			// Whoever adds, and whoever holds most.
			g.wantLost(open(3, 10), "3/0 reassembly_full")
			g.wantLost(open(2, 11), "1/1 reassembly_full")
			g.wantLost(open(4, 12), "1/2 reassembly_full")
			g.wantLost(open(4, 13), "1/3 reassembly_full")
			g.wantLost(open(1, 14), "2/4 reassembly_full")
			g.wantLost(open(5, 15), "2/5 reassembly_full")
			g.wantLost(open(6, 16), "3/10 reassembly_full")
		})
	}
}

func TestTheFrameThatNeedsRoomCanBeTheOldestItself(t *testing.T) {
	g := newRig(t, Config{Packets: 3, SourcePackets: 3})
	a := opening(1, 1, 200)
	g.wantLost(a)
	g.wantLost(opening(2, 2, 100))
	g.wantLost(more(a, 3, 50))
	g.wantLost(more(a, 4, 70), "1/1 reassembly_full", "1/3 reassembly_full", "1/4 reassembly_full")
	// What it held is free, and the other frame is still there.
	b := opening(2, 2, 100)
	g.wantLost(more(b, 5, 40))
	g.wantLost(more(b, 6, 60))
	if got := g.r.Held(); got.Frames != 1 || got.Packets != 3 {
		t.Errorf("held %+v, want 3 packets of one frame", got)
	}
}

// TestManySourcesCannotPushOutAnHonestOne: each of them holds less than it
// does, but for longer.
func TestManySourcesCannotPushOutAnHonestOne(t *testing.T) {
	for _, tt := range []struct {
		name  string
		c     Config
		ahead int // frames that the honest source begins before it ends the first
	}{
		{"frames, one at a time", Config{Frames: 64}, 1},
		{"frames, several at a time", Config{Frames: 64}, 8},
		{"packets", Config{Packets: 64}, 8},
		{"memory", Config{Memory: 128 << 10}, 8},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, tt.c)
			honest := func(i int, id uint64, from, to int) []outcome {
				s := pieceOf(id, 1500, from, to)
				s.FrameID = uint32(i)
				return g.add(0, s)
			}
			lost := 0
			for i := range 1000 {
				ghost := opening(0, uint64(10+3*i), 1500)
				ghost.Src = netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
				for _, o := range append(honest(i, uint64(11+3*i), 0, 1000), g.add(0, ghost)...) {
					lost++
					if o.Key.Src == endpointA || o.Reason != reason.ReassemblyFull {
						t.Fatalf("step %d: got %v, want another source to lose", i, o)
					}
				}
				ends := i + 1 - tt.ahead
				if ends < 0 {
					continue
				}
				out := honest(ends, uint64(12+3*ends), 1000, 1500)
				if len(out) != 1 || out[0].Reason != reason.None || out[0].Data != string(numbered(1500)) {
					t.Fatalf("step %d: got %v, want the honest frame", i, out)
				}
			}
			if lost < 900 {
				t.Errorf("%d frames lost, want all that found no room", lost)
			}
		})
	}
}

func TestAFrameThatWantsMoreThanOthersHoldGetsIn(t *testing.T) {
	g := newRig(t, Config{Memory: 8 << 10, SourceMemory: 8 << 10})
	for source := range byte(8) {
		g.wantLost(opening(source, uint64(source), 1000))
	}
	g.wantLost(opening(9, 9, 4000), "0/0 reassembly_full", "1/1 reassembly_full",
		"2/2 reassembly_full", "3/3 reassembly_full")
	// It holds most now, but is the youngest.
	g.wantLost(opening(9, 10, 1000), "4/4 reassembly_full")
}

// TestOneOffenderCannotPushOutOthers: whatever one source sends, frames of
// others become whole as if it were not there.
func TestOneOffenderCannotPushOutOthers(t *testing.T) {
	for _, tt := range []struct {
		name  string
		c     Config
		flood func(id uint64) Segment
	}{
		{"frames", Config{Frames: 16}, func(id uint64) Segment { return opening(66, id, 100) }},
		{"packets of one frame after the other", Config{Packets: 64}, func(id uint64) Segment {
			s := opening(66, id, 60000)
			s.FrameID, s.Offset = uint32(id/100)+1e6, 18+int(id%100)*10
			return s
		}},
		{"memory", Config{Memory: 256 << 10}, func(id uint64) Segment { return opening(66, id, 65535) }},
		{"refused segments", Config{Tombstones: 16, Frames: 16}, func(id uint64) Segment {
			return with(opening(66, id, 100), func(s *Segment) { s.Offset = 1 })
		}},
		{"addresses that are not listed", Config{Frames: 16, Listed: func(a netip.Addr) bool { return a.As4()[3] < 10 }},
			func(id uint64) Segment { return opening(byte(10+id%200), id, 100) }},
		{"everything at its largest",
			Config{Frames: 8, Packets: 16, Memory: 512 << 10},
			func(id uint64) Segment { return opening(66, id, 65535) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newRig(t, tt.c)
			id := uint64(1000)
			flood := func() {
				for range 300 {
					id++
					for _, o := range g.add(0, tt.flood(id)) {
						if last := o.Key.Src.As16()[15]; last < 10 {
							t.Fatalf("the flood pushed out %v", o)
						}
					}
				}
			}
			flood()
			honest := []Segment{opening(1, 1, 1500), opening(2, 2, 1500)}
			for i := range honest {
				s := honest[i]
				s.Payload, s.Offset = numbered(1500)[:700], 0
				for _, o := range g.add(0, s) {
					if o.Key.Src == s.Src {
						t.Fatalf("dropped: %v", o)
					}
				}
			}
			// Its tombstone must outlive the flood too.
			g.wantLost(with(opening(3, 3, 100), func(s *Segment) { s.Offset = 1 }), "3/3 segment_too_small")
			flood()
			for i := range honest {
				s := honest[i]
				s.Packet.ID += 100
				s.Payload, s.Offset = numbered(1500)[700:], 700
				out := g.add(0, s)
				if len(out) != 1 || out[0].Reason != reason.None || out[0].Data != string(numbered(1500)) {
					t.Errorf("got %v, want the frame", out)
				}
			}
			g.wantLost(opening(3, 3, 100), "3/3 segment_too_small")
		})
	}
}

func TestUnlistedSourcesShareOneBudget(t *testing.T) {
	g := newRig(t, Config{Frames: 100, SourceFrames: 2, Listed: func(a netip.Addr) bool { return a.As4()[3] < 10 }})
	g.wantLost(opening(1, 1, 100))
	g.wantLost(opening(20, 2, 100))
	g.wantLost(opening(21, 3, 100))
	g.wantLost(opening(22, 4, 100), "20/2 source_share_full")
	g.wantLost(opening(1, 5, 100))
	g.wantLost(opening(1, 6, 100), "1/1 source_share_full")
	if got := g.r.Held().Sources; got != 2 {
		t.Errorf("got %d sources, want 2", got)
	}
}
