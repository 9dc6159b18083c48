package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"sttwall/policy/classify"
)

// The sets of addresses that rules are compiled to, [classify.Addresses]: sorted
// ranges that neither overlap nor touch. IPv4 and IPv6 are two families that
// never meet: an IPv4-mapped IPv6 address is IPv6.

var (
	lastV6 = [2]uint64{^uint64(0), ^uint64(0)}
	allV4  = classify.Range4{Lo: 0, Hi: ^uint32(0)}
	allV6  = classify.Range6{Hi: lastV6}
)

// addRange puts the addresses from lo to hi, of one family, into the set. It is
// complete only after finish.
func addRange(s *classify.Addresses, lo, hi netip.Addr) {
	a, b := halves(lo), halves(hi)
	if lo.Is4() {
		s.V4 = append(s.V4, classify.Range4{Lo: uint32(a[1]), Hi: uint32(b[1])})
		return
	}
	s.V6 = append(s.V6, classify.Range6{Lo: a, Hi: b})
}

func addSet(s, t *classify.Addresses) {
	s.V4 = append(s.V4, t.V4...)
	s.V6 = append(s.V6, t.V6...)
}

// finish sorts the ranges and joins those that overlap or touch.
func finish(s *classify.Addresses) {
	slices.SortFunc(s.V4, func(a, b classify.Range4) int { return cmp.Compare(a.Lo, b.Lo) })
	out4 := s.V4[:0]
	for _, r := range s.V4 {
		if n := len(out4); n > 0 && (out4[n-1].Hi == ^uint32(0) || r.Lo <= out4[n-1].Hi+1) {
			out4[n-1].Hi = max(out4[n-1].Hi, r.Hi)
			continue
		}
		out4 = append(out4, r)
	}
	s.V4 = slices.Clip(out4)

	slices.SortFunc(s.V6, func(a, b classify.Range6) int {
		return cmp.Or(cmp.Compare(a.Lo[0], b.Lo[0]), cmp.Compare(a.Lo[1], b.Lo[1]))
	})
	out6 := s.V6[:0]
	for _, r := range s.V6 {
		if n := len(out6); n > 0 && (out6[n-1].Hi == lastV6 || !less(next(out6[n-1].Hi), r.Lo)) {
			if less(out6[n-1].Hi, r.Hi) {
				out6[n-1].Hi = r.Hi
			}
			continue
		}
		out6 = append(out6, r)
	}
	s.V6 = slices.Clip(out6)
}

// subtract returns what is in s and not in t; both are finished.
func subtract(s, t *classify.Addresses) *classify.Addresses {
	out := new(classify.Addresses)
	i := 0
	for _, r := range s.V4 {
		for i < len(t.V4) && t.V4[i].Hi < r.Lo {
			i++
		}
		lo, rest := r.Lo, true
		for j := i; j < len(t.V4) && t.V4[j].Lo <= r.Hi; j++ {
			x := t.V4[j]
			if x.Lo > lo {
				out.V4 = append(out.V4, classify.Range4{Lo: lo, Hi: x.Lo - 1})
			}
			if x.Hi >= r.Hi {
				rest = false
				break
			}
			lo = x.Hi + 1
		}
		if rest {
			out.V4 = append(out.V4, classify.Range4{Lo: lo, Hi: r.Hi})
		}
	}
	i = 0
	for _, r := range s.V6 {
		for i < len(t.V6) && less(t.V6[i].Hi, r.Lo) {
			i++
		}
		lo, rest := r.Lo, true
		for j := i; j < len(t.V6) && !less(r.Hi, t.V6[j].Lo); j++ {
			x := t.V6[j]
			if less(lo, x.Lo) {
				out.V6 = append(out.V6, classify.Range6{Lo: lo, Hi: previous(x.Lo)})
			}
			if !less(x.Hi, r.Hi) {
				rest = false
				break
			}
			lo = next(x.Hi)
		}
		if rest {
			out.V6 = append(out.V6, classify.Range6{Lo: lo, Hi: r.Hi})
		}
	}
	return out
}

// next returns a+1; the caller knows that a is not the largest.
func next(a [2]uint64) [2]uint64 {
	a[1]++
	if a[1] == 0 {
		a[0]++
	}
	return a
}

// previous returns a-1; the caller knows that a is not 0.
func previous(a [2]uint64) [2]uint64 {
	if a[1] == 0 {
		a[0]--
	}
	a[1]--
	return a
}

// prefixSet returns the addresses of prefixes.
func prefixSet(prefixes []netip.Prefix) *classify.Addresses {
	s := new(classify.Addresses)
	for _, p := range prefixes {
		addRange(s, p.Addr(), lastOf(p))
	}
	finish(s)
	return s
}
