package reassembly

import (
	"math/rand/v2"
	"net/netip"
	"testing"
)

// TestTheTableIsAMap does at random what a map does too, with so few lists that keys
// meet in all of them.
func TestTheTableIsAMap(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	hosts := []netip.Addr{endpointA, endpointB, endpoint6, netip.AddrFrom16(endpointA.As16())}
	table := newTable(8)
	want := make(map[Key]*entry)
	for range 20_000 {
		k := Key{hosts[rng.IntN(4)], hosts[rng.IntN(4)], rng.Uint32N(8)}
		e := want[k]
		if got := table.get(k.Src, k.Dst, k.FrameID); got != e {
			t.Fatalf("%v: got %p, want %p", k, got, e)
		}
		switch {
		case e == nil && rng.IntN(2) == 0:
			want[k] = &entry{key: k}
			table.add(want[k])
		case e != nil && rng.IntN(2) == 0:
			table.remove(e)
			delete(want, k)
		}
		if table.n != len(want) {
			t.Fatalf("%d entries, want %d", table.n, len(want))
		}
	}
}
