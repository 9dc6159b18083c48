package conntrack

import (
	"net/netip"
	"testing"
)

// Inner packets in fragments whose names make a pattern are as many to a bucket as
// others; and those chosen to meet in one table do not meet in another.
func TestFragmentsThatMakeAPatternDoNotCrowd(t *testing.T) {
	table := func() *Fragments {
		f, err := NewFragments(FragmentConfig{MaxPackets: 1 << 13})
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	bucket := func(f *Fragments, g piece) uint64 {
		id := f.ID(g.packet())
		return id.hash & f.mask
	}
	for name, g := range map[string]func(i uint32) piece{
		"IDs":          func(i uint32) piece { return piece{ip6: true, id: i} },
		"IDs in steps": func(i uint32) piece { return piece{ip6: true, id: i << 18} },
		"addresses":    func(i uint32) piece { return piece{src: byte(i), dst: byte(i >> 8), id: 7} },
		"Context IDs":  func(i uint32) piece { return piece{context: uint64(i) << 40, id: 7} },
	} {
		f, count := table(), map[uint64]int{}
		for i := range uint32(1 << 13) {
			count[bucket(f, g(i))]++
		}
		most := 0
		for _, n := range count {
			most = max(most, n)
		}
		if most > 40 { // eight are to be expected
			t.Errorf("%s: %d in one of %d buckets", name, most, f.mask+1)
		}
	}

	known, other, count := table(), table(), map[uint64]int{}
	for i, found := uint32(0), 0; found < 64; i++ {
		if g := (piece{ip6: true, id: i}); bucket(known, g) == 0 {
			count[bucket(other, g)]++
			found++
		}
	}
	for _, n := range count {
		if n > 10 {
			t.Errorf("of 64 chosen for another secret %d meet", n)
		}
	}
}

// Sources are counted in shards that nobody chooses.
func TestSourcesAreCountedWhereNobodyChooses(t *testing.T) {
	var known, other countTable[netip.Addr]
	known.init()
	other.init()
	count := map[*countShard[netip.Addr]]int{}
	for i, found := uint32(0), 0; found < 256; i++ {
		if a := addressAt(i); known.shard(a) == &known.shards[0] {
			count[other.shard(a)]++
			found++
		}
	}
	for _, n := range count {
		if n > 64 { // sixteen are to be expected
			t.Errorf("of 256 chosen for another secret %d meet in one of %d shards", n, len(other.shards))
		}
	}
}
