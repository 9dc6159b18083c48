package classify

import "unsafe"

// The dimensions of a tree. An IPv6 address is four of them, an IPv4 address is
// the first of those alone.
const (
	dstWord = 0 // to 3
	srcWord = 4 // to 7
	kindOf  = 8 + iota - 2
	dstPort
	srcPort
	dimensions
)

// words is a packet as the trees compare it; places from dimensions on are not
// used.
type words [16]uint32

func (v *words) of(k *Key) {
	if k.Family == 6 {
		v[dstWord], v[dstWord+1], v[dstWord+2], v[dstWord+3] = uint32(k.Dst[0]>>32), uint32(k.Dst[0]), uint32(k.Dst[1]>>32), uint32(k.Dst[1])
		v[srcWord], v[srcWord+1], v[srcWord+2], v[srcWord+3] = uint32(k.Src[0]>>32), uint32(k.Src[0]), uint32(k.Src[1]>>32), uint32(k.Src[1])
	} else {
		v[dstWord], v[srcWord] = uint32(k.Dst[1]), uint32(k.Src[1])
	}
	v[kindOf], v[dstPort], v[srcPort] = k.Kind, k.DstPort, k.SrcPort
}

// table has the rules of one family: flat, or in trees.
type table struct {
	pair   [2]row  // all rows, if it isPair; the first knows the form
	blocks []block // all rows
	trees  *trees  // nil: flat
}

// trees has the trees of one family.
type trees struct {
	roots  []root // not more than maxTrees
	nodes  []node
	leaves []group
	boxes  []box // the first holds nothing
}

// node is one cache line. The child is the number of cuts below the packet's
// value.
type node struct {
	cuts     [maxCuts]uint32 // rising; those not used are all ones
	_        uint32
	children [maxCuts + 1]ref
}

const maxCuts = 7

// ref is the number of a node and the dimension in which it is cut, or with
// inLeaf of the first group of a leaf. The first group of all is an empty leaf.
type ref uint32

const (
	inLeaf   ref = 1 << 31
	empty        = inLeaf
	inNumber     = 27 // bits of a node's number; the dimension is above
	maxNodes     = 1 << inNumber
)

// group is some of the boxes of a leaf, by rule. What is missing is the box that
// holds nothing. The first number has two more bits.
type group [groupSize]uint32

const (
	groupSize = 4

	lastGroup = 1 << 31 // of its leaf
	// cutShort: more rules would come, never reached unless the last of the leaf
	// is passed over.
	cutShort = 1 << 30
	boxMask  = cutShort - 1
)

// box is what a leaf compares: from lo on, span more values of destination and
// source, and between two packed values the kind and the ports. For IPv6 it is
// about the first words of the addresses, and says only maybe.
type box struct {
	low, high                      uint64 // packed; high with the guards
	dstLo, dstSpan, srcLo, srcSpan uint32
	order                          uint32 // the rule's index, then what must be asked when a packet is in the box
}

// packed has kind, destination and source port in 17 bits each, with a guard bit
// above each: a difference of two in which a guard is set at first and is clear
// then went below zero there.
func packed(kind, dst, src uint32) uint64 { return uint64(kind) | uint64(dst)<<18 | uint64(src)<<36 }

const guards = 1<<17 | 1<<35 | 1<<53

const (
	askRule = 1 << 0 // whether the rule as a whole matches
	askRest = 1 << 1 // the Checker
	asks    = askRule | askRest
	askBits = 2
	noRule  = 1<<32 - 1
)

// leafOf walks down a tree.
func (t *trees) leafOf(r ref, v *words) ref {
	for r < inLeaf {
		n := &t.nodes[r&(maxNodes-1)]
		x := uint64(v[r>>inNumber&15])
		// No branch depends on the value: it would be guessed wrong.
		c := ((uint64(n.cuts[0])-x)>>63 + (uint64(n.cuts[1])-x)>>63) + ((uint64(n.cuts[2])-x)>>63 + (uint64(n.cuts[3])-x)>>63) +
			(((uint64(n.cuts[4])-x)>>63 + (uint64(n.cuts[5])-x)>>63) + (uint64(n.cuts[6])-x)>>63)
		r = n.children[c&maxCuts]
	}
	return r
}

