package classify

import (
	"math/bits"
	"slices"
)

// root is one tree. Where there are many rules, a packet begins not at one node,
// but at one of many, which a table has by the first bits of one value.
type root struct {
	only      ref    // if there is no table
	lowest    uint32 // order of its first rule
	jumps     []ref  // first below base, then the slots, then above them
	base      int64
	shift     uint8
	dimension uint8
}

const (
	worthJumps = 24 // rules that are worth a table
	maxSlots   = 12 // of a table, as a power of two
	jumpSample = 8192
)

// at returns where a packet begins.
func (r *root) at(v *words) ref {
	if len(r.jumps) == 0 {
		return r.only
	}
	return r.jumps[r.slot(v[r.dimension&15])]
}

func (r *root) slot(v uint32) int {
	return int(min(max((int64(v)-r.base)>>(r.shift&63), -1), int64(len(r.jumps)-2)) + 1)
}

// region returns the part of a region that begins at a slot, or false for none.
func (r *root) region(all *region, slot int) (region, bool) {
	part, d := *all, r.dimension
	first := r.base + int64(slot-1)<<r.shift
	last := first + 1<<r.shift - 1
	switch slot {
	case 0:
		first, last = 0, r.base-1
	case len(r.jumps) - 1:
		last = int64(all.hi[d])
	}
	first, last = max(first, int64(all.lo[d])), min(last, int64(all.hi[d]))
	if first > last {
		return part, false
	}
	part.lo[d], part.hi[d] = uint32(first), uint32(last)
	return part, true
}

// root adds a tree.
func (g *grower) root(rules []int32, all *region) root {
	budget := perRule*len(rules) + 1024
	r, ok := g.jumpsOf(rules, all)
	r.lowest = uint32(rules[0]) << askBits
	if !ok {
		r.only = g.node(rules, *all, growth{budget: budget})
		return r
	}
	lists := make([][]int32, len(r.jumps))
	copies := 0
	for _, i := range rules {
		g.spans(i, all, int(r.dimension), func(lo, hi uint32) {
			for slot := r.slot(lo); slot <= r.slot(hi); slot++ {
				if list := lists[slot]; len(list) == 0 || list[len(list)-1] != i {
					lists[slot] = append(list, i)
					copies++
				}
			}
		})
	}
	budget -= len(r.jumps)
	for slot := 0; slot < len(lists); slot++ {
		part, ok := r.region(all, slot)
		if !ok || len(lists[slot]) == 0 {
			r.jumps[slot] = empty
			continue
		}
		// Slots in a row with the same rules are one.
		end := slot + 1
		for ; end < len(lists) && slices.Equal(lists[slot], lists[end]); end++ {
			if next, ok := r.region(all, end); ok {
				part.hi[r.dimension] = next.hi[r.dimension]
			}
		}
		n := g.node(lists[slot], part, growth{budget: max(0, budget) * len(lists[slot]) / copies})
		for ; slot < end; slot++ {
			r.jumps[slot] = n
		}
		slot--
	}
	return r
}

// spans calls f for each range of values that a rule has in a dimension, or for
// ranges around them.
func (g *grower) spans(i int32, all *region, d int, f func(lo, hi uint32)) {
	rule := &g.rules[i]
	set := rule.Dst
	switch d {
	case dstPort:
		if len(rule.Services) > setSample {
			f(all.lo[d], all.hi[d])
			return
		}
		for j := range rule.Services {
			if s := &rule.Services[j]; s.meets(all) {
				f(s.DstLo, s.DstHi)
			}
		}
		return
	case srcWord:
		set = rule.Src
	}
	n := int32(0)
	switch {
	case set == nil || g.family == 0:
	case g.family == 4:
		n = int32(len(set.V4))
	default:
		n = int32(len(set.V6))
	}
	if n == 0 || n > setSample {
		f(set.bounds(g.family, whole))
		return
	}
	for j := range n {
		f(set.bounds(g.family, j))
	}
}

// jumpsOf chooses the table of a tree: the one in which a rule has the fewest
// others beside it, without many copies. false if none is worth it.
func (g *grower) jumpsOf(rules []int32, all *region) (best root, ok bool) {
	n := len(rules)
	if n < worthJumps {
		return root{}, false
	}
	sample := rules
	if n > jumpSample {
		sample = make([]int32, jumpSample)
		for i := range sample {
			sample[i] = rules[i*n/jumpSample]
		}
	}
	scale := float64(n) / float64(len(sample))
	bestCost := float64(n) / 8
	for _, d := range [...]int{dstWord, srcWord, dstPort} {
		// The values between which the rules are, without those that take all.
		base, end := int64(all.hi[d]), int64(all.lo[d])
		for _, i := range rules {
			g.spans(i, all, d, func(lo, hi uint32) {
				if lo > all.lo[d] || hi < all.hi[d] {
					base, end = min(base, int64(lo)), max(end, int64(hi))
				}
			})
		}
		for k := min(maxSlots, bits.Len(uint(n))-1); k >= 4 && base <= end; k-- {
			r := root{base: base, dimension: uint8(d), shift: uint8(max(0, bits.Len64(uint64(end-base))-k))}
			r.jumps = make([]ref, (end-base)>>r.shift+3)
			cost, copies := g.cost(sample, all, &r)
			if copies > 2*len(sample) || cost*scale >= bestCost {
				continue
			}
			if n > len(sample) { // the rest may be wider
				if _, copies = g.cost(rules, all, &r); copies > 2*n {
					continue
				}
			}
			best, bestCost, ok = r, cost*scale, true
		}
	}
	return best, ok
}

// cost returns how many rules a rule has in its slots, on average, and how many
// places all take.
func (g *grower) cost(rules []int32, all *region, r *root) (float64, int) {
	steps := make([]int, len(r.jumps)+1) // how many more rules than in the slot before
	for _, i := range rules {
		g.spans(i, all, int(r.dimension), func(lo, hi uint32) {
			steps[r.slot(lo)]++
			steps[r.slot(hi)+1]--
		})
	}
	count, copies, squares := 0, 0, 0.0
	for _, s := range steps[:len(r.jumps)] {
		count += s
		copies += count
		squares += float64(count) * float64(count)
	}
	return squares / float64(max(copies, 1)), copies
}
