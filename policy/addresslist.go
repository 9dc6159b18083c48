package policy

import (
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/internal/nearest"
	"sttwall/policy/classify"
)

const addressExample = `["10.0.0.0/8", "2001:db8::1", "10.0.0.1-10.0.0.9"]`

// addresses compiles a source or destination list of a rule. nil is everything,
// also frames without addresses. A list that is one group shares its set.
func (l *loader) addresses(a *hclsyntax.Attribute) *classify.Addresses {
	return l.addressList(l.list(a, addressExample, "Leave "+a.Name+" out to match any address."))
}

func (l *loader) addressList(items []value) *classify.Addresses {
	// Many rules may have the same list of large groups.
	key := groupsKey(items)
	if set, ok := l.sets[key]; ok {
		return set
	}
	errors := l.errors
	set := l.compileAddresses(items)
	if key != "" && l.errors == errors {
		l.sets[key] = set
	}
	return set
}

// groupsKey returns a text that two lists have in common only if they mean the
// same; "" for a list that names no group, or holds what it should not.
func groupsKey(items []value) string {
	var key strings.Builder
	groups := false
	for i := range items {
		v := &items[i]
		kind, name, ok := v.reference()
		switch {
		case ok && kind == "address_group":
			groups = true
			fmt.Fprintf(&key, "%t %q ", v.negated, name)
		case v.kind == kindString:
			fmt.Fprintf(&key, "%q ", v.text)
		default:
			return ""
		}
	}
	if !groups {
		return ""
	}
	return key.String()
}

// maxRanges bounds the ranges of addresses that all groups and lists hold
// together.
const maxRanges = 16 << 20

// holdsRanges reports whether the sets may have so many more ranges, and says so
// if not.
func (l *loader) holdsRanges(at hcl.Range, sets ...*classify.Addresses) bool {
	n := l.ranges
	for _, s := range sets {
		n += len(s.V4) + len(s.V6)
	}
	if n <= maxRanges {
		return true
	}
	l.errorf(at, "Too many addresses", "Expected groups and lists of at most %d addresses and ranges together; a list that is one address_group.NAME takes no room.", maxRanges)
	return false
}

// hold counts what the policy is to hold.
func (l *loader) hold(set *classify.Addresses) *classify.Addresses {
	l.ranges += len(set.V4) + len(set.V6)
	return set
}

func (l *loader) compileAddresses(items []value) *classify.Addresses {
	var (
		own, excluded      classify.Addresses
		groups             []*classify.Addresses
		positive, everyone bool
		restricts          bool // some entry is negated, though it may exclude nothing
	)
	for i := range items {
		v := &items[i]
		switch v.kind {
		case kindReference:
			set := l.groupReference(v)
			switch {
			case set == nil:
			case v.negated:
				restricts = true
				if l.holdsRanges(v.at, &excluded, set) {
					addSet(&excluded, set)
				}
			default:
				positive = true
				groups = append(groups, set)
			}
		case kindString:
			text, negated := strings.CutPrefix(v.text, "!")
			if text == "any" {
				if negated {
					l.errorf(v.at, "Matches nothing", `Expected an address behind "!"; no packet is outside of "any".`)
				}
				everyone = true
				continue
			}
			r, problem := parseAddresses(text)
			switch {
			case problem != "":
				l.errorf(v.at, "Invalid address", "%s", problem)
			case negated:
				restricts = true
				addRange(&excluded, r.lo, r.hi)
			default:
				positive = true
				addRange(&own, r.lo, r.hi)
			}
		default:
			l.badAddress(v)
		}
	}
	if everyone || !positive {
		if !restricts {
			return nil
		}
		own = classify.Addresses{V4: []classify.Range4{allV4}, V6: []classify.Range6{allV6}}
	} else {
		if len(groups) == 1 && !restricts && len(own.V4)+len(own.V6) == 0 {
			return groups[0]
		}
		for _, g := range groups {
			if l.holdsRanges(items[0].at, &own, g) {
				addSet(&own, g)
			}
		}
		finish(&own)
	}
	if !restricts {
		return l.hold(&own)
	}
	finish(&excluded)
	return l.hold(subtract(&own, &excluded))
}

// groupReference returns the group that v names, or nil.
func (l *loader) groupReference(v *value) *classify.Addresses {
	kind, name, ok := v.reference()
	switch root := v.traversal.RootName(); {
	case ok && kind == "service":
		l.errorf(v.at, "Service among addresses", "Expected an address or address_group.NAME; services belong into the services list.")
		return nil
	case len(v.traversal) == 1 && root == "any":
		l.errorf(v.at, "Missing quotes", `Expected "any", in quotes.`)
		return nil
	case !ok || kind != "address_group":
		hint := ""
		if near := nearest.Of(root, []string{"address_group"}); ok && near != "" {
			hint = fmt.Sprintf(" Did you mean %s.%s?", near, clip(name))
		}
		l.errorf(v.at, "Invalid reference", "Expected address_group.NAME, or an address in quotes; this is %s.%s", v.source, hint)
		return nil
	}
	if l.groupBlocks[name] == nil {
		l.errorf(v.at, "Unknown address_group", "Expected the name of an address_group of this file; there is no %q.%s", clip(name), didYouMeanName(l, name, l.groupBlocks))
		return nil
	}
	l.use("address_group", name)
	return l.group(name, v.at)
}

// prefixes compiles a list of outer addresses; ["any"] is an empty one.
func (l *loader) prefixes(a *hclsyntax.Attribute) []netip.Prefix {
	return l.prefixList(l.list(a, endpointExample, anyEndpoint))
}

const (
	endpointExample = `["10.47.0.0/16"]`
	anyEndpoint     = `Write ["any"] if every host is meant.`
)

