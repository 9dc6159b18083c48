package reassembly

import "testing"

func TestThePoolKeepsNoMoreSpansThanItsBound(t *testing.T) {
	p := pool{maxIdleSpans: 100}
	for range 5 {
		p.putSpans(make([]span, 0, 30))
	}
	p.putSpans(nil)
	if len(p.spans) != 3 || p.idleSpans != 90 {
		t.Errorf("got %d slices, %d spans idle, want 3 and 90", len(p.spans), p.idleSpans)
	}
	for range 3 {
		if got := p.getSpans(); cap(got) != 30 || len(got) != 0 {
			t.Errorf("got %d of %d spans, want an empty slice of 30", len(got), cap(got))
		}
	}
	if p.getSpans() != nil || p.idleSpans != 0 {
		t.Errorf("%d spans idle, want none", p.idleSpans)
	}
}
