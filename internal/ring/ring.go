// Package ring owns the bounded queue over which workers tell something to somebody
// who is not on a packet's way.
//
//	worker ──Claim──▶ Slot, filled in place ──Publish──▶ Take ──▶ one consumer
//	             │                              └─Rouse─▶ Wait
//	             └──▶ nil where it is full: lost, and counted
//
// It is Dmitry Vyukov's "Bounded MPMC queue", with one consumer. A producer never
// waits for anybody and allocates nothing. A consumer who looks now and then needs
// neither Rouse nor Wait.
//
// What is not here: what is told, and whether it is worth telling.
//
// Any number of goroutines may produce; one at a time consumes.
package ring

import (
	"context"
	"sync/atomic"
)

// Ring is a queue of values that are written and read in place.
type Ring[T any] struct {
	slots []Slot[T]
	tail  atomic.Uint64 // of producers
	lost  atomic.Uint64

	head     uint64 // of the consumer
	sleeping atomic.Bool
	wake     chan struct{} // room for one
}

// Slot is a place in a ring. Value is the producer's between Claim and Publish; it
// holds what was there before.
type Slot[T any] struct {
	Value T
	// turn says whose the slot is: the first position of the round, when it is free
	// in it; that plus one, when it is filled. It is 0 in the first round: memory that
	// nobody has used is not touched.
	turn atomic.Uint64
	at   uint64 // the position for which it is claimed
	void bool   // it was not filled
}

// New makes an empty ring of so many places, a power of two, and two at least: of one
// nobody could tell whether it is full.
func New[T any](size int) *Ring[T] {
	if size < 2 || size&(size-1) != 0 {
		panic("ring: the size must be a power of two, and two at least") // a constant of the caller's
	}
	return &Ring[T]{slots: make([]Slot[T], size), wake: make(chan struct{}, 1)}
}

// Claim returns a place to fill and then publish, soon; nil where there is none,
// which is counted.
func (r *Ring[T]) Claim() *Slot[T] {
	for {
		at := r.tail.Load()
		s := r.slot(at)
		switch turn, round := s.turn.Load(), r.round(at); {
		case turn == round:
			if r.tail.CompareAndSwap(at, at+1) {
				s.at = at
				return s
			}
		case turn < round: // not yet taken since the last time round
			r.lost.Add(1)
			return nil
		} // else somebody was faster
	}
}

func (r *Ring[T]) slot(at uint64) *Slot[T] { return &r.slots[at&uint64(len(r.slots)-1)] }

// round returns the first position of the round that a position is in.
func (r *Ring[T]) round(at uint64) uint64 { return at &^ uint64(len(r.slots)-1) }

// Publish hands a claimed place to the consumer.
func (r *Ring[T]) Publish(s *Slot[T]) { s.turn.Store(r.round(s.at) + 1) }

// End publishes a slot if it was filled; [Ring.Rouse] comes behind it. If not its reader passes over it, and it counts
// as lost: who claims and may panic before the slot is filled defers this, for the reader
// waits at that slot for ever otherwise.
func (r *Ring[T]) End(s *Slot[T], filled bool) {
	if !filled {
		s.void = true
		r.lost.Add(1)
	}
	r.Publish(s)
}

// Rouse wakes the consumer where it waits.
func (r *Ring[T]) Rouse() {
	if r.sleeping.Load() && r.sleeping.CompareAndSwap(true, false) {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
}

// Lose counts a value that a producer, or the consumer, gives up for a reason of its
// own.
func (r *Ring[T]) Lose() { r.lost.Add(1) }

// Lost returns how many values were lost since the start, or since [Ring.TakeLost].
func (r *Ring[T]) Lost() uint64 { return r.lost.Load() }

// TakeLost returns how many values were lost, and begins to count anew.
func (r *Ring[T]) TakeLost() uint64 { return r.lost.Swap(0) }

// Ready reports whether there is a value. It and what follows is for the consumer.
func (r *Ring[T]) Ready() bool { return r.slot(r.head).turn.Load() == r.round(r.head)+1 }

// Waiting returns how many values have a place, published or not yet.
func (r *Ring[T]) Waiting() int { return int(r.tail.Load() - r.head) }

// Take hands the oldest value to use, which may change it and may not keep it; false
// if there is none.
func (r *Ring[T]) Take(use func(*T)) bool {
	s := r.slot(r.head)
	for {
		if !r.Ready() {
			return false
		}
		if !s.void {
			break
		}
		s.void = false
		r.free(s)
		s = r.slot(r.head)
	}
	// Whatever use does, the place is free behind it.
	defer r.free(s)
	use(&s.Value)
	return true
}

// free gives the first slot to the next round.
func (r *Ring[T]) free(s *Slot[T]) {
	s.turn.Store(r.round(r.head) + uint64(len(r.slots)))
	r.head++
}

// Wait returns when there may be a value, or with an error when ctx has ended.
func (r *Ring[T]) Wait(ctx context.Context) error {
	r.sleeping.Store(true)
	defer r.sleeping.Store(false)
	if r.Ready() {
		return nil
	}
	select {
	case <-r.wake:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
