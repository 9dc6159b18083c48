package suggest

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"slices"
)

// Bounds on making a CIDR of single addresses; doc.go says them in words.
const (
	manyAddresses = 8  // fewer are never made a CIDR
	fill          = 8  // a CIDR has at most this many addresses for each that was seen
	widest4       = 24 // prefix lengths of the widest CIDRs; RFC 7421 for IPv6
	widest6       = 64
	shortestRun   = 3 // consecutive addresses, or ports, that are written as a range
)

// Range is the addresses from First to Last, of one family.
type Range struct{ First, Last netip.Addr }

// String writes a single address, a CIDR where the range is one, or
// "FIRST-LAST".
func (r Range) String() string {
	if r.First == r.Last {
		return r.First.String()
	}
	if p, ok := r.prefix(); ok {
		return p.String()
	}
	return r.First.String() + "-" + r.Last.String()
}

// prefix returns the CIDR that is the range.
func (r Range) prefix() (netip.Prefix, bool) {
	p, err := r.First.Prefix(commonBits(r.First, r.Last))
	return p, err == nil && rangeOf(p) == r
}

// Contains reports whether the range has the address.
func (r Range) Contains(a netip.Addr) bool {
	return a.BitLen() == r.First.BitLen() && r.First.Compare(a) <= 0 && a.Compare(r.Last) <= 0
}

// halves returns an address as a number of 128 bits.
func halves(a netip.Addr) (high, low uint64) {
	if a.Is4() {
		b := a.As4()
		return 0, uint64(binary.BigEndian.Uint32(b[:]))
	}
	b := a.As16()
	return binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// commonBits is how many leading bits two addresses of one family share.
func commonBits(a, b netip.Addr) int {
	aHigh, aLow := halves(a)
	bHigh, bLow := halves(b)
	n := bits.LeadingZeros64(aHigh ^ bHigh)
	if n == 64 {
		n += bits.LeadingZeros64(aLow ^ bLow)
	}
	return n - (128 - a.BitLen())
}

// rangeOf returns the first and the last address of a masked CIDR.
func rangeOf(p netip.Prefix) Range {
	last := p.Addr().AsSlice()
	for i := range last {
		switch free := 8*(i+1) - p.Bits(); {
		case free >= 8:
			last[i] = 0xff
		case free > 0:
			last[i] |= 1<<free - 1
		}
	}
	a, _ := netip.AddrFromSlice(last)
	return Range{p.Addr(), a}
}

// set is addresses, sorted and each once.
type set []netip.Addr

func setOf(m map[netip.Addr]bool) set {
	s := make(set, 0, len(m))
	for a := range m {
		s = append(s, a)
	}
	slices.SortFunc(s, netip.Addr.Compare)
	return s
}

func (s set) has(a netip.Addr) bool {
	_, ok := slices.BinarySearchFunc(s, a, netip.Addr.Compare)
	return ok
}

// common counts what s and o share.
func (s set) common(o set) int {
	if len(s) > len(o) {
		s, o = o, s
	}
	n := 0
	for _, a := range s {
		if o.has(a) {
			n++
		}
	}
	return n
}

func (s set) union(o set) set {
	u := append(slices.Clone(s), o...)
	slices.SortFunc(u, netip.Addr.Compare)
	return slices.Compact(u)
}

// without returns the addresses of s for which in is false.
func (s set) without(in func(netip.Addr) bool) set {
	var rest set
	for _, a := range s {
		if !in(a) {
			rest = append(rest, a)
		}
	}
	return rest
}

// key is a string that no other set has.
func (s set) key() string {
	b := make([]byte, 0, 17*len(s))
	for _, a := range s {
		b = append(b, byte(a.BitLen()))
		b = append(b, a.AsSlice()...)
	}
	return string(b)
}

// subnets returns the CIDRs that stand for many addresses of s, sorted. They do
// not overlap.
func (s set) subnets() []Range {
	var out []Range
	for rest := s; len(rest) > 0; {
		widest := widest4
		if !rest[0].Is4() {
			widest = widest6
		}
		block := rangeOf(netip.PrefixFrom(rest[0], widest).Masked())
		n := 1
		for n < len(rest) && block.Contains(rest[n]) {
			n++
		}
		narrow := rest[:n].narrow(nil)
		if len(narrow) == 0 && n >= manyAddresses && !rest[0].Is4() {
			narrow = []Range{block}
		}
		out = append(out, narrow...)
		rest = rest[n:]
	}
	return out
}

// narrow appends the smallest CIDRs that are well filled by addresses of one
// block.
func (s set) narrow(out []Range) []Range {
	if len(s) < manyAddresses {
		return out
	}
	n := commonBits(s[0], s[len(s)-1])
	whole := rangeOf(netip.PrefixFrom(s[0], n).Masked())
	if free := s[0].BitLen() - n; free < 32 && 1<<free <= fill*len(s) {
		return append(out, whole)
	}
	// The next bit parts the set: its first address has 0 there, its last 1.
	upper := rangeOf(netip.PrefixFrom(s[len(s)-1], n+1).Masked()).First
	i, _ := slices.BinarySearchFunc(s, upper, netip.Addr.Compare)
	return s[i:].narrow(s[:i].narrow(out))
}

// runs returns s as single addresses and ranges of consecutive ones.
func (s set) runs() []Range {
	var out []Range
	for i := 0; i < len(s); {
		n := 1
		for i+n < len(s) && s[i+n-1].Next() == s[i+n] {
			n++
		}
		if n < shortestRun {
			n = 1
		}
		out = append(out, Range{s[i], s[i+n-1]})
		i += n
	}
	return out
}

func contains(ranges []Range, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(r Range) bool { return r.Contains(a) })
}

func compareRanges(a, b Range) int {
	return cmp.Or(a.First.Compare(b.First), a.Last.Compare(b.Last))
}

// joined returns sorted ranges in which what touches is one.
func joined(ranges []Range) []Range {
	ranges = slices.SortedFunc(slices.Values(ranges), compareRanges)
	var out []Range
	for _, r := range ranges {
		if n := len(out); n > 0 && (out[n-1].Last.Next() == r.First || out[n-1].Contains(r.First)) {
			if out[n-1].Last.Less(r.Last) {
				out[n-1].Last = r.Last
			}
			continue
		}
		out = append(out, r)
	}
	return out
}
