package control

import (
	"context"
	"testing"
	"time"

	"sttwall/firewall"
)

// Whoever waits for an event gets it, and not only with the next one.
func TestWhoWaitsGetsEachEvent(t *testing.T) {
	r := newRing()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	got := make(chan int)
	go func() {
		defer close(got)
		for n := 0; ; {
			if r.take(func(*firewall.FrameEvent, *Event) { n++ }) {
				got <- n
			} else if r.Wait(ctx) != nil {
				return
			}
		}
	}()
	for i := range 200000 {
		r.put(nil, &Event{Type: EventReload})
		select {
		case n := <-got:
			if n != i+1 {
				t.Fatalf("event %d is the %dth", i, n)
			}
		case <-ctx.Done():
			t.Fatalf("event %d has not come", i)
		}
	}
}
