package conntrack

import (
	"sync/atomic"
	"unsafe"

	"sttwall/internal/prefetch"
)

const (
	// ExpectAtOnce is how many flows [Table.Expect] asks for at the same time: what
	// comes for them is 256 cache lines, 16 KiB, half of a small first cache.
	ExpectAtOnce = 64
	// outOfCache is how many flows no longer stay in a processor's second cache.
	outOfCache = 8 << 10
	// maxExpect bounds how many slots are looked at: without the lock nobody
	// promises that a free one comes.
	maxExpect = 64
)

// Cold reports whether there are so many flows that most are in memory and not in
// a cache, so that [Table.Expect] pays.
func (t *Table) Cold() bool { return t.flows.Load() > outOfCache }

// Expect asks for the memory of flows of which packets come soon, and does not
// wait for it. It changes nothing and takes no lock; keys of no flow do no harm.
//
// A flow that is in no cache costs two waits for memory, one after the other: for
// its slot and for its entry, 100 ns and more each. A worker that calls Expect for
// a batch of packets, before Track for each of them, has the waits of all of them
// together (group prefetching: Chen, Ailamaki, Gibbons and Mowry, "Improving Hash
// Join Performance through Prefetching", 2004).
func (t *Table) Expect(keys []Key) {
	var hashes [ExpectAtOnce]uint64
	for len(keys) > 0 {
		n := min(len(keys), ExpectAtOnce)
		for i := range n {
			p, _ := keys[i].pack()
			hashes[i] = t.hash(&p)
			s, _ := t.shardOf(hashes[i])
			hash, _ := split(hashes[i])
			prefetch.Line(unsafe.Pointer(&s.slots[s.home(hash)]))
		}
		for _, h := range hashes[:n] {
			s, _ := t.shardOf(h)
			s.expect(h)
		}
		keys = keys[n:]
	}
}

// expect asks for the entry that a hash most likely has, and returns its number plus
// one; 0 if there is none.
func (s *shard) expect(h uint64) uint32 {
	hash, tag := split(h)
	i := s.home(hash)
	for range maxExpect {
		slot := atomic.LoadUint32(&s.slots[i])
		if slot == 0 {
			return 0
		}
		if slot&0xff000000 == tag {
			n := slot&0xffffff - 1
			prefetch.ThreeLines(unsafe.Pointer(s.at(n)))
			return n + 1
		}
		i = s.after(i)
	}
	return 0
}
