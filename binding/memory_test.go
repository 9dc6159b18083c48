package binding

import (
	"testing"
	"unsafe"
)

// A table that is full takes no more than was said, and not much less.
func TestAFullTableTakesTheMemoryThatWasSaid(t *testing.T) {
	for _, n := range []int{1, 100, 5000, 40_000} {
		table := newTable(t, Config{MaxBindings: n, MaxPerEndpoint: n})
		for i := range 2 * n {
			table.claim(1, addressClaim(i), outer(1), true)
		}
		var got int64
		for i := range table.shards {
			s := &table.shards[i]
			got += int64(4*len(s.slots) + len(s.slabs)*slabSize*int(unsafe.Sizeof(entry{})))
		}
		if bound := (Config{MaxBindings: n}).Memory(); got > bound || got < bound/2 {
			t.Errorf("%d bindings: %d bytes, and %d were said", n, got, bound)
		}
	}
}
