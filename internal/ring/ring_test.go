package ring

import (
	"context"
	"sync"
	"testing"
)

func TestTheRingKeepsOrderAndLosesNothingUnseen(t *testing.T) {
	type value struct{ producer, number int }
	r := New[value](64)
	const producers, each = 4, 20000
	var running sync.WaitGroup
	done := make(chan struct{})
	for p := range producers {
		running.Go(func() {
			for i := range each {
				if s := r.Claim(); s != nil {
					s.Value = value{p, i}
					r.Publish(s)
				}
			}
		})
	}
	go func() {
		running.Wait()
		close(done)
	}()
	last := [producers]int{-1, -1, -1, -1}
	seen := uint64(0)
	drain := func() {
		for r.Take(func(v *value) {
			if v.number <= last[v.producer] {
				t.Errorf("producer %d: %d after %d", v.producer, v.number, last[v.producer])
			}
			last[v.producer] = v.number
			seen++
		}) {
		}
	}
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		drain()
	}
	if seen+r.Lost() != producers*each {
		t.Errorf("%d seen, %d lost, want %d together", seen, r.Lost(), producers*each)
	}
}

func TestAFullRingTakesNothingMore(t *testing.T) {
	const size = 8
	r := New[int](size)
	for i := range size + 3 {
		s := r.Claim()
		if (s == nil) != (i >= size) {
			t.Fatalf("the %d. place: %v", i+1, s)
		}
		if s != nil {
			s.Value = i
			r.Publish(s)
		}
	}
	if r.Lost() != 3 {
		t.Errorf("%d lost, want 3", r.Lost())
	}
	n := 0
	for r.Take(func(v *int) {
		if *v != n {
			t.Errorf("got %d, want %d", *v, n)
		}
		n++
	}) {
	}
	if n != size {
		t.Errorf("%d taken, want %d", n, size)
	}
}

func TestAClaimedPlaceIsNotTakenBeforeItIsPublished(t *testing.T) {
	r := New[int](2)
	s := r.Claim()
	if r.Take(func(*int) {}) {
		t.Error("it is taken")
	}
	r.Publish(s)
	if !r.Take(func(*int) {}) {
		t.Error("it is not there")
	}
}

func TestTellingAllocatesNothing(t *testing.T) {
	r := New[[100]byte](4)
	if n := testing.AllocsPerRun(100, func() {
		if s := r.Claim(); s != nil {
			s.Value[0]++
			r.Publish(s)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A consumer that waits misses nothing, whenever a producer comes.
func TestWhoWaitsIsRoused(t *testing.T) {
	r := New[int](4)
	const count = 20000
	go func() {
		for i := 0; i < count; {
			if s := r.Claim(); s != nil {
				s.Value = i
				r.Publish(s)
				i++
			}
			r.Rouse()
		}
	}()
	for next := 0; next < count; {
		if err := r.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		for r.Take(func(v *int) {
			if *v != next {
				t.Fatalf("got %d, want %d", *v, next)
			}
			next++
		}) {
		}
	}
	over, stop := context.WithCancel(t.Context())
	stop()
	for r.Wait(over) == nil { // it may have been roused before
	}
}

func TestAPlaceIsFreeBehindAPanic(t *testing.T) {
	r := New[int](2)
	r.Publish(r.Claim())
	r.Publish(r.Claim())
	func() {
		defer func() { recover() }()
		r.Take(func(*int) { panic("a mistake") })
	}()
	if r.Waiting() != 1 || r.Claim() == nil {
		t.Errorf("%d wait", r.Waiting())
	}
}

func TestLossesAreCountedAnewWhenTheyWereTaken(t *testing.T) {
	r := New[int](2)
	r.Publish(r.Claim())
	r.Publish(r.Claim())
	r.Claim()
	r.Lose()
	if n := r.TakeLost(); n != 2 || r.Lost() != 0 {
		t.Errorf("%d lost, then %d", n, r.Lost())
	}
}

func TestASizeThatCannotWorkIsRefused(t *testing.T) {
	for _, size := range []int{-1, 0, 1, 3, 6} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%d places are taken", size)
				}
			}()
			New[int](size)
		}()
	}
}
