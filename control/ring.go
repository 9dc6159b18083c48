package control

import (
	"sttwall/binding"
	"sttwall/firewall"
	queue "sttwall/internal/ring"
)

// ringSize is how many events wait for a subscriber; a power of two. At 832 bytes
// each, all subscribers together take no more than 28 MB.
const ringSize = 2048

// ring carries events from workers to one subscriber. Where it is full, the event is
// lost and counted.
type ring struct{ *queue.Ring[slot] }

// slot is a place in the ring.
type slot struct {
	frame firewall.FrameEvent
	moves [binding.MaxClaims]binding.Move // of the frame
	told  *Event                          // if not nil, this and not frame
}

func newRing() *ring { return &ring{queue.New[slot](ringSize)} }

// put copies one of the two into the ring, without the inner data that frame
// borrows.
func (r *ring) put(frame *firewall.FrameEvent, told *Event) {
	defer r.Rouse() // behind End: who is woken earlier finds nothing, and sleeps on
	if place := r.Claim(); place != nil {
		filled := false
		defer func() { r.End(place, filled) }()
		s := &place.Value
		if s.told = told; told == nil {
			s.frame = *frame
			s.frame.Forget()
			s.frame.Moves = s.moves[:copy(s.moves[:], frame.Moves)]
		}
		filled = true
	}
}

// take hands the oldest event to use, which may not keep it; false if there is none.
func (r *ring) take(use func(*firewall.FrameEvent, *Event)) bool {
	return r.Take(func(s *slot) {
		if s.told != nil {
			use(nil, s.told)
		} else {
			use(&s.frame, nil)
		}
		s.frame, s.told = firewall.FrameEvent{}, nil // no old policy is kept alive
	})
}
