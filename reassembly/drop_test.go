package reassembly

import (
	"testing"
	"time"

	"sttwall/reason"
)

func refused(source byte, id uint64) Segment {
	return with(opening(source, id, 100), func(s *Segment) { s.Offset = 1 })
}

// late reports whether the key of the frame that has this number is remembered.
func (g *rig) late(source byte, id uint64) bool {
	g.t.Helper()
	s := opening(source, id, 100)
	e := g.r.keys.get(s.Src, s.Dst, s.FrameID)
	return e != nil && e.tombstone()
}

func (g *rig) wantLate(source byte, late ...uint64) {
	g.t.Helper()
	for _, id := range late {
		if !g.late(source, id) {
			g.t.Errorf("frame %d of source %d is forgotten", id, source)
		}
	}
}

func (g *rig) wantForgotten(source byte, id uint64) {
	g.t.Helper()
	if g.late(source, id) {
		g.t.Errorf("frame %d of source %d is remembered", id, source)
	}
}

func TestATombstoneLastsItsTimeAndNoLonger(t *testing.T) {
	g := newRig(t, Config{Timeout: time.Second, TombstoneLife: 10 * time.Second})
	const second = int64(time.Second)
	g.add(0, piece(1, 0, 50))
	g.expire(second)
	for i, at := range []int64{2 * second, 11*second - 1} {
		out := g.add(at, piece(uint64(10+i), 50, 100))
		if len(out) != 1 || !out[0].Late || out[0].Reason != reason.FrameTimeout || out[0].First != at {
			t.Errorf("at %d: got %v, want it late", at, out)
		}
	}
	if out := g.add(11*second, piece(20, 50, 100)); out != nil {
		t.Errorf("got %v after the tombstone's time, want a new frame", out)
	}
	if out := g.add(11*second, piece(21, 0, 50)); len(out) != 1 || out[0].Reason != reason.None {
		t.Errorf("got %v, want the frame", out)
	}
	st := g.r.Held()
	st.Idle = 0
	if st != (Stats{}) {
		t.Errorf("held %+v, want nothing", st)
	}
}

func TestTombstonesAreBoundedForEachSource(t *testing.T) {
	g := newRig(t, Config{Tombstones: 10, SourceTombstones: 2})
	g.wantLost(refused(2, 1), "2/1 segment_too_small")
	for id := uint64(11); id <= 13; id++ {
		g.add(0, refused(1, id))
	}
	g.wantForgotten(1, 11)
	g.wantLate(1, 12, 13)
	g.wantLate(2, 1)
	// A dropped frame leaves one like a refused segment does.
	g.add(0, opening(1, 14, 100))
	g.flush()
	g.wantForgotten(1, 12)
	g.wantLate(1, 13, 14)
}

func TestWhenTombstonesAreFullTheOldestOfAllIsForgotten(t *testing.T) {
	g := newRig(t, Config{Tombstones: 5, SourceTombstones: 5})
	for id, source := range []byte{3, 1, 1, 2, 2} {
		g.add(0, refused(source, uint64(id)))
	}
	g.add(0, refused(3, 10))
	g.wantForgotten(3, 0)
	g.add(0, refused(3, 11))
	g.wantForgotten(1, 1)
	g.wantLate(3, 10, 11)
	g.wantLate(2, 3, 4)
	g.wantLate(1, 2)
	// A source's only tombstone goes for that of another: the source goes too.
	for id, source := range []byte{4, 5, 6} {
		g.add(0, refused(source, uint64(100+id)))
	}
	g.wantForgotten(1, 2)
	g.wantForgotten(2, 3)
	g.wantForgotten(2, 4)
	if got := g.r.Held(); got.Tombstones != 5 || got.Sources != 4 {
		t.Errorf("held %+v, want 5 tombstones of 4 sources", got)
	}
}

// TestTheOnlyTombstoneOfTheSourceThatAdds is replaced while the source itself
// has nothing else that keeps it known.
func TestTheOnlyTombstoneOfTheSourceThatAdds(t *testing.T) {
	g := newRig(t, Config{Tombstones: 1, SourceTombstones: 1, Frames: 1, SourceFrames: 1})
	g.add(0, refused(1, 1))
	g.wantLost(opening(1, 2, 100))
	g.wantLost(opening(2, 3, 100), "1/2 reassembly_full") // takes the place of 1's tombstone as well
	g.wantForgotten(1, 1)
	g.wantLate(1, 2)
	g.wantLost(opening(2, 4, 100), "2/3 source_share_full") // and 1 is gone
	g.wantForgotten(1, 2)
	g.wantLate(2, 3)
	if got := g.r.Held().Sources; got != 1 {
		t.Errorf("got %d sources, want 1", got)
	}
}
