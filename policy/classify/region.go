package classify

import "sort"

// region is a box of packets: in each dimension from lo to hi, inclusive. A word
// of an address is less than everything only where the words before it are one
// value, so the addresses are a range.
type region struct {
	family uint8
	lo, hi words
}

// everything is all packets of a family.
func everything(family uint8) region {
	r := region{family: family}
	switch family {
	case 4:
		r.hi[dstWord], r.hi[srcWord] = 1<<32-1, 1<<32-1
	case 6:
		for i := range 4 {
			r.hi[dstWord+i], r.hi[srcWord+i] = 1<<32-1, 1<<32-1
		}
	}
	r.hi[kindOf] = 0x1ffff
	r.hi[dstPort], r.hi[srcPort] = Absent, Absent
	return r
}

// addresses returns the range of destinations or sources: word is dstWord or
// srcWord.
func (r *region) addresses(word int) (lo, hi [2]uint64) {
	if r.family == 4 {
		return [2]uint64{0, uint64(r.lo[word])}, [2]uint64{0, uint64(r.hi[word])}
	}
	join := func(w *words) [2]uint64 {
		return [2]uint64{uint64(w[word])<<32 | uint64(w[word+1]), uint64(w[word+2])<<32 | uint64(w[word+3])}
	}
	return join(&r.lo), join(&r.hi)
}

// part returns the i-th part of a region that is cut behind these values.
func (r *region) part(dimension int, cuts []uint32, i int) region {
	part := *r
	if i > 0 {
		part.lo[dimension] = cuts[i-1] + 1
	}
	if i < len(cuts) {
		part.hi[dimension] = cuts[i]
	}
	return part
}

// met knows which rules can match in one region. Rules share their services,
// which may be many.
type met struct {
	region   *region
	services []Service // asked last
	some     bool      // of them meets the region
}

// by reports whether the rule can match in the region.
func (m *met) by(r *Rule) bool {
	if len(r.Services) == 0 {
		return false
	}
	if len(r.Services) != len(m.services) || &r.Services[0] != &m.services[0] {
		m.services, m.some = r.Services, false
		for i := range r.Services {
			if r.Services[i].meets(m.region) {
				m.some = true
				break
			}
		}
	}
	return m.some && r.Dst.meets(m.region, dstWord) && r.Src.meets(m.region, srcWord)
}

func (s *Service) meets(g *region) bool {
	return s.KindLo <= g.hi[kindOf] && g.lo[kindOf] <= s.KindHi &&
		s.DstLo <= g.hi[dstPort] && g.lo[dstPort] <= s.DstHi &&
		s.SrcLo <= g.hi[srcPort] && g.lo[srcPort] <= s.SrcHi
}

// covers reports whether every key of the region is in the service.
func (s *Service) covers(g *region) bool {
	return s.KindLo <= g.lo[kindOf] && g.hi[kindOf] <= s.KindHi &&
		s.DstLo <= g.lo[dstPort] && g.hi[dstPort] <= s.DstHi &&
		s.SrcLo <= g.lo[srcPort] && g.hi[srcPort] <= s.SrcHi
}

// in returns which of the ranges of a set meet the region: from first to before
// end.
func (a *Addresses) in(g *region, word int) (first, end int) {
	if g.family == 4 {
		lo, hi := g.lo[word], g.hi[word]
		if n := len(a.V4); n == 1 { // nearly always
			if a.V4[0].Lo <= hi && lo <= a.V4[0].Hi {
				return 0, 1
			}
			return 0, 0
		}
		first = sort.Search(len(a.V4), func(i int) bool { return a.V4[i].Hi >= lo })
		end = first + sort.Search(len(a.V4)-first, func(i int) bool { return a.V4[first+i].Lo > hi })
		return first, end
	}
	if g.family == 6 {
		lo, hi := g.addresses(word)
		first = sort.Search(len(a.V6), func(i int) bool { return !less(a.V6[i].Hi, lo) })
		end = first + sort.Search(len(a.V6)-first, func(i int) bool { return less(hi, a.V6[first+i].Lo) })
	}
	return first, end
}

// meets reports whether some address of the region is in the set. nil holds all.
func (a *Addresses) meets(g *region, word int) bool {
	if a == nil {
		return true
	}
	first, end := a.in(g, word)
	return first < end
}

// covers reports whether every address of the region is in the set.
func (a *Addresses) covers(g *region, word int) bool {
	if a == nil {
		return true
	}
	first, end := a.in(g, word)
	if end-first != 1 { // ranges do not touch
		return false
	}
	if g.family == 4 {
		return a.V4[first].Lo <= g.lo[word] && g.hi[word] <= a.V4[first].Hi
	}
	lo, hi := g.addresses(word)
	return !less(lo, a.V6[first].Lo) && !less(a.V6[first].Hi, hi)
}

// covers reports whether the rule takes every packet of the region, and nobody
// goes on behind it.
func (r *Rule) covers(g *region) bool {
	if r.Rest || r.Passes || !r.Dst.covers(g, dstWord) || !r.Src.covers(g, srcWord) {
		return false
	}
	for i := range r.Services {
		if r.Services[i].covers(g) {
			return true
		}
	}
	return false
}
