package binding

import (
	"cmp"
	"slices"
)

// leave unlocks a shard. It is deferred: after a panic it makes the slots and accounts anew
// from the entries, which are what is known of bindings.
func (s *shard) leave() {
	v := recover()
	if v != nil {
		s.mend()
	}
	s.mu.Unlock()
	if v != nil {
		panic(v)
	}
}

// mend does that. Entries stay where they are: answers to [Table.Check] name their places.
func (s *shard) mend() {
	clear(s.slots)
	s.accounts.list, s.accounts.free, s.accounts.heap = nil, nil, nil
	s.accounts.init(s.accounts.share)
	s.free, s.count = 0, 0
	kept := make([]uint32, 0, s.used)
	for i := range s.used {
		if e := s.at(i); e.live() {
			kept = append(kept, i)
		} else {
			e.next, s.free = s.free, i+1
		}
	}
	slices.SortFunc(kept, func(a, b uint32) int { return cmp.Compare(s.at(a).last, s.at(b).last) })
	mask := uint32(len(s.slots) - 1)
	for _, n := range kept {
		e := s.at(n)
		i := e.hash & mask
		for s.slots[i] != 0 {
			i = (i + 1) & mask
		}
		s.slots[i] = uint32(e.tag)<<24 | (n + 1)
		s.enlist(n)
		s.count++
	}
}
