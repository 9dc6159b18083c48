package classify

import "slices"

const (
	sampled   = 256 // rules that a choice of dimension looks at
	setSample = 32  // ranges of a large set, or services of a rule, that give cuts
)

// choose returns the dimension and the cuts that leave the fewest rules in a
// child, copies counted; no cuts if none are worth it. It looks at a sample of
// many rules.
func (g *grower) choose(rules []int32, r *region) (best int, cuts []uint32) {
	sample := rules
	if len(sample) > sampled {
		sample = g.sample[:0]
		for i := range sampled {
			sample = append(sample, rules[i*len(rules)/sampled])
		}
		g.sample = sample
	}
	bestCost := float64(len(sample)) * 1.0
	for d := range dimensions {
		if r.lo[d] == r.hi[d] || !r.ready(d) {
			continue
		}
		candidate := g.cutsOf(sample, r, d)
		if len(candidate) == 0 {
			continue
		}
		largest, total := 0, 0
		for i := range len(candidate) + 1 {
			part := r.part(d, candidate, i)
			count, met := 0, met{region: &part}
			for _, j := range sample {
				if met.by(&g.rules[j]) {
					count++
				}
			}
			largest, total = max(largest, count), total+count
		}
		// The rules that a packet meets on average, and copies.
		cost := float64(largest)*0.5 + float64(total)/float64(len(candidate)+1) + 0.05*float64(total-len(sample))
		if cost < bestCost {
			best, bestCost, cuts = d, cost, slices.Clone(candidate)
		}
	}
	return best, cuts
}

// ready reports whether a region may be cut in a dimension: a word of an address
// says nothing where the words before it are several.
func (r *region) ready(d int) bool {
	if d >= kindOf {
		return true
	}
	for i := d &^ 3; i < d; i++ {
		if r.lo[i] != r.hi[i] {
			return false
		}
	}
	return true
}

// cutsOf returns cuts of a region in a dimension, rising: bounds of the rules,
// spread evenly over them. They are good until the next call.
func (g *grower) cutsOf(sample []int32, r *region, d int) []uint32 {
	g.bounds = g.bounds[:0]
	for _, j := range sample {
		g.boundsOf(&g.rules[j], r, d)
	}
	slices.Sort(g.bounds)
	n := len(g.bounds)
	cuts := g.cuts[:0]
	for i := range maxCuts {
		if n == 0 {
			break
		}
		at := (i + 1) * n / (maxCuts + 1)
		if cut := g.bounds[min(at, n-1)]; len(cuts) == 0 || cut > cuts[len(cuts)-1] {
			cuts = append(cuts, cut)
		}
	}
	g.cuts = cuts
	return cuts
}

// bound notes the last values before what begins at lo and what is behind hi.
func (g *grower) bound(r *region, d int, lo, hi uint32) {
	if lo > r.lo[d] && lo <= r.hi[d] {
		g.bounds = append(g.bounds, lo-1)
	}
	if hi < r.hi[d] && hi >= r.lo[d] {
		g.bounds = append(g.bounds, hi)
	}
}

func (g *grower) boundsOf(rule *Rule, r *region, d int) {
	set, word := rule.Dst, dstWord
	switch d {
	case kindOf, dstPort, srcPort:
		n := min(len(rule.Services), setSample)
		for i := range n {
			s := &rule.Services[i*len(rule.Services)/n]
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
			g.bound(r, d, lo, hi)
		}
		return
	}
	if d >= srcWord {
		set, word = rule.Src, srcWord
	}
	if set == nil {
		return
	}
	first, end := set.in(r, word)
	n := min(end-first, setSample)
	for i := range n {
		at := first + i*(end-first)/n
		if r.family == 4 {
			g.bound(r, d, set.V4[at].Lo, set.V4[at].Hi)
			continue
		}
		lo, hi := set.V6[at].within(r, word, d-word)
		g.bound(r, d, lo, hi)
	}
}

// within returns the first and the last value that word number w of an address
// has in the range, inside a region in which the words before it are one value.
func (x *Range6) within(r *region, word, w int) (lo, hi uint32) {
	regionLo, regionHi := r.addresses(word)
	lo, hi = r.lo[word+w], r.hi[word+w]
	if less(regionLo, x.Lo) {
		lo = wordOf(x.Lo, w)
	}
	if less(x.Hi, regionHi) {
		hi = wordOf(x.Hi, w)
	}
	return lo, hi
}

func wordOf(a [2]uint64, w int) uint32 { return uint32(a[w/2] >> (32 * (1 - w%2))) }
