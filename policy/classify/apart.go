package classify

import (
	"slices"
	"sort"
)

const (
	together = 16 // rules that are not worth more than one tree
	wideness = 4  // a rule is wide that holds one of so many of the others' addresses
)

// apart parts the rules of a family by which of their addresses are wide: cut by
// that address they would be copied into many children. Each part has a tree.
func (g *grower) apart(rules []int32) [][]int32 {
	if len(rules) <= together {
		return [][]int32{rules}
	}
	dst, src := g.ruler(rules, dstWord), g.ruler(rules, srcWord)
	known := [2]map[*Addresses]bool{{}, {}} // rules share sets, which may be large
	wide := func(word int, r ruler, a *Addresses) bool {
		w, ok := known[word][a]
		if !ok {
			w = r.wide(a, g.family)
			known[word][a] = w
		}
		return w
	}
	var parts [4][]int32
	for _, i := range rules {
		part := 0
		if wide(0, dst, g.rules[i].Dst) {
			part |= 1
		}
		if wide(1, src, g.rules[i].Src) {
			part |= 2
		}
		parts[part] = append(parts[part], i)
	}
	return g.fewer(parts)
}

// fewer puts the rules with two narrow addresses to the more of those that have
// one: cut by that one, none of them is copied much.
func (g *grower) fewer(parts [4][]int32) [][]int32 {
	join := func(a, b []int32) []int32 {
		c := append(slices.Clone(a), b...)
		slices.Sort(c)
		return c
	}
	if len(parts[2]) >= len(parts[1]) {
		parts[2], parts[0] = join(parts[0], parts[2]), nil
	} else {
		parts[1], parts[0] = join(parts[0], parts[1]), nil
	}
	return parts[1:]
}

// ruler measures how wide a set of addresses is by how many of the rules' ends
// it holds.
type ruler [][2]uint64

func (g *grower) ruler(rules []int32, word int) ruler {
	var ends ruler
	for _, i := range rules {
		set := g.rules[i].Dst
		if word == srcWord {
			set = g.rules[i].Src
		}
		if set == nil {
			continue
		}
		if g.family == 4 {
			for j := range min(len(set.V4), setSample) {
				x := set.V4[j*len(set.V4)/min(len(set.V4), setSample)]
				ends = append(ends, [2]uint64{0, uint64(x.Lo)})
			}
			continue
		}
		for j := range min(len(set.V6), setSample) {
			ends = append(ends, set.V6[j*len(set.V6)/min(len(set.V6), setSample)].Lo)
		}
	}
	slices.SortFunc(ends, compare)
	return slices.Compact(ends)
}

func compare(a, b [2]uint64) int {
	switch {
	case less(a, b):
		return -1
	case less(b, a):
		return 1
	}
	return 0
}

// wide reports whether a set holds so many ends that it is wide.
func (r ruler) wide(a *Addresses, family uint8) bool {
	if a == nil {
		return true
	}
	if family == 0 {
		return false
	}
	count := 0
	if family == 4 {
		for _, x := range a.V4 {
			count += r.between([2]uint64{0, uint64(x.Lo)}, [2]uint64{0, uint64(x.Hi)})
		}
	} else {
		for _, x := range a.V6 {
			count += r.between(x.Lo, x.Hi)
		}
	}
	return count > len(r)/wideness+1
}

// between returns how many ends there are from lo to hi.
func (r ruler) between(lo, hi [2]uint64) int {
	first := sort.Search(len(r), func(i int) bool { return !less(r[i], lo) })
	if first < len(r) && less(hi, r[first]) {
		return 0
	}
	return sort.Search(len(r)-first, func(i int) bool { return less(hi, r[first+i]) })
}
