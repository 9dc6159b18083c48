package control

import (
	"sync/atomic"
	"testing"

	"sttwall/firewall"
)

// What a worker tells of may be at fault, and the panic is contained: those who read go on.
func TestReadersGoOnBehindAPanic(t *testing.T) {
	contained := func(name string, put func()) {
		t.Helper()
		defer func() {
			if recover() == nil {
				t.Errorf("%s: there was no panic", name)
			}
		}()
		put()
	}
	frame := &firewall.FrameEvent{FrameID: 7}

	r := newRing()
	contained("ring", func() { r.put(nil, nil) })
	r.put(frame, nil)
	var got uint32
	if !r.take(func(e *firewall.FrameEvent, _ *Event) { got = e.FrameID }) || got != 7 {
		t.Errorf("ring: got frame %d, want that behind the panic", got)
	}

	g := dropRing{slots: make([]keptDrop, 1)}
	var seq atomic.Uint64
	contained("drops", func() { g.put(nil, &seq) })
	if !g.put(frame, &seq) {
		t.Error("drops: the place is locked for ever")
	}
	shown := 0
	g.visit(func(k *keptDrop) { shown += int(k.frame.FrameID) })
	contained("drops", func() { g.put(nil, &seq) })
	g.visit(func(k *keptDrop) { t.Errorf("drops: shows %+v, of which only a part was written", k.frame) })
	if shown != 7 {
		t.Errorf("drops: got %d, want frame 7", shown)
	}
}