// first returns the lowest order of a box that the packet is in, or noRule. First
// down all trees, then to what is there: the ways down are independent of each other,
// and nothing on them is guessed wrong but where they end.
func (t *trees) first(v *words) uint32 {
	var leaves [maxTrees]ref
	for i := range t.roots {
		leaves[i&(maxTrees-1)] = t.leafOf(t.roots[i].at(v), v)
	}
	packed := packed(v[kindOf], v[dstPort], v[srcPort])
	best := uint32(noRule)
	for i := range t.roots {
		if best > t.roots[i].lowest {
			best = min(best, t.lowest(leaves[i&(maxTrees-1)], v[dstWord], v[srcWord], packed))
		}
	}
	return best
}

// outside is all ones if the packet is not in the box, else 0.
func (b *box) outside(dst, src uint32, rest uint64) uint32 {
	// A difference that is below zero has its highest bit set.
	out := (uint64(b.dstSpan) - uint64(dst-b.dstLo)) | (uint64(b.srcSpan) - uint64(src-b.srcLo))
	below := guards &^ (((rest | guards) - b.low) & (b.high - rest))
	return uint32(int64(out|-below) >> 63)
}

// lowest returns the lowest order of a box in a leaf that the packet is in, or
// noRule.
func (t *trees) lowest(r ref, dst, src uint32, rest uint64) uint32 {
	for i := int(r &^ inLeaf); ; i++ {
		g := &t.leaves[i]
		// All are looked at: a branch at each would be guessed wrong.
		a, b, c, d := &t.boxes[g[0]&boxMask], &t.boxes[g[1]], &t.boxes[g[2]], &t.boxes[g[3]]
		best := min(a.order|a.outside(dst, src, rest), b.order|b.outside(dst, src, rest),
			c.order|c.outside(dst, src, rest), d.order|d.outside(dst, src, rest))
		if best != noRule || g[0]&lastGroup != 0 {
			return best
		}
	}
}

// search is a question with rules to ask, or not from the first rule on.
type search struct {
	rules []Rule
	key   *Key
	from  int // the lowest rule that counts
	best  int // the lowest found so far; behind the last rule if none is
	short bool
	rest  Checker
}

// leaf looks for a rule lower than the best in a leaf, asking what there is to
// ask.
func (s *search) leaf(t *trees, r ref, v *words) {
	for i := int(r &^ inLeaf); ; i++ {
		g := &t.leaves[i]
		last := 0 // rule in the group
		for _, n := range g {
			b := &t.boxes[n&boxMask]
			if b.order == noRule {
				break
			}
			if last = int(b.order >> askBits); last >= s.best {
				return
			}
			if s.box(b, v) {
				return
			}
		}
		if g[0]&lastGroup != 0 {
			s.short = s.short || g[0]&cutShort != 0 && last < s.from
			return
		}
	}
}

// box reports whether the packet matches the rule of a box, which is then the
// best.
func (s *search) box(b *box, v *words) bool {
	rule := int(b.order >> askBits)
	if rule < s.from || b.outside(v[dstWord], v[srcWord], packed(v[kindOf], v[dstPort], v[srcPort])) != 0 ||
		b.order&askRule != 0 && !s.rules[rule].matches(s.key) ||
		b.order&askRest != 0 && !s.rest.Check(rule) {
		return false
	}
	s.best = rule
	return true
}

// Memory returns about how many bytes the tables take.
func (m *Matcher) Memory() int {
	sum := int(unsafe.Sizeof(*m))
	for i := range m.tables {
		sum += len(m.tables[i].blocks) * int(unsafe.Sizeof(block{}))
		t := m.tables[i].trees
		if t == nil {
			continue
		}
		for j := range t.roots {
			sum += len(t.roots[j].jumps) * int(unsafe.Sizeof(empty))
		}
		sum += len(t.nodes)*int(unsafe.Sizeof(node{})) + len(t.leaves)*int(unsafe.Sizeof(group{})) + len(t.boxes)*int(unsafe.Sizeof(box{}))
	}
	return sum
}
