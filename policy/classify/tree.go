package classify

// The dimensions of a tree. An IPv6 address is two of them.
const (
	dstHigh = iota
	dstLow
	srcHigh
	srcLow
	kindOf
	dstPort
	srcPort
	dimensions

	leaf = dimensions // of a node: not cut
)

type values [dimensions]uint64

func valuesOf(k *Key) values {
	return values{k.Dst[0], k.Dst[1], k.Src[0], k.Src[1], uint64(k.Kind), uint64(k.DstPort), uint64(k.SrcPort)}
}

// tree finds rules of one family.
type tree struct {
	lowest   int // index of its first rule
	nodes    []node
	cuts     []uint64 // of all nodes
	children []int32  // node by child, of all nodes
	rules    []int32  // of all leaves, rising in each
}

// node is cut at the values cuts[from:from+count]: the child is the number of
// cuts that are not above the packet's value. A leaf has rules[from:from+count].
type node struct {
	dimension uint8
	from      int32
	count     int32
	child     int32
}

// first returns the lowest rule that matches, if it is below best, else best.
func (t *tree) first(rules []Rule, k *Key, v *values, best int, rest Checker) int {
	n := &t.nodes[0]
	for n.dimension != leaf {
		value, child := v[n.dimension], int32(0)
		for _, cut := range t.cuts[n.from : n.from+n.count] {
			if value >= cut {
				child++
			}
		}
		n = &t.nodes[t.children[n.child+child]]
	}
	for _, i := range t.rules[n.from : n.from+n.count] {
		if int(i) >= best {
			break
		}
		if r := &rules[i]; r.matches(k) && (!r.Rest || rest.Check(int(i))) {
			return int(i)
		}
	}
	return best
}

// Memory returns about how many bytes the trees take.
func (m *Matcher) Memory() int {
	const nodeSize = 16
	sum := 0
	for _, trees := range m.trees {
		for i := range trees {
			t := &trees[i]
			sum += len(t.nodes)*nodeSize + len(t.cuts)*8 + len(t.children)*4 + len(t.rules)*4
		}
	}
	return sum
}
