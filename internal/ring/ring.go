// Package ring owns the bounded queue over which a worker tells something to
// somebody who is not on a packet's way.
//
//	worker ──Claim──▶ slot, filled in place ──Publish──▶ Take ──▶ one consumer
//	             └──▶ nil where it is full: lost, and counted
//
// It is Dmitry Vyukov's "Bounded MPMC queue", with one consumer, who looks now and
// then: a producer never waits, allocates nothing and wakes nobody.
//
// What is not here: what is told, and whether it is worth telling.
//
// Any number of goroutines may produce; one at a time consumes.
package ring

import "sync/atomic"

// Ring is a queue of values that are written and read in place.
type Ring[T any] struct {
	slots []Slot[T]
	tail  atomic.Uint64 // of producers
	lost  atomic.Uint64
	head  uint64 // of the consumer
}

// Slot is a place in a ring. Value is the producer's between Claim and Publish; it
// holds what was there before.
type Slot[T any] struct {
	Value T
	// turn says whose the slot is: the position, when it is free for it; the
	// position plus one, when it is filled.
	turn atomic.Uint64
	at   uint64 // the position, for which it is claimed
}

// New makes an empty ring of so many places, a power of two.
func New[T any](size int) *Ring[T] {
	if size < 1 || size&(size-1) != 0 {
		panic("ring: the size must be a power of two") // a constant of the caller's
	}
	r := &Ring[T]{slots: make([]Slot[T], size)}
	for i := range r.slots {
		r.slots[i].turn.Store(uint64(i))
	}
	return r
}

// Claim returns a place to fill and then publish, soon; nil where there is none,
// which is counted.
func (r *Ring[T]) Claim() *Slot[T] {
	for {
		at := r.tail.Load()
		s := &r.slots[at&uint64(len(r.slots)-1)]
		switch turn := s.turn.Load(); {
		case turn == at:
			if r.tail.CompareAndSwap(at, at+1) {
				s.at = at
				return s
			}
		case turn < at: // not yet taken since the last time round
			r.lost.Add(1)
			return nil
		} // else somebody was faster
	}
}

// Publish hands a claimed place to the consumer.
func (r *Ring[T]) Publish(s *Slot[T]) { s.turn.Store(s.at + 1) }

// Take hands the oldest value to use, which may change it and may not keep it; false
// if there is none.
func (r *Ring[T]) Take(use func(*T)) bool {
	s := &r.slots[r.head&uint64(len(r.slots)-1)]
	if s.turn.Load() != r.head+1 {
		return false
	}
	use(&s.Value)
	s.turn.Store(r.head + uint64(len(r.slots)))
	r.head++
	return true
}

// Waiting returns how many values have a place, published or not yet. It is for the
// consumer.
func (r *Ring[T]) Waiting() int { return int(r.tail.Load() - r.head) }

// Lost returns how many values found no place since the start.
func (r *Ring[T]) Lost() uint64 { return r.lost.Load() }
