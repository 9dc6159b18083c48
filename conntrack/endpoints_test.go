package conntrack

import (
	"net/netip"
	"testing"
)

// DESIGN: one sender cannot starve the rest, whatever it sends and whoever answers.
func TestAnEndpointLeavesRoomForTheFlowsOfOthers(t *testing.T) {
	table := newTable(t, 100)
	bad, good := netip.MustParseAddr("10.47.1.66"), netip.MustParseAddr("10.47.1.1")
	first := func(from netip.Addr, port uint16) *Packet {
		p := other(17, port, 53, false)
		p.From = from
		return p
	}
	now := int64(0)
	begin := func(from netip.Addr, port uint16, answered bool) string {
		now++
		got := word(meet(table, now, first(from, port), Limits{}))
		if answered && got == "original" {
			meet(table, now, other(17, port, 53, true), Limits{})
		}
		return got
	}
	for port := range uint16(75) {
		if got := begin(bad, port, true); got != "original" {
			t.Fatalf("flow %d: %s", port, got)
		}
	}
	for port := uint16(100); port < 200; port++ {
		if got := begin(bad, port, true); got != "endpoint_flows" {
			t.Fatalf("beyond its share: %s", got)
		}
		p := first(bad, port)
		if got := table.Room(now, p, &Limits{}); got.String() != "endpoint_flows" {
			t.Fatalf("asked for room: %v", got)
		}
	}
	for port := uint16(1000); port < 1025; port++ {
		if got := begin(good, port, false); got != "original" {
			t.Errorf("flow %d of another endpoint: %s", port, got)
		}
	}
	// The table is full. What nobody has answered of the others stays, however much
	// the one sends that has used up its share.
	for port := uint16(200); port < 300; port++ {
		begin(bad, port, false)
	}
	var r Result
	for port := uint16(1000); port < 1025; port++ {
		if table.Track(now, 1, first(good, port), &r); r.State != StateOriginal {
			t.Errorf("flow %d of another endpoint is %v", port, r.State)
		}
	}
	if s := table.Stats(); s.Evicted != 0 || s.RefusedEndpoint != 200 || s.Flows != 100 {
		t.Errorf("%+v", s)
	}

	// With one flow less, it pushes out its own.
	table.Track(now, 1, first(bad, 0), &r)
	table.End(r.Handle)
	for port := uint16(300); port < 310; port++ {
		if got := begin(bad, port, false); got != "original" {
			t.Errorf("in place of its own: %s", got)
		}
	}
	if table.Track(now, 1, first(bad, 308), &r); r.State != StateNew {
		t.Errorf("its own, which nobody has answered: %v", r.State)
	}
	if s := table.Stats(); s.Evicted != 9 || s.Flows != 100 {
		t.Errorf("%+v", s)
	}

	// A flow that moves counts where it is now; in the end nobody has any.
	table.Track(now, 1, first(bad, 1), &r)
	moved := first(good, 1)
	moved.MayMove = true
	if table.Track(now, 1, moved, &r); r.MovedFrom != bad {
		t.Fatalf("%+v", r)
	}
	if n := table.endpoints.count(bad.As16()); n != 74 {
		t.Errorf("%d flows count for the one that it has left, want 74", n)
	}
	table.Expire(1<<60, 1000)
	if b, g := table.endpoints.count(bad.As16()), table.endpoints.count(good.As16()); b != 0 || g != 0 {
		t.Errorf("%d and %d flows are left", b, g)
	}
	recount(t, table)
}
