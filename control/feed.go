package control

import (
	"slices"
	"sync"
	"sync/atomic"

	"sttwall/firewall"
	"sttwall/policy"
)

// maxSubscribers bounds who follows events at once, and maxReadingSubscribers
// how many of them may be of those who only read.
const maxSubscribers, maxReadingSubscribers = 16, 12

// Feed hands what happens to those who follow it. The zero value is ready.
type Feed struct {
	rings atomic.Pointer[[]*ring] // nil: nobody follows

	lost atomic.Uint64 // by all rings, as far as they have said so

	mu      sync.Mutex // of what follows, and of changing rings
	readers int
}

// Observe takes what a worker tells of a frame; it is a [firewall.Config.Observer].
// With nobody there it costs one load; else it copies what is worth telling into
// the ring of each subscriber. It never waits and allocates nothing.
func (f *Feed) Observe(e *firewall.FrameEvent) {
	rings := f.rings.Load()
	if rings == nil || !worthTelling(e) {
		return
	}
	for _, r := range *rings {
		r.put(e, nil)
	}
}

// worthTelling reports whether a frame is an event: one that is dropped, or would
// be, that begins a flow, that moves a binding, or that a rule logs.
func worthTelling(e *firewall.FrameEvent) bool {
	return e.Verdict == firewall.Drop || e.Begins || e.Decision.Audit || e.Decision.Log || len(e.Moves) > 0
}

// Tell hands e to all who follow; it must not change any more.
func (f *Feed) Tell(e *Event) {
	rings := f.rings.Load()
	if rings == nil {
		return
	}
	for _, r := range *rings {
		r.put(nil, e)
	}
}

// subscribe adds a subscriber until leave is called; nil if there are too many.
func (f *Feed) subscribe(reader bool) (r *ring, leave func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	rings := f.all()
	if len(rings) >= maxSubscribers || reader && f.readers >= maxReadingSubscribers {
		return nil, nil
	}
	if reader {
		f.readers++
	}
	r = newRing()
	f.set(append(slices.Clone(rings), r))
	return r, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.set(slices.DeleteFunc(slices.Clone(f.all()), func(one *ring) bool { return one == r }))
		if reader {
			f.readers--
		}
		f.told(r)
	}
}

// told takes what a ring has lost since this was last asked.
func (f *Feed) told(r *ring) uint64 {
	n := r.TakeLost()
	f.lost.Add(n)
	return n
}

// losses counts the events that were lost by all who have followed.
func (f *Feed) losses() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := f.lost.Load()
	for _, r := range f.all() {
		n += r.Lost()
	}
	return n
}

// Health returns how those who follow do.
func (f *Feed) Health() EventsHealth { return EventsHealth{Followers: f.followers(), Lost: f.losses()} }

// followers is how many follow now.
func (f *Feed) followers() int { return len(f.all()) }

func (f *Feed) all() []*ring {
	if rings := f.rings.Load(); rings != nil {
		return *rings
	}
	return nil
}

func (f *Feed) set(rings []*ring) {
	if len(rings) == 0 {
		f.rings.Store(nil)
		return
	}
	f.rings.Store(&rings)
}

// eventType is what a frame is told as.
func eventType(e *firewall.FrameEvent) string {
	switch {
	case e.Verdict == firewall.Drop && e.Decision.Action == policy.Reject:
		return EventReject
	case e.Verdict == firewall.Drop:
		return EventDrop
	case e.Decision.Audit:
		return EventWouldDrop
	case len(e.Moves) > 0:
		return EventMove
	case e.Begins:
		return EventFlow
	}
	return EventAccept
}
