package classify

import (
	"slices"
	"sort"
)

const (
	leafSize  = 8   // rules that are compared one by one
	maxCuts   = 15  // of a node
	maxDepth  = 24  // of a tree
	sampled   = 256 // rules that a choice of dimension looks at
	perRule   = 16  // places in leaves for each rule, on average
	setSample = 32  // ranges of a large set that give cuts
)

// region is a box: in each dimension from lo to hi, inclusive.
type region struct{ lo, hi values }

// grow makes the trees of a family: rules that are wide in destination or source
// are apart from those that are not.
func grow(rules []Rule, family uint8) []tree {
	all := region{}
	for d := range all.hi {
		all.hi[d] = ^uint64(0)
	}
	if family == 4 {
		all.hi[dstHigh], all.hi[srcHigh] = 0, 0
		all.hi[dstLow], all.hi[srcLow] = 1<<32-1, 1<<32-1
	}
	all.hi[kindOf] = 0x1ffff
	all.hi[dstPort], all.hi[srcPort] = Absent, Absent
	var parts [4][]int32
	for i := range rules {
		r := &rules[i]
		if family == 0 && (r.Src != nil || r.Dst != nil) || !r.meets(&all, family) {
			continue
		}
		part := 0
		if r.Dst.wide(family) {
			part |= 1
		}
		if r.Src.wide(family) {
			part |= 2
		}
		parts[part] = append(parts[part], int32(i))
	}
	var trees []tree
	for _, part := range parts {
		if len(part) == 0 {
			continue
		}
		g := grower{rules: rules, family: family, budget: perRule*len(part) + 1024}
		g.tree.lowest = int(part[0])
		g.node(part, all, 0)
		trees = append(trees, g.tree)
	}
	return trees
}

// wide reports whether a set holds so much that cutting by its address would
// copy the rule into many children.
func (a *Addresses) wide(family uint8) bool {
	if a == nil {
		return true
	}
	if family == 4 {
		sum := uint64(0)
		for _, r := range a.V4 {
			sum += uint64(r.Hi-r.Lo) + 1
		}
		return sum >= 1<<26 // a /6
	}
	for _, r := range a.V6 {
		if r.Hi[0]-r.Lo[0] >= 1<<56 { // a /8
			return true
		}
	}
	return false
}

// meets reports whether the rule can match in the region; it may say yes where
// it cannot.
func (r *Rule) meets(g *region, family uint8) bool {
	return r.Dst.meets(family, g.lo[dstHigh], g.hi[dstHigh], g.lo[dstLow], g.hi[dstLow]) &&
		r.Src.meets(family, g.lo[srcHigh], g.hi[srcHigh], g.lo[srcLow], g.hi[srcLow]) &&
		slices.ContainsFunc(r.Services, func(s Service) bool { return s.meets(g) })
}

func (s *Service) meets(g *region) bool {
	return uint64(s.KindLo) <= g.hi[kindOf] && g.lo[kindOf] <= uint64(s.KindHi) &&
		uint64(s.DstLo) <= g.hi[dstPort] && g.lo[dstPort] <= uint64(s.DstHi) &&
		uint64(s.SrcLo) <= g.hi[srcPort] && g.lo[srcPort] <= uint64(s.SrcHi)
}

// covers reports whether every key of the region is in the service.
func (s *Service) covers(g *region) bool {
	return uint64(s.KindLo) <= g.lo[kindOf] && g.hi[kindOf] <= uint64(s.KindHi) &&
		uint64(s.DstLo) <= g.lo[dstPort] && g.hi[dstPort] <= uint64(s.DstHi) &&
		uint64(s.SrcLo) <= g.lo[srcPort] && g.hi[srcPort] <= uint64(s.SrcHi)
}

// meets reports whether some address has its high half from hiLo to hiHi and its
// low half from loLo to loHi. nil holds all.
func (a *Addresses) meets(family uint8, hiLo, hiHi, loLo, loHi uint64) bool {
	switch {
	case a == nil:
		return true
	case family == 4:
		i := sort.Search(len(a.V4), func(i int) bool { return uint64(a.V4[i].Hi) >= loLo })
		return i < len(a.V4) && uint64(a.V4[i].Lo) <= loHi
	case family == 6:
		first, last := [2]uint64{hiLo, loLo}, [2]uint64{hiHi, loHi}
		if hiLo != hiHi { // the box is no range: a range around it
			first[1], last[1] = 0, ^uint64(0)
		}
		i := sort.Search(len(a.V6), func(i int) bool { return !less(a.V6[i].Hi, first) })
		return i < len(a.V6) && !less(last, a.V6[i].Lo)
	}
	return false
}

// covers reports whether every address of the box is in the set; it may say no
// where they all are.
func (a *Addresses) covers(family uint8, hiLo, hiHi, loLo, loHi uint64) bool {
	switch {
	case a == nil:
		return true
	case family == 4:
		i := sort.Search(len(a.V4), func(i int) bool { return uint64(a.V4[i].Hi) >= loHi })
		return i < len(a.V4) && uint64(a.V4[i].Lo) <= loLo
	case family == 6:
		first, last := [2]uint64{hiLo, loLo}, [2]uint64{hiHi, loHi}
		i := sort.Search(len(a.V6), func(i int) bool { return !less(a.V6[i].Hi, last) })
		return i < len(a.V6) && !less(first, a.V6[i].Lo)
	}
	return false
}

func (r *Rule) covers(g *region, family uint8) bool {
	return !r.Rest && r.Dst.covers(family, g.lo[dstHigh], g.hi[dstHigh], g.lo[dstLow], g.hi[dstLow]) &&
		r.Src.covers(family, g.lo[srcHigh], g.hi[srcHigh], g.lo[srcLow], g.hi[srcLow]) &&
		slices.ContainsFunc(r.Services, func(s Service) bool { return s.covers(g) })
}

// grower builds one tree.
type grower struct {
	rules  []Rule
	family uint8
	tree   tree
	budget int // places in leaves that may still be used
	bounds []uint64
}

// node adds the node of a region in which those rules can match, rising, and
// returns its number.
func (g *grower) node(rules []int32, r region, depth int) int32 {
	// What comes behind a rule that takes all of the region is never reached.
	for i, n := range rules {
		if g.rules[n].covers(&r, g.family) {
			rules = rules[:i+1]
			break
		}
	}
	number := int32(len(g.tree.nodes))
	g.tree.nodes = append(g.tree.nodes, node{})
	dimension, cuts := leaf, []uint64(nil)
	if len(rules) > leafSize && depth < maxDepth && g.budget > len(rules) {
		dimension, cuts = g.choose(rules, &r)
	}
	if dimension == leaf {
		g.tree.nodes[number] = node{dimension: leaf, from: int32(len(g.tree.rules)), count: int32(len(rules))}
		g.tree.rules = append(g.tree.rules, rules...)
		g.budget -= len(rules)
		return number
	}
	n := node{dimension: uint8(dimension), from: int32(len(g.tree.cuts)), count: int32(len(cuts)), child: int32(len(g.tree.children))}
	g.tree.cuts = append(g.tree.cuts, cuts...)
	g.tree.children = append(g.tree.children, make([]int32, len(cuts)+1)...)
	g.tree.nodes[number] = n
	for i := range len(cuts) + 1 {
		part := r.part(dimension, cuts, i)
		var inside []int32
		for _, j := range rules {
			if g.rules[j].meets(&part, g.family) {
				inside = append(inside, j)
			}
		}
		child := g.node(inside, part, depth+1)
		g.tree.children[n.child+int32(i)] = child
	}
	return number
}

// part returns the i-th part of a region that is cut in a dimension.
func (r *region) part(dimension int, cuts []uint64, i int) region {
	part := *r
	if i > 0 {
		part.lo[dimension] = cuts[i-1]
	}
	if i < len(cuts) {
		part.hi[dimension] = cuts[i] - 1
	}
	return part
}

// choose returns the dimension and the cuts that leave the fewest rules in a
// child, copies counted; leaf if none is worth it. It looks at a sample of many
// rules.
func (g *grower) choose(rules []int32, r *region) (int, []uint64) {
	sample := rules
	if len(sample) > sampled {
		sample = make([]int32, 0, sampled)
		for i := range sampled {
			sample = append(sample, rules[i*len(rules)/sampled])
		}
	}
	best, bestCost, bestCuts := leaf, float64(len(sample))*0.85, []uint64(nil)
	for d := range dimensions {
		if r.lo[d] == r.hi[d] || d == dstLow && r.lo[dstHigh] != r.hi[dstHigh] || d == srcLow && r.lo[srcHigh] != r.hi[srcHigh] {
			continue // one value; or a low half that says nothing without its high half
		}
		cuts := g.cutsOf(sample, r, d)
		if len(cuts) == 0 {
			continue
		}
		largest, total := 0, 0
		for i := range len(cuts) + 1 {
			part := r.part(d, cuts, i)
			count := 0
			for _, j := range sample {
				if g.rules[j].meets(&part, g.family) {
					count++
				}
			}
			largest, total = max(largest, count), total+count
		}
		// The rules that a packet meets on average, and copies.
		cost := float64(largest)*0.5 + float64(total)/float64(len(cuts)+1) + 0.05*float64(total-len(sample))
		if cost < bestCost {
			best, bestCost, bestCuts = d, cost, cuts
		}
	}
	return best, bestCuts
}

// cutsOf returns cuts of a region in a dimension, rising: bounds of the rules,
// spread evenly over them.
func (g *grower) cutsOf(sample []int32, r *region, d int) []uint64 {
	g.bounds = g.bounds[:0]
	for _, j := range sample {
		g.boundsOf(&g.rules[j], r, d)
	}
	slices.Sort(g.bounds)
	n := len(g.bounds)
	var cuts []uint64
	for i := range maxCuts {
		if n == 0 {
			break
		}
		at := (i + 1) * n / (maxCuts + 1)
		if cut := g.bounds[min(at, n-1)]; len(cuts) == 0 || cut > cuts[len(cuts)-1] {
			cuts = append(cuts, cut)
		}
	}
	return cuts
}

// bound notes that a rule begins at lo and ends at hi.
func (g *grower) bound(r *region, d int, lo, hi uint64) {
	if lo > r.lo[d] && lo <= r.hi[d] {
		g.bounds = append(g.bounds, lo)
	}
	if hi < r.hi[d] && hi >= r.lo[d] {
		g.bounds = append(g.bounds, hi+1)
	}
}

func (g *grower) boundsOf(rule *Rule, r *region, d int) {
	set := rule.Dst
	switch d {
	case kindOf, dstPort, srcPort:
		for i := range rule.Services {
			s := &rule.Services[i]
			if !s.meets(r) {
				continue
			}
			lo, hi := s.KindLo, s.KindHi
			switch d {
			case dstPort:
				lo, hi = s.DstLo, s.DstHi
			case srcPort:
				lo, hi = s.SrcLo, s.SrcHi
			}
			g.bound(r, d, uint64(lo), uint64(hi))
		}
		return
	case srcHigh, srcLow:
		set = rule.Src
	}
	if set == nil {
		return
	}
	if g.family == 4 {
		from := sort.Search(len(set.V4), func(i int) bool { return uint64(set.V4[i].Hi) >= r.lo[d] })
		to := sort.Search(len(set.V4), func(i int) bool { return uint64(set.V4[i].Lo) > r.hi[d] })
		for i := range min(to-from, setSample) {
			x := set.V4[from+i*(to-from)/min(to-from, setSample)]
			g.bound(r, d, uint64(x.Lo), uint64(x.Hi))
		}
		return
	}
	n := len(set.V6)
	for i := range min(n, setSample) {
		x := set.V6[i*n/min(n, setSample)]
		if d == dstHigh || d == srcHigh {
			g.bound(r, d, x.Lo[0], x.Hi[0])
			continue
		}
		high := r.lo[d-1] // the high half is one value here
		lo, hi := uint64(0), ^uint64(0)
		if x.Lo[0] == high {
			lo = x.Lo[1]
		}
		if x.Hi[0] == high {
			hi = x.Hi[1]
		}
		if x.Lo[0] <= high && high <= x.Hi[0] {
			g.bound(r, d, lo, hi)
		}
	}
}
