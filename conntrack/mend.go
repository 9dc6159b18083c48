package conntrack

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// After a panic under the lock of a shard its slots, lists and counts may contradict one
// another. The entries are what is known of flows: all else is made anew from them.

// Mend is called after a panic with what Track or TrackPlain were to fill in. If the panic
// came while they had a shard locked, that is put together anew, without the flow that
// the packet named, and released.
func (t *Table) Mend(out *Result) {
	if out.holds == 0 {
		return
	}
	n := out.holds - 1
	out.holds = 0
	t.mend(n, out.Handle)
	t.shards[n].mu.Unlock()
}

// leave unlocks a shard. It is deferred: after a panic it mends it before.
func (t *Table) leave(n uint32) {
	s := &t.shards[n]
	if v := recover(); v != nil {
		t.mend(n, Handle{})
		s.mu.Unlock()
		panic(v)
	}
	s.mu.Unlock()
}

// leaveCreate is leave for a flow that is about to begin. While it is reserved it is
// counted, and may have an entry that is not whole.
func (t *Table) leaveCreate(n uint32, l *lookup, c *Creation, reserved *bool, out *Result) {
	s := &t.shards[n]
	v := recover()
	if v == nil {
		s.mu.Unlock()
		return
	}
	if *reserved {
		for i := range s.used {
			if e := s.at(i); e.live() && e.is(&l.packed) {
				e.version++
			}
		}
		t.release(l, &c.Limits)
	}
	t.mend(n, out.Handle)
	s.mu.Unlock()
	panic(v)
}

// mend makes the slots, lists and counts of a locked shard from its entries, and forgets
// the flow of the handle: it may be changed in part. Counts by tenant and by endpoint
// may be off by that one flow.
func (t *Table) mend(n uint32, h Handle) {
	s := &t.shards[n]
	kept := make([]uint32, 0, s.used)
	for i := range s.used {
		e := s.at(i)
		if !e.live() {
			continue
		}
		k := e.key()
		p, _ := k.pack()
		at := t.hash(&p)
		_, home := t.shardOf(at)
		if e.status >= statuses || home != n || h.Valid() && h.shard == n && h.index == i && h.version == e.version {
			t.uncount(e)
			t.flows.Add(-1)
			e.version++
			continue
		}
		s.record(i).hash, _ = split(at)
		kept = append(kept, i)
	}
	for i := range s.slots {
		atomic.StoreUint32(&s.slots[i], 0)
	}
	s.lists, s.free = [statuses]list{}, 0
	for i := range s.used {
		if !s.at(i).live() {
			s.record(i).next, s.free = s.free, i+1
		}
	}
	slices.SortFunc(kept, func(a, b uint32) int { return cmp.Compare(s.at(a).last, s.at(b).last) })
	for _, i := range kept {
		e := s.at(i)
		k := e.key()
		p, _ := k.pack()
		hash, tag := split(t.hash(&p))
		at := s.home(hash)
		for s.slots[at] != 0 {
			at = s.after(at)
		}
		atomic.StoreUint32(&s.slots[at], tag|(i+1))
		s.lists[e.status].push(s, i)
	}
	s.count = len(kept)
}
