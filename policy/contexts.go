package policy

import (
	"cmp"
	"math/rand/v2"
	"slices"

	"github.com/hashicorp/hcl/v2"
)

// contextMap finds the tenant of a context ID. The claims of all tenants, which
// may be nested, are resolved into sorted intervals that do not overlap: what
// lint and reports look at. Packets are looked up in two other forms of them.
type contextMap struct {
	intervals
	exact  exactMap // claims of one ID, inside of which no other can be
	ranges rangeMap // the others
}

// intervals are disjoint and rise.
type intervals struct {
	lo, hi []uint64 // both inclusive
	tenant []int32
	wide   []bool // by a claim of more IDs than a datapath has
}

// wideClaim is how many context IDs a claim may have and still be more specific
// than an OVN datapath, which has one for each pair of ports.
const wideClaim = 1 << 31

// find returns the index of the tenant that has the most specific claim on id,
// or -1, and whether that claim is less specific than one on a datapath.
func (m *contextMap) find(id uint64) (tenant int32, wide bool) {
	if t := m.exact.find(id); t >= 0 {
		return t, false
	}
	return m.ranges.find(id)
}

// add gives the IDs from lo to hi to the tenant of claim c.
func (m *intervals) add(lo, hi uint64, c *claim) {
	wide := c.hi-c.lo >= wideClaim
	// Neighbours of one tenant become one interval.
	if n := len(m.lo); n > 0 && m.tenant[n-1] == c.tenant && m.wide[n-1] == wide && m.hi[n-1]+1 == lo {
		m.hi[n-1] = hi
		return
	}
	m.lo = append(m.lo, lo)
	m.hi = append(m.hi, hi)
	m.tenant = append(m.tenant, c.tenant)
	m.wide = append(m.wide, wide)
}

// claim is one entry of a context_ids list: the IDs from lo to hi, inclusive.
type claim struct {
	lo, hi uint64
	tenant int32
	at     hcl.Range
}

// conflict is a pair of claims that are equal, or cross: neither is inside the
// other, so neither is more specific.
type conflict struct{ earlier, later claim }

// resolveClaims makes a contextMap of claims, in which the most specific claim
// (the innermost) wins. Claims that conflict are returned and left out. It sorts
// claims in place.
func resolveClaims(claims []claim) (contextMap, []conflict) {
	all, conflicts := flatten(claims)
	m := contextMap{intervals: all}
	// An exact ID inside a range would cut it in two: the ranges are flattened
	// once more without them.
	var rest []claim
	var exact []claim
	for i, c := range claims {
		switch {
		case c.lo < c.hi:
			rest = append(rest, c)
		case i == 0 || claims[i-1].lo != c.lo || claims[i-1].hi != c.hi:
			exact = append(exact, c)
		}
	}
	m.exact = newExactMap(exact, rand.Uint64())
	ranges, _ := flatten(rest)
	m.ranges = newRangeMap(&ranges)
	return m, conflicts
}

// flatten resolves claims into intervals.
func flatten(claims []claim) (intervals, []conflict) {
	slices.SortStableFunc(claims, func(a, b claim) int {
		return cmp.Or(cmp.Compare(a.lo, b.lo), cmp.Compare(b.hi, a.hi))
	})
	var (
		m         intervals
		conflicts []conflict
		open      []claim // nested claims around the sweep's position, outermost first
		next      uint64  // the first ID that is not yet given to a tenant
	)
	// closeTop gives what is left of the innermost claim to its tenant.
	closeTop := func() {
		top := open[len(open)-1]
		open = open[:len(open)-1]
		if next <= top.hi {
			m.add(next, top.hi, &top)
			next = top.hi + 1 // wraps only behind the largest ID, where every claim around ends too
			if next == 0 {
				open = open[:0]
			}
		}
	}
	for _, c := range claims {
		for len(open) > 0 && open[len(open)-1].hi < c.lo {
			closeTop()
		}
		if len(open) > 0 {
			top := open[len(open)-1]
			if c.hi > top.hi || c.lo == top.lo && c.hi == top.hi {
				conflicts = append(conflicts, newConflict(top, c))
				continue
			}
			if next < c.lo {
				m.add(next, c.lo-1, &top)
			}
		}
		open = append(open, c)
		next = c.lo
	}
	for len(open) > 0 {
		closeTop()
	}
	return m, conflicts
}

// newConflict orders the two claims as they stand in the file.
func newConflict(a, b claim) conflict {
	if a.at.Start.Byte > b.at.Start.Byte {
		a, b = b, a
	}
	return conflict{a, b}
}
