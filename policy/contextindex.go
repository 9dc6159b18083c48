package policy

import (
	"math"
	"math/bits"
	"math/rand/v2"
	"unsafe"

	"sttwall/internal/prefetch"
)

// exactMap finds the tenant of a context ID that a tenant has claimed by itself:
// a hash table of cache lines, so that a million IDs cost one line from memory.
// It is filled once. The hash has a random seed.
type exactMap struct {
	lines []exactLine
	seed  uint64
}

const (
	exactPlaces = 5       // in a line
	exactLoad   = 4       // IDs to a line, on average
	exactReach  = 64      // lines looked at for an ID that are few enough for exactMany IDs
	exactMany   = 1 << 16 // and more; for fewer, the best of exactSeeds seeds is taken
	exactSeeds  = 8
	// exactInCache is how many lines are 512 KiB: a small second cache.
	exactInCache = 8 << 10
)

// exactLine is 64 bytes.
type exactLine struct {
	ids    [exactPlaces]uint64
	owners [exactPlaces]uint32 // index of the tenant plus 1; 0: the place is free
	over   uint32              // 1: the line was full, look in the next one too
}

// newExactMap makes a map of claims of one ID each, no two of one ID. Of some seeds
// it takes one by which no ID is far from its line: the IDs may be in any order, say
// with the same distance, and the hash is a simple one.
func newExactMap(claims []claim, seed uint64) exactMap {
	if len(claims) == 0 {
		return exactMap{}
	}
	seeds := rand.New(rand.NewPCG(seed, 0))
	enough := 1
	if len(claims) >= exactMany {
		enough = exactReach
	}
	var best exactMap
	for least, try := math.MaxInt, 0; try < exactSeeds && least > enough; try++ {
		m := exactMap{lines: make([]exactLine, len(claims)/exactLoad+1), seed: seeds.Uint64() | 1}
		for i := range claims {
			m.add(claims[i].lo, uint32(claims[i].tenant)+1)
		}
		if reach := m.reach(); reach < least {
			least, best = reach, m
		}
	}
	return best
}

// reach returns the most lines that are looked at for an ID.
func (m *exactMap) reach() int {
	most, run := 0, 0
	for i := range 2 * len(m.lines) { // a run may go on behind the last line
		run++
		most = max(most, run)
		if m.lines[i%len(m.lines)].over == 0 {
			run = 0
		}
	}
	return min(most, len(m.lines))
}

// line returns the line where an ID should be: the highest bits of a product with a
// random odd number, brought into the range. For any two IDs they are the same for
// few of these numbers (Dietzfelbinger et al., A reliable randomized algorithm for
// the closest-pair problem, 1997).
func (m *exactMap) line(id uint64) uint64 {
	at, _ := bits.Mul64(id*m.seed, uint64(len(m.lines)))
	return at
}

func (m *exactMap) add(id uint64, owner uint32) {
	for i := m.line(id); ; i++ {
		if i == uint64(len(m.lines)) {
			i = 0
		}
		l := &m.lines[i]
		for j := range l.owners {
			if l.owners[j] == 0 {
				l.ids[j], l.owners[j] = id, owner
				return
			}
		}
		l.over = 1
	}
}

// find returns the tenant that claims this ID by itself, or -1.
func (m *exactMap) find(id uint64) int32 {
	if len(m.lines) == 0 {
		return -1
	}
	for i := m.line(id); ; i++ {
		if i == uint64(len(m.lines)) {
			i = 0
		}
		// No branch depends on the place: it would be guessed wrong.
		l := &m.lines[i]
		owner := l.owners[0]&same(l.ids[0], id) | l.owners[1]&same(l.ids[1], id) | l.owners[2]&same(l.ids[2], id) |
			l.owners[3]&same(l.ids[3], id) | l.owners[4]&same(l.ids[4], id)
		if owner != 0 || l.over == 0 {
			return int32(owner) - 1
		}
	}
}

// cold reports whether most lines are in memory and not in a near cache.
func (m *exactMap) cold() bool { return len(m.lines) > exactInCache }

// expect asks for the line where an ID should be.
func (m *exactMap) expect(id uint64) { prefetch.Line(unsafe.Pointer(&m.lines[m.line(id)])) }

// same is all ones if a and b are equal, else 0.
func same(a, b uint64) uint32 {
	x := a ^ b
	return uint32((x|-x)>>63) - 1
}

// rangeMap finds the interval of a context ID in a B-tree of cache lines, laid
// out without pointers: the children of node n are the nodes from n*9+1 on.
type rangeMap struct {
	nodes [][rangeKeys]uint64     // first IDs of intervals, rising
	owned [][rangeKeys]rangeOwner // what begins there
}

const rangeKeys = 8 // in a node: 64 bytes

type rangeOwner struct {
	hi     uint64 // the last ID
	tenant int32
	wide   bool
}

func newRangeMap(of *intervals) rangeMap {
	n := len(of.lo)
	if n == 0 {
		return rangeMap{}
	}
	count := (n + rangeKeys - 1) / rangeKeys
	m := rangeMap{nodes: make([][rangeKeys]uint64, count), owned: make([][rangeKeys]rangeOwner, count)}
	next := 0
	var fill func(node int)
	fill = func(node int) {
		if node >= count {
			return
		}
		for i := range rangeKeys {
			fill(node*(rangeKeys+1) + 1 + i)
			// Places behind the last interval stand for it: all ones is the largest
			// ID, which no other interval can hold.
			last := min(next, n-1)
			m.nodes[node][i], m.owned[node][i] = ^uint64(0), rangeOwner{of.hi[last], of.tenant[last], of.wide[last]}
			if next < n {
				m.nodes[node][i] = of.lo[next]
			}
			next++
		}
		fill(node*(rangeKeys+1) + 1 + rangeKeys)
	}
	fill(0)
	return m
}

// find returns the tenant whose interval holds the ID, or -1, and whether the
// claim is wide.
func (m *rangeMap) find(id uint64) (tenant int32, wide bool) {
	var at *rangeOwner // of the last interval that starts at or before id
	for node := 0; node < len(m.nodes); {
		above := uint64(0) // keys above id
		for _, key := range &m.nodes[node] {
			_, borrow := bits.Sub64(id, key, 0)
			above += borrow
		}
		i := rangeKeys - int(above)
		if i > 0 {
			at = &m.owned[node][(i-1)&(rangeKeys-1)]
		}
		node = node*(rangeKeys+1) + 1 + i
	}
	if at == nil || id > at.hi {
		return -1, false
	}
	return at.tenant, at.wide
}
