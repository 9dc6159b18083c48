package policy

import (
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"
)

const addressExample = `["10.0.0.0/8", "2001:db8::1", "10.0.0.1-10.0.0.9"]`

// group compiles an address_group block.
func (l *loader) group(b *hclsyntax.Block) *addressSet {
	l.check(b.Body, b.DefRange(), &groupSchema)
	set := new(addressSet)
	a := b.Body.Attributes["addresses"]
	if a == nil {
		return set
	}
	for _, e := range l.list(a, addressExample, "A group without addresses would match nothing.") {
		v := l.value(e)
		switch {
		case v.kind == kindReference:
			l.errorf(v.at, "Reference in a group", "Expected addresses; groups do not hold groups. Name both groups in the rule.")
		case v.kind != kindString:
			l.badAddress(&v)
		case v.text == "any":
			l.errorf(v.at, "Invalid address", `Expected addresses, as in %s; "any" is for rules.`, addressExample)
		case strings.HasPrefix(v.text, "!"):
			l.errorf(v.at, "Invalid address", `Expected addresses, as in %s; "!" is for rules.`, addressExample)
		default:
			if r, problem := parseAddresses(v.text); problem != "" {
				l.errorf(v.at, "Invalid address", "%s", problem)
			} else {
				set.add(r.lo, r.hi)
			}
		}
	}
	set.finish()
	return set
}

// addresses compiles a source or destination list of a rule. The addresses that
// are written out share one set; each group keeps its own.
func (l *loader) addresses(a *hclsyntax.Attribute) addressMatch {
	var m addressMatch
	own, excluded := new(addressSet), new(addressSet)
	for _, e := range l.list(a, addressExample, "Leave "+a.Name+" out to match any address.") {
		v := l.value(e)
		switch v.kind {
		case kindReference:
			set := l.groupReference(&v)
			if set == nil {
				continue
			}
			if v.negated {
				m.excluded = append(m.excluded, set)
			} else {
				m.sets = append(m.sets, set)
			}
		case kindString:
			text, negated := strings.CutPrefix(v.text, "!")
			if text == "any" {
				if negated {
					l.errorf(v.at, "Matches nothing", `Expected an address behind "!"; no packet is outside of "any".`)
				}
				m.any = true
				continue
			}
			r, problem := parseAddresses(text)
			switch {
			case problem != "":
				l.errorf(v.at, "Invalid address", "%s", problem)
			case negated:
				excluded.add(r.lo, r.hi)
			default:
				own.add(r.lo, r.hi)
			}
		default:
			l.badAddress(&v)
		}
	}
	if own.finish(); !own.empty() {
		m.sets = append(m.sets, own)
	}
	if excluded.finish(); !excluded.empty() {
		m.excluded = append(m.excluded, excluded)
	}
	if m.any {
		m.sets = nil
	}
	return m
}

// groupReference returns the group that v names, or nil.
func (l *loader) groupReference(v *value) *addressSet {
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
		if near := nearest(root, []string{"address_group"}); ok && near != "" {
			hint = fmt.Sprintf(" Did you mean %s.%s?", near, clip(name))
		}
		l.errorf(v.at, "Invalid reference", "Expected address_group.NAME, or an address in quotes; this is %s.%s", v.source, hint)
		return nil
	}
	set := l.groups[name]
	if set == nil {
		l.errorf(v.at, "Unknown address_group", "Expected the name of an address_group of this file; there is no %q.%s", clip(name), didYouMean(name, names(l.groups)))
	}
	return set
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
	n := bits.LeadingZeros32(^keyOf(a).v4)
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
	case kind == "address_group" && validName(name):
		problem += fmt.Sprintf(" References are written without quotes: address_group.%s.", name)
	case strings.ContainsAny(s, " \t"):
		problem += " Write it without spaces."
	case strings.Contains(s, "%"):
		problem += " Zones mean nothing inside a tunnel."
	case nearest(s, []string{"any"}) != "" || s == "all" || s == "*":
		problem += ` Did you mean "any"?`
	}
	return problem
}

// names returns the keys of a table in order, for suggestions.
func names[V any](table map[string]V) []string { return slices.Sorted(maps.Keys(table)) }
