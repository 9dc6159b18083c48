package conntrack

import (
	"math"
	"sync"
	"sync/atomic"
	"unsafe"

	"sttwall/internal/arena"
)

// shard is a part of the flows behind a lock: a hash table of slots, which name
// entries in slabs. It is three whole cache lines, so that two workers in two shards
// do not wait for each other's.
type shard struct {
	mu sync.Mutex
	// slots hold tag<<24 | entry+1; 0 is free. They are written with the lock
	// held; expect reads them, and slabs, without.
	slots []uint32
	slabs []slab
	limit int    // of count
	free  uint32 // entry+1, linked through next
	used  uint32 // entries ever made
	count int
	lists [statuses]list
}

const (
	slabBits = 8 // whole pages of entries, and a size of records that the allocator has
	slabSize = 1 << slabBits
)

// slab is the memory of some flows, 232 bytes each; nil until they begin.
type slab struct {
	entries atomic.Pointer[[slabSize]entry]
	records *[slabSize]record
}

// pages are the memory of a slab, outside of Go's heap: see [arena.Arena].
type pages struct {
	entries [slabSize]entry
	records [slabSize]record
}

// take gets the slab its memory, or returns false if there is none.
func (s *slab) take(from *arena.Arena) bool {
	b := from.Take(int(unsafe.Sizeof(pages{})))
	if b == nil {
		return false
	}
	p := (*pages)(unsafe.Pointer(&b[0]))
	s.records = &p.records
	s.entries.Store(&p.entries)
	return true
}

// init makes room for about so many flows. Slots are two fifths full then, so that four
// of five searches end where they begin: to go on costs more than memory for slots. A shard that has more than its share, by the luck of the hash, has room for
// eight standard deviations.
func (s *shard) init(flows int) {
	s.bound(flows)
	s.slots = make([]uint32, s.slotsNeeded())
	s.slabs = make([]slab, s.slabsNeeded())
}

func (s *shard) bound(flows int) { s.limit = flows + 8*int(math.Sqrt(float64(flows))) }

func (s *shard) slotsNeeded() int { return s.limit*5/2 + 8 }

func (s *shard) slabsNeeded() int { return s.limit>>slabBits + 1 }

// leaveHeap gives an empty shard slots that are not on Go's heap, where they would let as
// much garbage pile up. Where there is no such memory they stay.
func (s *shard) leaveHeap(memory *arena.Arena) {
	if b := memory.Take(4 * len(s.slots)); b != nil {
		s.slots = unsafe.Slice((*uint32)(unsafe.Pointer(&b[0])), len(s.slots))
	}
}

func (s *shard) at(n uint32) *entry { return &s.slabs[n>>slabBits].entries.Load()[n&(slabSize-1)] }

func (s *shard) record(n uint32) *record { return &s.slabs[n>>slabBits].records[n&(slabSize-1)] }

// split returns the bits of a hash that find a slot, and those that are in it.
func split(h uint64) (hash, tag uint32) { return uint32(h >> 24), uint32(h>>56) << 24 }

// home is where the search for a hash begins (Lemire, Fast Random Integer
// Generation in an Interval, 2019).
func (s *shard) home(hash uint32) uint32 { return uint32(uint64(hash) * uint64(len(s.slots)) >> 32) }

func (s *shard) after(i uint32) uint32 {
	if i++; i == uint32(len(s.slots)) {
		return 0
	}
	return i
}

// distance is how many slots i is behind from, once around if need be.
func (s *shard) distance(from, i uint32) uint32 {
	if i >= from {
		return i - from
	}
	return i + uint32(len(s.slots)) - from
}

// has reports whether the entry with that number, plus one, is that of a key. 0 is no
// entry; any that was ever in a slot can be asked for.
func (s *shard) has(n uint32, p *packed) bool {
	if n == 0 {
		return false
	}
	e := s.at(n - 1)
	return e.is(p) && e.live()
}

// find returns the entry of a key, or false.
func (s *shard) find(p *packed, h uint64) (uint32, bool) {
	hash, tag := split(h)
	for i := s.home(hash); ; i = s.after(i) {
		slot := s.slots[i]
		if slot == 0 {
			return 0, false
		}
		if slot&0xff000000 == tag {
			if n := slot&0xffffff - 1; s.at(n).is(p) {
				return n, true
			}
		}
	}
}

// insert makes an entry for a key that is not there; false if the shard has no
// room, or the host no memory.
func (s *shard) insert(p *packed, h uint64, memory *arena.Arena) (uint32, *entry, bool) {
	if s.count >= s.limit {
		return 0, nil, false
	}
	var n uint32
	if s.free != 0 {
		n = s.free - 1
		s.free = s.record(n).next
	} else {
		n = s.used
		if of := &s.slabs[n>>slabBits]; of.records == nil && !of.take(memory) {
			return 0, nil, false
		}
		s.used++
	}
	hash, tag := split(h)
	e := s.at(n)
	*e = entry{name: *p.name(), version: e.version + 1}
	*s.record(n) = record{hash: hash}
	i := s.home(hash)
	for s.slots[i] != 0 {
		i = s.after(i)
	}
	atomic.StoreUint32(&s.slots[i], tag|(n+1))
	s.count++
	return n, e, true
}

// remove takes an entry out of slots and gives it back. What follows it in its
// run of slots moves up (Knuth, The Art of Computer Programming 6.4, algorithm
// R), so that searches end at a free slot.
func (s *shard) remove(n uint32) {
	e, r := s.at(n), s.record(n)
	i := s.home(r.hash)
	for s.slots[i]&0xffffff != n+1 {
		i = s.after(i)
	}
	for j := s.after(i); s.slots[j] != 0; j = s.after(j) {
		home := s.home(s.record(s.slots[j]&0xffffff - 1).hash)
		if s.distance(home, j) >= s.distance(i, j) {
			atomic.StoreUint32(&s.slots[i], s.slots[j])
			i = j
		}
	}
	atomic.StoreUint32(&s.slots[i], 0)
	s.lists[e.status].unlink(s, n)
	r.next = s.free
	s.free = n + 1
	e.version++ // handles that still name it are of no use
	s.count--
}
