package binding

import (
	"math/bits"
	"net/netip"
)

// endpoint is an outer address, without pointers.
type endpoint struct {
	address [16]byte
	is4     bool
}

func endpointOf(a netip.Addr) endpoint { return endpoint{a.As16(), a.Is4()} }

func (e endpoint) addr() netip.Addr {
	a := netip.AddrFrom16(e.address)
	if e.is4 {
		return a.Unmap()
	}
	return a
}

// entry is a binding. It has no pointers, so that the garbage collector has
// nothing to follow.
type entry struct {
	key        key
	tag        uint8 // bits of the key's hash
	touched    bool  // claimed again since it was put at the end of its list
	endpoint   endpoint
	hash       uint32 // bits of the key's hash that find its slot
	version    uint32 // counts up when it begins and when it ends, from 0
	moves      uint32
	account    uint32 // of the endpoint
	prev, next uint32 // list of the account; entry+1
	last       int64  // when the endpoint last claimed it
	life       int64  // ns after last for which it is remembered
	since      int64  // when it was bound to the endpoint
}

func (e *entry) live() bool { return e.version&1 != 0 }

func (e *entry) over(now int64) bool { return now-e.last >= e.life }

func (s *shard) at(i uint32) *entry { return &s.slabs[i>>slabBits][i&(slabSize-1)] }

// find returns the entry of a key, or false.
func (s *shard) find(k *key, h uint64) (uint32, bool) {
	if s.count == 0 {
		return 0, false
	}
	mask := uint32(len(s.slots) - 1)
	tag := uint32(h>>56) << 24
	for i := uint32(h>>24) & mask; ; i = (i + 1) & mask {
		slot := s.slots[i]
		if slot == 0 {
			return 0, false
		}
		if slot&0xff000000 == tag {
			n := slot&0xffffff - 1
			if s.at(n).key == *k {
				return n, true
			}
		}
	}
}

// insert makes an entry for a key that is not there. There is room: at most half
// of the slots are ever used.
func (s *shard) insert(k *key, h uint64) (*entry, uint32) {
	if s.slots == nil {
		s.slots = make([]uint32, 1<<max(4, bits.Len(uint(2*s.capacity-1))))
	}
	var n uint32
	if s.free != 0 {
		n = s.free - 1
		s.free = s.at(n).next
	} else {
		n = s.used
		if n>>slabBits == uint32(len(s.slabs)) {
			s.slabs = append(s.slabs, make([]entry, slabSize))
		}
		s.used++
	}
	e := s.at(n)
	*e = entry{key: *k, hash: uint32(h >> 24), tag: uint8(h >> 56), version: e.version + 1}
	mask := uint32(len(s.slots) - 1)
	i := e.hash & mask
	for s.slots[i] != 0 {
		i = (i + 1) & mask
	}
	s.slots[i] = uint32(e.tag)<<24 | (n + 1)
	s.count++
	return e, n
}

// remove takes an entry out of its list and of the slots. What follows it in its
// run of slots moves up (Knuth, The Art of Computer Programming 6.4, algorithm
// R), so that searches end at a free slot.
func (s *shard) remove(n uint32) {
	s.delist(n)
	e := s.at(n)
	mask := uint32(len(s.slots) - 1)
	i := e.hash & mask
	for s.slots[i]&0xffffff != n+1 {
		i = (i + 1) & mask
	}
	for j := (i + 1) & mask; s.slots[j] != 0; j = (j + 1) & mask {
		home := s.at(s.slots[j]&0xffffff-1).hash & mask
		if (j-home)&mask >= (j-i)&mask {
			s.slots[i] = s.slots[j]
			i = j
		}
	}
	s.slots[i] = 0
	e.next = s.free
	s.free = n + 1
	e.version++ // whoever found it before notices
	s.count--
}