func (l *loader) prefixList(items []value) []netip.Prefix {
	const example = endpointExample
	var prefixes []netip.Prefix
	for i := range items {
		v := &items[i]
		if v.kind != kindString {
			l.errorf(v.at, "Invalid endpoint", "Expected an outer address or CIDR in quotes, such as %s; this is %s. Address groups are for inner addresses.", example, v.describe())
			continue
		}
		if v.text == "any" {
			if len(items) > 1 {
				l.errorf(v.at, "Not alone", `Expected "any" as the only entry, or none of it.`)
			}
			continue
		}
		r, problem := parseAddresses(v.text)
		switch {
		case problem != "":
			l.errorf(v.at, "Invalid endpoint", "%s", problem)
		case r.form == formRange:
			l.errorf(v.at, "Invalid endpoint", "Expected an outer address or CIDR, such as %s; ranges are for inner addresses.", example)
		case r.lo.Is4In6():
			l.errorf(v.at, "Invalid endpoint", "Expected an IPv4 or IPv6 address; %q is IPv4-mapped and on no wire. Write it as IPv4.", v.text)
		default:
			prefixes = append(prefixes, netip.PrefixFrom(r.lo, r.bits))
		}
	}
	return prefixes
}

// endpointSet is prefixes as a set; nil is any.
func (l *loader) endpointSet(a *hclsyntax.Attribute) *classify.Addresses {
	if p := l.prefixes(a); len(p) > 0 {
		return prefixSet(p)
	}
	return nil
}

func (l *loader) badAddress(v *value) {
	hint := ""
	if strings.Contains(v.source, "${") {
		hint = " References are written without quotes: address_group.NAME."
	}
	l.errorf(v.at, "Invalid address", "Expected an address, CIDR or range in quotes, as in %s; this is %s.%s", addressExample, v.describe(), hint)
}

// addressForm is how addresses are written.
type addressForm uint8

const (
	formAddress addressForm = iota
	formCIDR
	formRange
)

// addressRange is a parsed entry: addresses of one family from lo to hi, both
// inclusive. bits is valid unless form is formRange.
type addressRange struct {
	lo, hi netip.Addr
	bits   int
	form   addressForm
}

// parseAddresses reads an address, a CIDR or a range, or says what is wrong and
// what was expected.
func parseAddresses(s string) (r addressRange, problem string) {
	if address, _, found := strings.Cut(s, " on "); found {
		return r, fmt.Sprintf("Expected %q alone: the interface stands in settings.endpoints, and nowhere else.", clip(address))
	}
	if address, length, ok := strings.Cut(s, "/"); ok {
		return parseCIDR(s, address, length)
	}
	first, last, isRange := strings.Cut(s, "-")
	var ok bool
	if r.lo, ok = parseAddress(first); !ok {
		return r, badAddressText(s)
	}
	if !isRange {
		r.hi, r.bits = r.lo, r.lo.BitLen()
		return r, ""
	}
	r.form = formRange
	if r.hi, ok = parseAddress(last); !ok {
		return r, badAddressText(s)
	}
	switch {
	case r.lo.BitLen() != r.hi.BitLen():
		return r, fmt.Sprintf("Expected a range of IPv4 or of IPv6 addresses; %q has both.", s)
	case r.hi.Less(r.lo):
		return r, fmt.Sprintf("Expected the smaller address first: \"%s-%s\".", last, first)
	}
	return r, ""
}

func parseCIDR(s, address, length string) (r addressRange, problem string) {
	a, ok := parseAddress(address)
	if !ok {
		return r, badAddressText(s)
	}
	n, ok := parseDecimal(length, a.BitLen())
	if !ok {
		problem = fmt.Sprintf("Expected a prefix length from 0 to %d behind the \"/\" of %q.", a.BitLen(), clip(s))
		if n, ok := maskLength(length); ok && a.Is4() {
			problem += fmt.Sprintf(" Did you mean \"%s/%d\"?", a, n)
		}
		return r, problem
	}
	p := netip.PrefixFrom(a, n)
	if masked := p.Masked(); masked != p {
		return r, fmt.Sprintf("Expected zeros behind the first %d bits of a CIDR; did you mean %q, or the single address %q?", n, masked, a)
	}
	return addressRange{lo: a, hi: lastOf(p), bits: n, form: formCIDR}, ""
}

// parseAddress reads an IPv4 or IPv6 address without a zone.
func parseAddress(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	return a, err == nil && a.Zone() == ""
}

// maskLength reads a netmask such as 255.255.255.0.
func maskLength(s string) (int, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil || !a.Is4() {
		return 0, false
	}
	n := bits.LeadingZeros32(^uint32(halves(a)[1]))
	return n, netip.PrefixFrom(netip.AddrFrom4([4]byte{255, 255, 255, 255}), n).Masked().Addr() == a
}

// lastOf returns the largest address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b) // 4 or 16 bytes, as AsSlice gave them
	return last
}

func badAddressText(s string) string {
	problem := fmt.Sprintf("Expected an IPv4 or IPv6 address, a CIDR or a range, as in %s; this is %q.", addressExample, clip(s))
	kind, name, _ := strings.Cut(s, ".")
	switch {
	case kind == "address_group" && ValidName(name):
		problem += fmt.Sprintf(" References are written without quotes: address_group.%s.", name)
	case strings.ContainsAny(s, " \t"):
		problem += " Write it without spaces."
	case strings.Contains(s, "%"):
		problem += " Zones mean nothing inside a tunnel."
	case s == "any":
		problem += ` "any" is for rules.`
	case nearest.Of(s, []string{"any"}) != "" || s == "all" || s == "*":
		problem += ` Did you mean "any"?`
	}
	return problem
}

// names returns the keys of a table in order, for suggestions.
func names[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }
