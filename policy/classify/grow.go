package classify

import (
	"cmp"
	"slices"
)

const (
	leafSize   = 4  // rules that need no further cut
	maxDepth   = 24 // of a tree
	perRule    = 8  // places in leaves for each rule, on average
	nodePlaces = 16 // that a node takes the room of
	perBoxes   = 4  // boxes that a rule can be in one leaf before it is asked as a whole
)

// grow makes the table of all packets of a region. It is flat up to so many boxes.
func grow(rules []Rule, all *region, flat int) (t table) {
	g := grower{rules: rules, family: all.family}
	var inside []int32
	met := met{region: all}
	for i := range rules {
		r := &rules[i]
		if (g.family != 0 || r.Src == nil && r.Dst == nil) && met.by(r) {
			inside = append(inside, int32(i))
		}
	}
	if rows, ok := g.flat(inside, all, flat); ok {
		t.lay(rows)
		return t
	}
	g.boxes = []box{{high: guards, low: packed(1, 1, 1), order: noRule}}
	g.leaves = []group{{lastGroup}}
	g.single, g.known = make([]uint32, len(rules)), make(map[piece]uint32)
	for _, part := range g.apart(inside) {
		if len(part) > 0 {
			g.roots = append(g.roots, g.root(part, all))
		}
	}
	slices.SortFunc(g.roots, func(a, b root) int { return cmp.Compare(a.lowest, b.lowest) })
	grown := g.trees // what it took to grow them is not kept
	t.pair[0].form, t.trees = isTrees, &grown
	return t
}

// grower builds the trees of one family.
type grower struct {
	trees
	rules  []Rule
	family uint8
	single []uint32         // the box of a rule that is one; 0: none yet
	known  map[piece]uint32 // boxes of the others, by what they are made of

	list []uint32 // boxes of the leaf at hand

	// for choose
	bounds, cuts []uint32
	sample       []int32
}

// growth is what a node inherits.
type growth struct {
	depth  int
	budget int  // places in leaves that it may use; as many as it has rules it always may
	short  bool // rules were left out that come behind the last one
}

// node adds the node of a region in which those rules can match, rising.
func (g *grower) node(rules []int32, r region, from growth) ref {
	// What comes behind a rule that takes all of the region is never reached.
	for i, n := range rules {
		if g.rules[n].covers(&r) {
			from.short = from.short || i+1 < len(rules)
			rules = rules[:i+1]
			break
		}
	}
	if len(rules) <= leafSize || from.depth >= maxDepth {
		return g.leaf(rules, &r, from.short)
	}
	dimension, cuts := g.choose(rules, &r)
	if len(cuts) == 0 {
		return g.leaf(rules, &r, from.short)
	}
	var (
		parts  [maxCuts + 1][]int32
		copies int
	)
	for i := range len(cuts) + 1 {
		part := r.part(dimension, cuts, i)
		met := met{region: &part}
		for _, j := range rules {
			if met.by(&g.rules[j]) {
				parts[i] = append(parts[i], j)
			}
		}
		copies += len(parts[i])
	}
	from.budget -= nodePlaces
	if copies > from.budget {
		return g.leaf(rules, &r, from.short)
	}
	number := len(g.nodes)
	g.nodes = append(g.nodes, node{})
	var n node
	for i := range n.cuts {
		n.cuts[i] = ^uint32(0)
	}
	copy(n.cuts[:], cuts)
	var order [maxCuts + 1]int
	for i := range n.children {
		n.children[i], order[i] = empty, i
	}
	// The smallest first: what they leave of their share is for the larger ones.
	slices.SortStableFunc(order[:], func(a, b int) int { return len(parts[a]) - len(parts[b]) })
	for _, i := range order {
		if len(parts[i]) == 0 {
			continue
		}
		used := g.used()
		n.children[i] = g.node(parts[i], r.part(dimension, cuts, i), growth{from.depth + 1, from.budget * len(parts[i]) / copies, from.short})
		from.budget -= g.used() - used
		copies -= len(parts[i])
	}
	g.nodes[number] = n
	return ref(dimension)<<inNumber | ref(number)
}

// used returns how many places there are.
func (g *grower) used() int {
	return groupSize*len(g.leaves) + len(g.boxes) + nodePlaces*len(g.nodes)
}

