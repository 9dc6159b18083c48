package classify

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

func wordsOf(k *Key) (v words) {
	if k.Family == 6 {
		v[dstWord], v[dstWord+1], v[dstWord+2], v[dstWord+3] = uint32(k.Dst[0]>>32), uint32(k.Dst[0]), uint32(k.Dst[1]>>32), uint32(k.Dst[1])
		v[srcWord], v[srcWord+1], v[srcWord+2], v[srcWord+3] = uint32(k.Src[0]>>32), uint32(k.Src[0]), uint32(k.Src[1]>>32), uint32(k.Src[1])
	} else {
		v[dstWord], v[srcWord] = uint32(k.Dst[1]), uint32(k.Src[1])
	}
	v[kindOf], v[dstPort], v[srcPort] = k.Kind, k.DstPort, k.SrcPort
	return v
}

// table has the trees of one family.
type table struct {
	roots []ref // of the trees, not more than maxTrees
	nodes []node
	lists []uint32 // of all leaves with several boxes: how many, then their numbers, by rule
	boxes []box
}

// node is one cache line. The child is the number of cuts below the packet's
// value.
type node struct {
	cuts      [maxCuts]uint32 // rising; those not used are all ones
	dimension uint32
	children  [maxCuts + 1]ref
}

const maxCuts = 7

// ref is a node's number, or a leaf: a place in lists, one box, or nothing.
type ref uint32

const (
	listRef  ref = 1 << 30
	boxRef   ref = 2 << 30
	emptyRef ref = 3 << 30
	refMask      = 1<<30 - 1
)

// cutShort marks a list behind which there were more rules, never reached unless
// the last of the list is passed over.
const cutShort = 1 << 31

// box is what a leaf compares: from lo on, span more values in each of the
// fields, which are destination, source, kind, destination and source port. For
// IPv6 it is about the first words of the addresses, and says only maybe.
type box struct {
	lo, span [fields]uint32
	rule     int32
	ask      asks
}

const fields = 5

// asks are what must be asked when a packet is in a box.
type asks uint32

const (
	askRule asks = 1 << iota // whether the rule as a whole matches
	askRest                  // the Checker
)

// leafOf walks down a tree.
func (t *table) leafOf(r ref, v *words) ref {
	for r < listRef {
		n := &t.nodes[r]
		x := uint64(v[n.dimension&15])
		// No branch depends on the value: it would be guessed wrong.
		c := (uint64(n.cuts[0])-x)>>63 + (uint64(n.cuts[1])-x)>>63 + (uint64(n.cuts[2])-x)>>63 + (uint64(n.cuts[3])-x)>>63 +
			(uint64(n.cuts[4])-x)>>63 + (uint64(n.cuts[5])-x)>>63 + (uint64(n.cuts[6])-x)>>63
		r = n.children[c&maxCuts]
	}
	return r
}

// search is one question.
type search struct {
	rules []Rule
	key   *Key
	from  int32 // the lowest rule that counts
	best  int32 // the lowest found so far; behind the last rule if none is
	short bool  // a list that was cut short has no answer from that rule on
	rest  Checker
}

// leaf looks for a rule lower than the best in a leaf.
func (s *search) leaf(t *table, r ref, v *words) {
	switch {
	case r >= emptyRef:
		return
	case r >= boxRef:
		s.box(&t.boxes[r&refMask], v)
		return
	}
	at := r & refMask
	count := t.lists[at]
	last := at + 1 + ref(count&^cutShort)
	for _, i := range t.lists[at+1 : last] {
		b := &t.boxes[i]
		if b.rule >= s.best {
			return
		}
		if s.box(b, v) {
			return
		}
	}
	if count&cutShort != 0 && t.boxes[t.lists[last-1]].rule < s.from {
		s.short = true
	}
}

// box reports whether the packet matches the box's rule, which is then the best.
func (s *search) box(b *box, v *words) bool {
	// A difference that is below zero has its highest bit set.
	if out := (uint64(b.span[0]) - uint64(v[dstWord]-b.lo[0])) | (uint64(b.span[1]) - uint64(v[srcWord]-b.lo[1])) |
		(uint64(b.span[2]) - uint64(v[kindOf]-b.lo[2])) | (uint64(b.span[3]) - uint64(v[dstPort]-b.lo[3])) |
		(uint64(b.span[4]) - uint64(v[srcPort]-b.lo[4])); int64(out) < 0 {
		return false
	}
	if b.rule >= s.best || b.rule < s.from ||
		b.ask&askRule != 0 && !s.rules[b.rule].matches(s.key) ||
		b.ask&askRest != 0 && !s.rest.Check(int(b.rule)) {
		return false
	}
	s.best = b.rule
	return true
}

// Memory returns about how many bytes the trees take.
func (m *Matcher) Memory() int {
	const nodeSize, boxSize = 64, 48
	sum := 0
	for i := range m.tables {
		t := &m.tables[i]
		sum += len(t.nodes)*nodeSize + len(t.lists)*4 + len(t.boxes)*boxSize
	}
	return sum
}
