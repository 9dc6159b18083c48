package space

import (
	"slices"
	"sort"
)

// Set is a set of values of one field. The zero Set is everything, so that a
// field which nobody asks about costs nothing. A Set is never changed and is
// small; copies share the ranges. Sets of different fields must not be mixed:
// operations whose result depends on the largest value are methods of [Field].
type Set struct {
	// ranges are sorted, do not overlap or touch, and are not the whole field.
	// nil is everything.
	ranges *[]Range
}

var none = []Range{}

// Nothing is the empty set of any field.
func Nothing() Set { return Set{&none} }

// Of returns the set of the values in any of the ranges, which may overlap. What
// is above the field's largest value is left out, and so are ranges whose Lo is
// above their Hi. The slice is not kept.
func (f Field) Of(ranges ...Range) Set {
	sorted := slices.Clone(ranges)
	slices.SortFunc(sorted, func(a, b Range) int { return a.Lo.Compare(b.Lo) })
	out := sorted[:0]
	limit := f.Max()
	for _, r := range sorted {
		if limit.less(r.Lo) || r.Hi.less(r.Lo) {
			continue
		}
		if limit.less(r.Hi) {
			r.Hi = limit
		}
		out = appendJoined(out, r)
	}
	return f.normal(out)
}

// Values returns the set of these values, each below 1<<64.
func (f Field) Values(values ...uint64) Set {
	ranges := make([]Range, len(values))
	for i, v := range values {
		ranges[i] = Range{V(v), V(v)}
	}
	return f.Of(ranges...)
}

// Between returns the set of the values from lo to hi, both below 1<<64.
func (f Field) Between(lo, hi uint64) Set { return f.Of(Range{V(lo), V(hi)}) }

// MaskedFlags returns the [TCPFlags] in which the flags of mask are as in want.
func MaskedFlags(mask, want uint16) Set {
	var out []Range
	for v := range uint64(NoFlags) {
		if uint16(v)&mask == want {
			out = appendJoined(out, Range{V(v), V(v)})
		}
	}
	return TCPFlags.normal(out)
}

// appendJoined appends a range that does not begin before the last one.
func appendJoined(out []Range, r Range) []Range {
	if n := len(out); n > 0 {
		last := &out[n-1]
		if !last.Hi.less(r.Lo) || last.Hi.next() == r.Lo {
			if last.Hi.less(r.Hi) {
				last.Hi = r.Hi
			}
			return out
		}
	}
	return append(out, r)
}

// normal makes a set of ranges that already are as they must be.
func (f Field) normal(ranges []Range) Set {
	switch {
	case len(ranges) == 0:
		return Nothing()
	case len(ranges) == 1 && ranges[0] == Range{Value{}, f.Max()}:
		return Set{}
	}
	ranges = slices.Clip(ranges)
	return Set{&ranges}
}

// IsEverything reports whether the set holds all values of its field.
func (s Set) IsEverything() bool { return s.ranges == nil }

// IsEmpty reports whether the set holds no value.
func (s Set) IsEmpty() bool { return s.ranges != nil && len(*s.ranges) == 0 }

// Ranges returns the sorted ranges of a set of the field. The slice must not be
// changed.
func (f Field) Ranges(s Set) []Range {
	if s.ranges == nil {
		return []Range{{Value{}, f.Max()}}
	}
	return *s.ranges
}

// Contains reports whether the value, which must be one of the field's, is in
// the set.
func (s Set) Contains(v Value) bool {
	if s.ranges == nil {
		return true
	}
	r := *s.ranges
	i := from(r, v)
	return i < len(r) && !v.less(r[i].Lo)
}

// from returns the index of the first range that does not end before v.
func from(r []Range, v Value) int {
	if len(r) < 8 {
		for i := range r {
			if !r[i].Hi.less(v) {
				return i
			}
		}
		return len(r)
	}
	return sort.Search(len(r), func(i int) bool { return !r[i].Hi.less(v) })
}

// Equal reports whether both sets, of one field, hold the same values.
func (s Set) Equal(t Set) bool {
	if s.ranges == t.ranges {
		return true
	}
	return s.ranges != nil && t.ranges != nil && slices.Equal(*s.ranges, *t.ranges)
}

