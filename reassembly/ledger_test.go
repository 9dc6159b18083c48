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

// TestWhenAllIsFullTheOneThatHoldsMostLosesItsOldest has a total of six.
func TestWhenAllIsFullTheOneThatHoldsMostLosesItsOldest(t *testing.T) {
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
			g.wantLost(open(3, 10), "1/1 reassembly_full") // 3 2, 1 2, 2 2
			// All hold the same: who adds holds as much as anybody, and pays.
			g.wantLost(open(2, 11), "2/4 reassembly_full")
			// A newcomer takes from the one that holds its frame longest.
			g.wantLost(open(4, 12), "3/0 reassembly_full") // 3 1, 1 2, 2 2, 4 1
			g.wantLost(open(4, 13), "1/2 reassembly_full") // 3 1, 1 1, 2 2, 4 2
			g.wantLost(open(4, 14), "4/12 reassembly_full")
			g.wantLost(open(5, 15), "2/5 reassembly_full") // 3 1, 1 1, 2 1, 4 2, 5 1
			g.wantLost(open(6, 16), "4/13 reassembly_full")
			// One each.
			g.wantLost(open(7, 17), "1/3 reassembly_full")
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
	// It holds most now.
	g.wantLost(opening(9, 10, 1000), "9/9 reassembly_full")
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
		{"everything at its largest, with totals alone",
			Config{Frames: 8, SourceFrames: 8, Packets: 16, SourcePackets: 16, Memory: 512 << 10, SourceMemory: 512 << 10},
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
