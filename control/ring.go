package control

import (
	"context"
	"sync/atomic"

	"sttwall/binding"
	"sttwall/firewall"
)

// ringSize is how many events wait for a subscriber; a power of two. At 832 bytes
// each, all subscribers together take no more than 28 MB.
const ringSize = 2048

// ring carries events from workers to one subscriber: a bounded queue of many
// producers after Dmitry Vyukov's "Bounded MPMC queue", with one consumer. A
// producer never waits for anybody and allocates nothing: where the ring is full,
// the event is lost and counted.
type ring struct {
	slots [ringSize]slot
	tail  atomic.Uint64 // of producers
	lost  atomic.Uint64 // since the consumer last asked

	head     uint64 // of the consumer
	sleeping atomic.Bool
	wake     chan struct{} // room for one
}

// slot is a place in the ring. turn says whose it is: the position, when it is
// free for it; the position plus one, when it is filled.
type slot struct {
	turn  atomic.Uint64
	frame firewall.FrameEvent
	moves [binding.MaxClaims]binding.Move // of the frame
	told  *Event                          // if not nil, this and not frame
}

func newRing() *ring {
	r := &ring{wake: make(chan struct{}, 1)}
	for i := range r.slots {
		r.slots[i].turn.Store(uint64(i))
	}
	return r
}

// put copies one of the two into the ring, without the inner data that frame
// borrows.
func (r *ring) put(frame *firewall.FrameEvent, told *Event) {
	for {
		at := r.tail.Load()
		s := &r.slots[at%ringSize]
		turn := s.turn.Load()
		switch {
		case turn == at:
			if !r.tail.CompareAndSwap(at, at+1) {
				continue
			}
			if s.told = told; told == nil {
				s.frame = *frame
				s.frame.Forget()
				s.frame.Moves = s.moves[:copy(s.moves[:], frame.Moves)]
			}
			s.turn.Store(at + 1)
		case turn < at: // not yet taken since the last time round
			r.lost.Add(1)
		default:
			continue // somebody was faster
		}
		break
	}
	if r.sleeping.Load() && r.sleeping.CompareAndSwap(true, false) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// take hands the oldest event to use, which may not keep it; false if there is none.
func (r *ring) take(use func(*firewall.FrameEvent, *Event)) bool {
	s := &r.slots[r.head%ringSize]
	if s.turn.Load() != r.head+1 {
		return false
	}
	if s.told != nil {
		use(nil, s.told)
	} else {
		use(&s.frame, nil)
	}
	s.frame, s.told = firewall.FrameEvent{}, nil // no old policy is kept alive
	s.turn.Store(r.head + ringSize)
	r.head++
	return true
}

// wait returns when there may be an event, or with an error when ctx has ended.
func (r *ring) wait(ctx context.Context) error {
	r.sleeping.Store(true)
	defer r.sleeping.Store(false)
	if r.slots[r.head%ringSize].turn.Load() == r.head+1 {
		return nil
	}
	select {
	case <-r.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