// Overlaps reports whether both sets, of one field, have a value in common.
func (s Set) Overlaps(t Set) bool {
	if s.ranges == nil {
		return !t.IsEmpty()
	}
	if t.ranges == nil || s.ranges == t.ranges {
		return !s.IsEmpty()
	}
	a, b := *s.ranges, *t.ranges
	if len(a) > len(b) {
		a, b = b, a
	}
	// The longer one is searched, so that one address is found in a large group fast.
	for _, r := range a {
		i := from(b, r.Lo)
		if i == len(b) {
			return false
		}
		if !r.Hi.less(b[i].Lo) {
			return true
		}
		b = b[i:]
	}
	return false
}

// Covers reports whether t, of the same field, is a subset of s.
func (s Set) Covers(t Set) bool {
	if s.ranges == nil || s.ranges == t.ranges {
		return true
	}
	if t.ranges == nil {
		return false
	}
	a := *s.ranges
	for _, r := range *t.ranges {
		i := from(a, r.Lo)
		if i == len(a) || r.Lo.less(a[i].Lo) || a[i].Hi.less(r.Hi) {
			return false
		}
		a = a[i:]
	}
	return true
}

// Intersect returns what is in both sets, of one field.
func (s Set) Intersect(t Set) Set {
	switch {
	case s.ranges == nil || s.ranges == t.ranges:
		return t
	case t.ranges == nil:
		return s
	case s.Covers(t):
		return t
	case t.Covers(s):
		return s
	}
	a, b := *s.ranges, *t.ranges
	var out []Range
	for len(a) > 0 && len(b) > 0 {
		lo, hi := a[0].Lo, a[0].Hi
		if lo.less(b[0].Lo) {
			lo = b[0].Lo
		}
		if b[0].Hi.less(hi) {
			hi = b[0].Hi
		}
		if !hi.less(lo) {
			out = append(out, Range{lo, hi})
		}
		// The next range that can meet anything, not one at a time, where the
		// lists differ much in length.
		if a[0].Hi.less(b[0].Hi) {
			a = a[1:]
			a = a[from(a, b[0].Lo):]
		} else {
			b = b[1:]
			if len(b) > 0 {
				b = b[from(b, a[0].Lo):]
			}
		}
	}
	if len(out) == 0 {
		return Nothing()
	}
	out = slices.Clip(out)
	return Set{&out}
}

// Union returns what is in any of the sets.
func (f Field) Union(sets ...Set) Set {
	n := 0
	for _, s := range sets {
		if s.ranges == nil {
			return Set{}
		}
		n += len(*s.ranges)
	}
	all := make([]Range, 0, n)
	for _, s := range sets {
		all = append(all, *s.ranges...)
	}
	slices.SortFunc(all, func(a, b Range) int { return a.Lo.Compare(b.Lo) })
	out := all[:0]
	for _, r := range all {
		out = appendJoined(out, r)
	}
	return f.normal(out)
}

// Subtract returns what is in s and not in t.
func (f Field) Subtract(s, t Set) Set {
	switch {
	case t.ranges == nil || s.ranges == t.ranges:
		return Nothing()
	case t.IsEmpty():
		return s
	}
	b := *t.ranges
	var out []Range
	for _, r := range f.Ranges(s) {
		b = b[from(b, r.Lo):]
		lo, left := r.Lo, true
		for _, x := range b {
			if r.Hi.less(x.Lo) {
				break
			}
			if lo.less(x.Lo) {
				out = append(out, Range{lo, x.Lo.prev()})
			}
			if !x.Hi.less(r.Hi) {
				left = false
				break
			}
			lo = x.Hi.next()
		}
		if left {
			out = append(out, Range{lo, r.Hi})
		}
	}
	return f.normal(out)
}

// Complement returns the values of the field that are not in s.
func (f Field) Complement(s Set) Set { return f.Subtract(Set{}, s) }

// Sample returns the smallest value of a set of the field; false if there is none.
func (f Field) Sample(s Set) (Value, bool) {
	r := f.Ranges(s)
	if len(r) == 0 {
		return Value{}, false
	}
	return r[0].Lo, true
}
