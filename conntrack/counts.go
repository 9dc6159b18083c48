package conntrack

import (
	"hash/maphash"
	"math"
	"sync"
)

// noLimit is for [countTable.add].
const noLimit = math.MaxInt

// countTable counts flows by who began them: an inner address, or an outer
// endpoint. It never has more entries than there are flows.
type countTable[K comparable] struct {
	seed   maphash.Seed
	shards [16]countShard[K]
}

type countShard[K comparable] struct {
	mu     sync.Mutex
	counts map[K]uint32
}

func (t *countTable[K]) init() {
	t.seed = maphash.MakeSeed()
	for i := range t.shards {
		t.shards[i].counts = make(map[K]uint32)
	}
}

func (t *countTable[K]) shard(k K) *countShard[K] {
	return &t.shards[maphash.Comparable(t.seed, k)%uint64(len(t.shards))]
}

// add counts a flow and reports whether k may have it.
func (t *countTable[K]) add(k K, limit int) bool {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.counts[k]
	if int(n) >= limit {
		return false
	}
	s.counts[k] = n + 1
	return true
}

// count returns how many flows are counted.
func (t *countTable[K]) count(k K) int {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	return int(s.counts[k])
}

func (t *countTable[K]) remove(k K) {
	s := t.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if n := s.counts[k]; n > 1 {
		s.counts[k] = n - 1
	} else {
		delete(s.counts, k)
	}
}
