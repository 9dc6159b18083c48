package reassembly

import "testing"

func TestAShelfKeepsNoMoreThanItsBound(t *testing.T) {
	s := shelf[Packet]{most: 100}
	for range 5 {
		s.put(make([]Packet, 7, 30))
	}
	s.put(nil)
	if len(s.slices) != 3 || s.idle != 90 {
		t.Errorf("got %d slices, %d packets idle, want 3 and 90", len(s.slices), s.idle)
	}
	for range 3 {
		if got := s.get(); cap(got) != 30 || len(got) != 0 {
			t.Errorf("got %d of %d packets, want an empty slice of 30", len(got), cap(got))
		}
	}
	if s.get() != nil || s.idle != 0 {
		t.Errorf("%d packets idle, want none", s.idle)
	}
}

func TestThePoolTakesRunsBackEmpty(t *testing.T) {
	p := newPool(&Config{Packets: 1000, Frames: 10})
	var o order
	for i := range 200 {
		o.insert(o.end(), span{uint16(i), uint16(i + 1), uint16(i)}, &p)
	}
	runs := len(o)
	p.putOrder(o)
	for range runs {
		if r := p.getRun(); r.n != 0 || r.next != nil {
			t.Fatalf("got a run of %d spans, next %v, want an empty one", r.n, r.next)
		}
	}
	if p.runs != nil {
		t.Error("more runs came back than went")
	}
	if got := p.orders.get(); cap(got) < runs || got[:runs][0] != nil {
		t.Errorf("got an order of %d, want room for %d and nothing in it", cap(got), runs)
	}
}
