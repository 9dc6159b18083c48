package reassembly

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
)

// table finds entries by key. It is as large as the bounds let it become from the
// start, so that it never has to grow on a packet's way, and its hash is seeded: a
// sender chooses frame IDs, and cannot know which of them meet.
type table struct {
	seed  maphash.Seed
	lists []*entry // by hash, linked by entry.next
	n     int
	last  *entry // that was found or added last; nil: none
}

// newTable returns a table for so many entries.
func newTable(entries int) table {
	return table{seed: maphash.MakeSeed(), lists: make([]*entry, 1<<bits.Len(uint(entries-1)))}
}

func (t *table) list(k *Key) **entry { return &t.lists[k.Hash(t.seed)&uint64(len(t.lists)-1)] }

// Hash returns a hash of k, which nobody can foretell who does not know the seed.
func (k *Key) Hash(seed maphash.Seed) uint64 {
	if k.Src.Is4() && k.Dst.Is4() {
		var b [12]byte
		s, d := k.Src.As4(), k.Dst.As4()
		copy(b[:], s[:])
		copy(b[4:], d[:])
		binary.LittleEndian.PutUint32(b[8:], k.FrameID)
		return maphash.Bytes(seed, b[:])
	}
	var b [36]byte
	s, d := k.Src.As16(), k.Dst.As16()
	copy(b[:], s[:])
	copy(b[16:], d[:])
	binary.LittleEndian.PutUint32(b[32:], k.FrameID)
	return maphash.Bytes(seed, b[:])
}

// get returns the entry of a key, or nil. Segments of one frame follow each other
// most of the time.
func (t *table) get(src, dst netip.Addr, id uint32) *entry {
	if e := t.last; e != nil && e.is(src, dst, id) {
		return e
	}
	for e := *t.list(&Key{src, dst, id}); e != nil; e = e.next {
		if e.is(src, dst, id) {
			t.last = e
			return e
		}
	}
	return nil
}

// add adds an entry whose key is not there.
func (t *table) add(e *entry) {
	list := t.list(&e.key)
	e.next, *list = *list, e
	t.n++
	t.last = e
}

// remove takes an entry out that is there.
func (t *table) remove(e *entry) {
	at := t.list(&e.key)
	for *at != e {
		at = &(*at).next
	}
	*at, e.next = e.next, nil
	t.n--
	if t.last == e {
		t.last = nil
	}
}

// is compares first what differs first.
func (e *entry) is(src, dst netip.Addr, id uint32) bool {
	return e.key.FrameID == id && e.key.Src == src && e.key.Dst == dst
}
