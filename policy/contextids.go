package policy

import (
	"fmt"
	"math"
	"math/bits"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const contextExample = `[100, "0x1000-0x1fff", "0xab00000000000000/8"]`

// contextIDs compiles a context_ids list into claims of the tenant.
func (l *loader) contextIDs(a *hclsyntax.Attribute, tenant int32) {
	for _, v := range l.list(a, contextExample, "A tenant without context IDs would never be met.") {
		switch v.kind {
		case kindNumber:
			n, ok := v.uint(math.MaxUint64)
			if !ok {
				l.errorf(v.at, "Invalid context ID", "Expected a whole number from 0 to %d; this is %s.", uint64(math.MaxUint64), v.source)
				continue
			}
			l.claims = append(l.claims, claim{n, n, tenant, v.at})
		case kindString:
			lo, hi, problem := parseContextIDs(v.text)
			if problem != "" {
				l.errorf(v.at, "Invalid context ID", "%s", problem)
				continue
			}
			l.claims = append(l.claims, claim{lo, hi, tenant, v.at})
		default:
			l.errorf(v.at, "Invalid context ID",
				"Expected a number, a range or a prefix, as in %s; this is %s.", contextExample, v.describe())
		}
	}
}

// parseContextIDs reads "100", "0x64", "100-200", "0x1000-0x1fff" or
// "0xab00000000000000/8", or says what is wrong and what was expected.
func parseContextIDs(s string) (lo, hi uint64, problem string) {
	if number, length, ok := strings.Cut(s, "/"); ok {
		return parseContextPrefix(s, number, length)
	}
	first, last, isRange := strings.Cut(s, "-")
	lo, ok := parseContextID(first)
	if !ok {
		return 0, 0, badContextID(s)
	}
	if !isRange {
		return lo, lo, ""
	}
	if hi, ok = parseContextID(last); !ok {
		return 0, 0, badContextID(s)
	}
	if lo > hi {
		return 0, 0, fmt.Sprintf("Expected the smaller number first: \"%s-%s\".", last, first)
	}
	return lo, hi, ""
}

// parseContextPrefix reads a prefix of the 64 bits: those bits from the top are
// given, the rest is free.
func parseContextPrefix(s, number, length string) (lo, hi uint64, problem string) {
	id, ok := parseContextID(number)
	if !ok || !strings.HasPrefix(number, "0x") {
		return 0, 0, badContextID(s)
	}
	n, ok := parseDecimal(length, 64)
	if !ok {
		return 0, 0, fmt.Sprintf("Expected a prefix length from 0 to 64 behind the \"/\" of %q.", clip(s))
	}
	free := uint64(math.MaxUint64)
	if n > 0 {
		free = uint64(1)<<(64-n) - 1
	}
	if id&free != 0 {
		problem = fmt.Sprintf("Expected only zeros behind the first %d bits; did you mean \"0x%016x/%d\"", n, id&^free, n)
		// "0xab/8": the digits were meant to stand at the top.
		if digits := len(number) - 2; digits < 16 {
			if top := id << (64 - 4*digits); top&free == 0 && bits.Len64(id) <= 4*digits {
				problem += fmt.Sprintf(", or \"0x%016x/%d\"", top, n)
			}
		}
		return 0, 0, problem + "?"
	}
	return id, id | free, ""
}

// parseContextID reads a decimal or 0x-hexadecimal number of 64 bits.
func parseContextID(s string) (uint64, bool) {
	base := 10
	if digits, ok := strings.CutPrefix(s, "0x"); ok {
		s, base = digits, 16
	}
	n, err := strconv.ParseUint(s, base, 64)
	return n, err == nil
}

func badContextID(s string) string {
	problem := fmt.Sprintf("Expected a 64-bit number, a range or a prefix, as in %s; this is %q.", contextExample, clip(s))
	if strings.ContainsAny(s, " \t") {
		problem += " Write it without spaces."
	}
	return problem
}

// parseDecimal reads a number from 0 to limit written in digits alone.
func parseDecimal(s string, limit int) (int, bool) {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n > uint64(limit) {
		return 0, false
	}
	return int(n), true
}
