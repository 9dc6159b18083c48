package conntrack

import (
	"math/bits"
	"unsafe"
)

// Memory is how many bytes the table of c takes at most, outside of Go's heap: when it is
// full, with what it has for the luck of the hash.
func (c Config) Memory() int64 {
	n := shardsFor(c.MaxFlows)
	var s shard
	s.bound((c.MaxFlows + n - 1) / n)
	slabs := int64(s.slabsNeeded()) * int64(unsafe.Sizeof(pages{}))
	return int64(n)*(int64(s.slotsNeeded())*4+slabs) + chunk
}

// Heap is how many bytes of Go's heap the flows of c take at most where every flow is
// counted for another source: an entry of a map each, whose tables are half empty after
// they have grown.
func (c Config) Heap() int64 {
	const entry = int64(unsafe.Sizeof(source{}) + 4 + 1)
	return 2 * entry * int64(c.MaxFlows) * 8 / 7
}

// Memory is how many bytes of Go's heap the table of c takes at most.
func (c FragmentConfig) Memory() int64 {
	buckets := int64(1) << bits.Len(uint((c.MaxPackets-1)/fragmentWays))
	return buckets * int64(unsafe.Sizeof(fragmentBucket{})+8)
}
