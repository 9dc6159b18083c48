package filter

import (
	"fmt"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"sttwall/internal/nearest"
)

// parse compiles a value, or says what was expected.
func (f *Field) parse(raw string) (v value, problem string) {
	text, quoted, ok := unquote(raw)
	switch {
	case raw == "":
		return v, fmt.Sprintf("%s behind the colon, such as %s:%s", f.Form(), f.Name, f.Example)
	case !ok:
		return v, "quotes around all of the value"
	}
	v.text = text
	switch f.kind {
	case kindWord:
		v.text = strings.ToLower(text)
		if !slices.Contains(f.Words, v.text) {
			return v, fmt.Sprintf("one of %s; this is %.40q%s", strings.Join(f.Words, ", "), text, orNear(text, f.Words))
		}
	case kindName:
		if !quoted && strings.Contains(text, "*") {
			v.parts = strings.Split(text, "*")
		} else if len(f.Words) > 0 && !slices.Contains(f.Words, text) {
			return v, fmt.Sprintf("one that there is; this is %.40q%s", text, orNear(text, f.Words))
		}
	case kindText: // without regard to case
		ok = text != ""
	case kindAddress:
		ok = v.parseAddresses(text)
	case kindProtocol:
		n, named := protocols[strings.ToLower(text)]
		if v.lo, v.hi = uint64(n), uint64(n); !named {
			v.lo, ok = number(text, math.MaxUint8)
			v.hi = v.lo
		}
	case kindPort:
		ok = v.parseComparison(text, math.MaxUint16, number)
	case kindContext:
		ok = v.parseContexts(text)
	case kindNumber:
		ok = v.parseComparison(text, math.MaxUint64, number)
	case kindSize:
		ok = v.parseComparison(text, math.MaxUint64, size)
	case kindTime:
		ok = v.parseComparison(text, math.MaxInt64, nanoseconds)
	}
	if !ok {
		return v, fmt.Sprintf("%s; this is %.60q", f.Form(), text)
	}
	return v, ""
}

// reader reads a number of at most so much.
type reader func(s string, most uint64) (uint64, bool)

func (v *value) parseRange(s string, most uint64, read reader) (ok bool) {
	first, last, isRange := strings.Cut(s, "-")
	if v.lo, ok = read(first, most); !ok {
		return false
	}
	if v.hi = v.lo; isRange {
		v.hi, ok = read(last, most)
	}
	return ok && v.lo <= v.hi
}

// parseComparison reads a range, or all numbers on one side of one.
func (v *value) parseComparison(s string, most uint64, read reader) (ok bool) {
	if s == "" || s[0] != '<' && s[0] != '>' {
		return v.parseRange(s, most, read)
	}
	digits, orEqual := strings.CutPrefix(s[1:], "=")
	n, ok := read(digits, most)
	switch {
	case !ok:
		return false
	case s[0] == '>' && orEqual:
		v.lo, v.hi = n, most
	case s[0] == '>' && n < most:
		v.lo, v.hi = n+1, most
	case s[0] == '<' && orEqual:
		v.lo, v.hi = 0, n
	case s[0] == '<' && n > 0:
		v.lo, v.hi = 0, n-1
	default: // nothing is above the largest or below 0
		return false
	}
	return true
}

func (v *value) parseContexts(s string) (ok bool) {
	digits, length, isPrefix := strings.Cut(s, "/")
	if !isPrefix {
		return v.parseRange(s, math.MaxUint64, number)
	}
	v.lo, ok = number(digits, math.MaxUint64)
	n, fits := number(length, 64)
	if !ok || !fits {
		return false
	}
	free := uint64(math.MaxUint64)
	if n > 0 {
		free = 1<<(64-n) - 1
	}
	v.hi = v.lo | free
	return v.lo&free == 0
}

func (v *value) parseAddresses(s string) bool {
	if first, last, isRange := strings.Cut(s, "-"); isRange {
		var err1, err2 error
		v.from, err1 = netip.ParseAddr(first)
		v.to, err2 = netip.ParseAddr(last)
		v.from, v.to = v.from.Unmap(), v.to.Unmap()
		return err1 == nil && err2 == nil && v.from.Zone() == "" && v.to.Zone() == "" && v.from.Is4() == v.to.Is4() && v.from.Compare(v.to) <= 0
	}
	if !strings.Contains(s, "/") {
		a, err := netip.ParseAddr(s)
		v.from, v.to = a.Unmap(), a.Unmap()
		return err == nil && a.Zone() == ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil || p.Addr().Is4In6() {
		return false
	}
	p = p.Masked() // here 10.1.0.7/24 is its network: what is typed in haste is not refused
	v.from = p.Addr()
	last, fixed := v.from.As16(), p.Bits()
	if v.from.Is4() {
		fixed += 96 // As16 has it at the end
	}
	for i := fixed; i < 128; i++ {
		last[i/8] |= 0x80 >> (i % 8)
	}
	v.to = netip.AddrFrom16(last)
	if v.from.Is4() {
		v.to = v.to.Unmap()
	}
	return true
}

// number reads a decimal or 0x-hexadecimal number.
func number(s string, most uint64) (uint64, bool) {
	base := 10
	if digits, ok := strings.CutPrefix(strings.ToLower(s), "0x"); ok {
		s, base = digits, 16
	}
	if strings.HasPrefix(s, "+") || strings.Contains(s, "_") {
		return 0, false
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil && n <= most
}

// size reads a number with an optional k, M, G or T: powers of 1000.
func size(s string, most uint64) (uint64, bool) {
	scale := uint64(1)
	if s != "" {
		if i := strings.IndexByte("kmgt", s[len(s)-1]|0x20); i >= 0 {
			for range i + 1 {
				scale *= 1000
			}
			s = s[:len(s)-1]
		}
	}
	n, ok := number(s, most)
	over, n := bits.Mul64(n, scale)
	return n, ok && over == 0 && n <= most
}

func nanoseconds(s string, most uint64) (uint64, bool) {
	d, err := time.ParseDuration(s)
	return uint64(d), err == nil && d >= 0 && uint64(d) <= most
}

// orNear proposes the candidate that is most like given, if one is.
func orNear(given string, candidates []string) string {
	name := nearest.Of(given, candidates)
	if name == "" {
		return ""
	}
	return "; did you mean " + name + "?"
}
