package policy

import (
	"cmp"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/limit"
)

// number compiles an attribute that is a whole number from lo to hi.
func (l *loader) number(a *hclsyntax.Attribute, lo, hi uint64) uint64 {
	v := l.value(a.Expr)
	if v.failed {
		return lo
	}
	n, ok := v.uint(hi)
	if !ok || n < lo {
		l.errorf(v.at, "Invalid "+a.Name, "Expected a whole number from %d to %d; this is %s.", lo, hi, v.source)
		return lo
	}
	return n
}

// maxDuration keeps sums of times far from the end of 64 bits.
const maxDuration = 365 * 24 * time.Hour

// duration compiles an attribute such as "90s" or "5d".
func (l *loader) duration(a *hclsyntax.Attribute) time.Duration {
	v := l.value(a.Expr)
	if v.failed {
		return time.Second
	}
	d, err := ParseDuration(v.text)
	if v.kind != kindString || err != nil {
		l.errorf(v.at, "Invalid "+a.Name, `Expected a time such as "500ms", "90s", "2m", "1h30m" or "5d", from 1ms to 365d; this is %s.`, v.source)
		return time.Second
	}
	return d
}

// ParseDuration reads what time.ParseDuration does, and days before it.
func ParseDuration(s string) (time.Duration, error) {
	var d time.Duration
	if days, rest, ok := strings.Cut(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return 0, err
		}
		d, s = time.Duration(n)*24*time.Hour, rest
	}
	if s != "" || d == 0 {
		more, err := time.ParseDuration(s)
		if err != nil {
			return 0, err
		}
		d += more
	}
	if d < time.Millisecond || d > maxDuration {
		return 0, fmt.Errorf("%v is not from 1ms to 365d", d)
	}
	return d, nil
}

// rate compiles an attribute such as "1000/s".
func (l *loader) rate(a *hclsyntax.Attribute) limit.Rate {
	v := l.value(a.Expr)
	if v.failed {
		return limit.Rate{}
	}
	if v.kind != kindString {
		l.errorf(v.at, "Invalid "+a.Name, `Expected a rate in quotes, such as "1000/s" or "10/minute"; this is %s.`, v.source)
		return limit.Rate{}
	}
	r, err := limit.ParseRate(v.text)
	if err != nil {
		l.errorf(v.at, "Invalid "+a.Name, "%s", asSentence(err))
	}
	return r
}

// asSentence is an error as a diagnostic has it.
func asSentence(err error) string {
	s := err.Error()
	return strings.ToUpper(s[:1]) + strings.TrimSuffix(s[1:], ".") + "."
}

// numbers compiles a list of numbers and ranges from least to limit. words are
// names for some of them, and for others that are no numbers; each entry may be
// negated.
type numberList struct {
	what, example string
	least, limit  uint64
	words         map[string]span
	top           uint64 // the largest number that packets have here, if more than limit
	tooLow        string // what to say of numbers below least
	hex           bool
	ifEmpty       string // what to do instead of an empty list; "": leave it out to match any
}

// numbers returns nil where the list holds everything.
func (l *loader) numbers(a *hclsyntax.Attribute, n *numberList) spans {
	in, out := spans{}, spans{}
	items := l.list(a, n.example, cmp.Or(n.ifEmpty, "Leave "+a.Name+" out to match any."))
	for i := range items {
		v := &items[i]
		if x, ok := v.uint(n.limit); ok && x >= n.least {
			in = append(in, span{x, x})
			continue
		}
		text, negated := strings.CutPrefix(v.text, "!")
		x, hint, ok := n.parse(text)
		if y, isNumber := v.uint(n.limit); isNumber && y < n.least {
			hint = n.below()
		}
		switch {
		case v.kind != kindString || !ok:
			l.errorf(v.at, "Invalid "+a.Name, "Expected %s, as in %s; this is %s.%s", n.what, n.example, v.source, hint)
		case negated:
			out = append(out, x)
		default:
			in = append(in, x)
		}
	}
	in, out = join(in), join(out)
	if len(in) == 0 {
		in = nil
	}
	if len(out) == 0 {
		return in
	}
	return in.without(out, max(n.limit, n.top))
}

// parse reads an entry; hint may help with one that is wrong.
func (n *numberList) parse(s string) (x span, hint string, ok bool) {
	if w, ok := n.words[s]; ok {
		return w, "", true
	}
	first, last, isRange := strings.Cut(s, "-")
	lo, ok := n.one(first)
	hi := lo
	if isRange && ok {
		hi, ok = n.one(last)
	}
	switch {
	case ok && min(lo, hi) < n.least && n.tooLow != "":
		return span{}, n.below(), false
	case !ok || lo <= hi && lo < n.least:
		return span{}, didYouMean(s, names(n.words)), false
	}
	if lo > hi {
		return span{}, fmt.Sprintf(" Write the smaller number first: \"%s-%s\".", last, first), false
	}
	return span{lo, hi}, "", true
}

// below is the hint for numbers below least.
func (n *numberList) below() string {
	if n.tooLow == "" {
		return ""
	}
	return " " + n.tooLow
}

func (n *numberList) one(s string) (uint64, bool) {
	if digits, ok := strings.CutPrefix(s, "0x"); ok && n.hex {
		x, err := strconv.ParseUint(digits, 16, 64)
		return x, err == nil && x <= n.limit
	}
	x, ok := parseDecimal(s, int(min(n.limit, math.MaxInt32)))
	return uint64(x), ok
}

// durationText writes a duration as the language reads it: "5d", not "120h0m0s".
func durationText(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return fmt.Sprintf("%dd", d/day)
	}
	s := d.String()
	s = strings.TrimSuffix(s, "0s")
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	if s == "" || d%time.Minute != 0 {
		return d.String()
	}
	return s
}