// leaf adds a leaf.
func (g *grower) leaf(rules []int32, r *region, short bool) ref {
	g.list = g.list[:0]
	for _, i := range rules {
		g.pieces(i, r)
	}
	if len(g.list) == 0 {
		return empty
	}
	first := ref(len(g.leaves))
	for len(g.list) > 0 {
		var next group
		g.list = g.list[copy(next[:], g.list):]
		g.leaves = append(g.leaves, next)
	}
	last := &g.leaves[len(g.leaves)-1]
	last[0] |= lastGroup
	if short {
		last[0] |= cutShort
	}
	return first | inLeaf
}

// piece is a rule, and which of its ranges and services a box is made of.
type piece struct{ rule, dst, src, service int32 }

const whole = -1 // all of them

// pieces adds to the list at hand the boxes of a rule in a region: exact ones if
// they are few, else one around the rule, which is asked then.
func (g *grower) pieces(i int32, r *region) {
	rule := &g.rules[i]
	dstFirst, dstEnd, srcFirst, srcEnd := 0, 1, 0, 1
	if rule.Dst != nil {
		dstFirst, dstEnd = rule.Dst.in(r, dstWord)
	}
	if rule.Src != nil {
		srcFirst, srcEnd = rule.Src.in(r, srcWord)
	}
	services := 0
	for j := range rule.Services {
		if rule.Services[j].meets(r) {
			services++
		}
	}
	if (dstEnd-dstFirst)*(srcEnd-srcFirst)*services > perBoxes {
		g.list = append(g.list, g.box(piece{i, whole, whole, whole}))
		return
	}
	for j := range rule.Services {
		if !rule.Services[j].meets(r) {
			continue
		}
		for d := dstFirst; d < dstEnd; d++ {
			for s := srcFirst; s < srcEnd; s++ {
				g.list = append(g.list, g.box(piece{i, int32(d), int32(s), int32(j)}))
			}
		}
	}
}

// box returns the number of a piece's box.
func (g *grower) box(p piece) uint32 {
	rule := &g.rules[p.rule]
	one := len(rule.Services) == 1 && rule.Dst.one(g.family) && rule.Src.one(g.family)
	if n := g.single[p.rule]; one && n != 0 {
		return n
	}
	if n, ok := g.known[p]; ok {
		return n
	}
	b := box{order: uint32(p.rule) << askBits}
	if rule.Rest {
		b.order |= askRest
	}
	if p.service == whole || g.family == 6 && (rule.Dst != nil || rule.Src != nil) {
		b.order |= askRule
	}
	lo, hi := rule.Dst.bounds(g.family, p.dst)
	b.dstLo, b.dstSpan = lo, hi-lo
	lo, hi = rule.Src.bounds(g.family, p.src)
	b.srcLo, b.srcSpan = lo, hi-lo
	services := rule.Services
	if p.service != whole {
		services = services[p.service : p.service+1]
	}
	around := services[0]
	for _, s := range services[1:] {
		around = around.with(s)
	}
	b.low = packed(around.KindLo, around.DstLo, around.SrcLo)
	b.high = packed(around.KindHi, around.DstHi, around.SrcHi) | guards
	n := uint32(len(g.boxes))
	g.boxes = append(g.boxes, b)
	if one {
		g.single[p.rule] = n
	} else {
		g.known[p] = n
	}
	return n
}

// one reports whether a set is at most one range.
func (a *Addresses) one(family uint8) bool {
	return a == nil || family == 4 && len(a.V4) == 1 || family == 6 && len(a.V6) == 1
}

// bounds returns the first and the last first word of a range of a set, or of
// all of it.
func (a *Addresses) bounds(family uint8, which int32) (lo, hi uint32) {
	switch {
	case a == nil || family == 0:
		return 0, 1<<32 - 1
	case family == 4:
		if which == whole {
			return a.V4[0].Lo, a.V4[len(a.V4)-1].Hi
		}
		return a.V4[which].Lo, a.V4[which].Hi
	case which == whole:
		return wordOf(a.V6[0].Lo, 0), wordOf(a.V6[len(a.V6)-1].Hi, 0)
	}
	return wordOf(a.V6[which].Lo, 0), wordOf(a.V6[which].Hi, 0)
}
