package ring

import "testing"

// A producer that panics between Claim and Publish must not have the reader wait at its
// slot for ever.
func TestASlotThatWasNotFilledIsPassedOver(t *testing.T) {
	r := New[int](4)
	put := func(n int, fails bool) {
		defer func() { recover() }()
		s := r.Claim()
		filled := false
		defer func() { r.End(s, filled) }()
		if fails {
			panic("a mistake")
		}
		s.Value, filled = n, true
	}
	var got []int
	drain := func() {
		for r.Take(func(n *int) { got = append(got, *n) }) {
		}
	}
	want := 0
	for n := range 20 { // several rounds, with one, two and three in a row
		fails := n%5 < n%4
		put(n, fails)
		if n%3 == 2 {
			drain()
		}
		if !fails {
			want++
		}
	}
	drain()
	if len(got) != want || r.Lost() != uint64(20-want) || r.Ready() || r.Waiting() != 0 {
		t.Errorf("got %v, want %d values; %d lost, %d wait", got, want, r.Lost(), r.Waiting())
	}
	for _, n := range got {
		if n%5 < n%4 {
			t.Errorf("got %d, which was never filled", n)
		}
	}
}
