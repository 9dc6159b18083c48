package policy

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
)

// uint128 is an IPv6 address as a number.
type uint128 struct{ hi, lo uint64 }

func (a uint128) less(b uint128) bool { return a.hi < b.hi || a.hi == b.hi && a.lo < b.lo }

func (a uint128) compare(b uint128) int {
	return cmp.Or(cmp.Compare(a.hi, b.hi), cmp.Compare(a.lo, b.lo))
}

// next returns a+1; the caller knows that a is not the largest.
func (a uint128) next() uint128 {
	a.lo++
	if a.lo == 0 {
		a.hi++
	}
	return a
}

// addressKey is an address in the form that sets are searched with. IPv4 and
// IPv6 are two families that never meet: an IPv4-mapped IPv6 address is IPv6.
type addressKey struct {
	family uint8 // 4, 6; 0: the frame has no such address
	v4     uint32
	v6     uint128
}

func keyOf(a netip.Addr) addressKey {
	switch {
	case a.Is4():
		b := a.As4()
		return addressKey{family: 4, v4: binary.BigEndian.Uint32(b[:])}
	case a.Is6():
		b := a.As16()
		return addressKey{family: 6, v6: uint128{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}}
	}
	return addressKey{}
}

type range4 struct{ lo, hi uint32 }

type range6 struct{ lo, hi uint128 }

// addressSet is a set of addresses: sorted ranges that neither overlap nor
// touch, both ends inclusive. It is complete only after finish.
type addressSet struct {
	v4 []range4
	v6 []range6
}

// add puts the addresses from lo to hi, of one family, into the set.
func (s *addressSet) add(lo, hi netip.Addr) {
	a, b := keyOf(lo), keyOf(hi)
	if a.family == 4 {
		s.v4 = append(s.v4, range4{a.v4, b.v4})
		return
	}
	s.v6 = append(s.v6, range6{a.v6, b.v6})
}

// finish sorts the ranges and joins those that overlap or touch.
func (s *addressSet) finish() {
	slices.SortFunc(s.v4, func(a, b range4) int { return cmp.Compare(a.lo, b.lo) })
	out4 := s.v4[:0]
	for _, r := range s.v4 {
		if n := len(out4); n > 0 && (out4[n-1].hi == ^uint32(0) || r.lo <= out4[n-1].hi+1) {
			out4[n-1].hi = max(out4[n-1].hi, r.hi)
			continue
		}
		out4 = append(out4, r)
	}
	s.v4 = slices.Clip(out4)

	last := uint128{^uint64(0), ^uint64(0)}
	slices.SortFunc(s.v6, func(a, b range6) int { return a.lo.compare(b.lo) })
	out6 := s.v6[:0]
	for _, r := range s.v6 {
		if n := len(out6); n > 0 && (out6[n-1].hi == last || !out6[n-1].hi.next().less(r.lo)) {
			if out6[n-1].hi.less(r.hi) {
				out6[n-1].hi = r.hi
			}
			continue
		}
		out6 = append(out6, r)
	}
	s.v6 = slices.Clip(out6)
}

func (s *addressSet) empty() bool { return len(s.v4) == 0 && len(s.v6) == 0 }

// contains searches for the last range that starts at or before the address.
func (s *addressSet) contains(k *addressKey) bool {
	i, j := 0, 0
	switch k.family {
	case 4:
		for j = len(s.v4); i < j; {
			if h := int(uint(i+j) >> 1); s.v4[h].lo <= k.v4 {
				i = h + 1
			} else {
				j = h
			}
		}
		return i > 0 && k.v4 <= s.v4[i-1].hi
	case 6:
		for j = len(s.v6); i < j; {
			if h := int(uint(i+j) >> 1); !k.v6.less(s.v6[h].lo) {
				i = h + 1
			} else {
				j = h
			}
		}
		return i > 0 && !s.v6[i-1].hi.less(k.v6)
	}
	return false
}

// addressMatch is a compiled source or destination list. The sets of named
// groups are shared with every other list that names them. The zero value, a
// list that the rule leaves out, matches everything.
type addressMatch struct {
	any      bool          // "any" is in the list
	sets     []*addressSet // what the list names
	excluded []*addressSet // what it names with "!"
}

// everything reports whether the list matches frames whatever their address, and
// so also frames that have none.
func (m *addressMatch) everything() bool { return len(m.sets) == 0 && len(m.excluded) == 0 }

// match reports whether some positive entry matches (or there is none) and no
// negated one does.
func (m *addressMatch) match(k *addressKey) bool {
	if m.everything() {
		return true
	}
	if k.family == 0 {
		return false
	}
	for _, s := range m.excluded {
		if s.contains(k) {
			return false
		}
	}
	if m.any || len(m.sets) == 0 {
		return true
	}
	for _, s := range m.sets {
		if s.contains(k) {
			return true
		}
	}
	return false
}
