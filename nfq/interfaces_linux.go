package nfq

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// Interfaces that endpoints come in on are matched by name, by the kernel, packet by
// packet: one that does not exist lets nothing pass, and one that is renamed or made
// anew counts from that moment on.

const (
	chainInterfaces  = "interfaces"
	counterInterface = "endpoint_interface"
)

// span is a range of addresses, both ends included.
type span struct{ lo, hi netip.Addr }

// interfaces returns the names of interfaces that endpoints are bound to, sorted.
func (c TableConfig) interfaces() (names []string) {
	for _, b := range c.Bound {
		names = append(names, b.Interface)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// spans returns the addresses of one IP version for which want is true of what the
// longest prefix says: on which interfaces they may come in, or on any (nil). They
// are sorted and do not overlap.
func (c TableConfig) spans(v4 bool, want func(on []string) bool) (list []span) {
	on := make(map[netip.Prefix][]string)
	for _, p := range c.Endpoints {
		if p.Addr().Is4() == v4 {
			on[p.Masked()] = nil
		}
	}
	for _, b := range c.Bound {
		if b.Prefix.Addr().Is4() == v4 {
			on[b.Prefix.Masked()] = append(on[b.Prefix.Masked()], b.Interface)
		}
	}
	var prefixes []netip.Prefix
	for p := range on {
		prefixes = append(prefixes, p)
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	add := func(p netip.Prefix, lo, hi netip.Addr) {
		if lo.Compare(hi) > 0 || !want(on[p]) {
			return
		}
		if n := len(list); n > 0 && list[n-1].hi.Next() == lo {
			list[n-1].hi = hi
			return
		}
		list = append(list, span{lo, hi})
	}
	// A walk over the nested prefixes: each gives what those inside it leave.
	type open struct {
		prefix netip.Prefix
		from   netip.Addr // where what is not given yet begins; invalid: nowhere
	}
	var stack []open
	leave := func() {
		top := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		last := lastOf(top.prefix)
		if top.from.IsValid() {
			add(top.prefix, top.from, last)
		}
		if len(stack) > 0 {
			stack[len(stack)-1].from = last.Next()
		}
	}
	for _, p := range prefixes {
		for len(stack) > 0 && !stack[len(stack)-1].prefix.Contains(p.Addr()) {
			leave()
		}
		if len(stack) > 0 && stack[len(stack)-1].from.IsValid() && stack[len(stack)-1].from != p.Addr() {
			add(stack[len(stack)-1].prefix, stack[len(stack)-1].from, p.Addr().Prev())
		}
		stack = append(stack, open{p, p.Addr()})
	}
	for len(stack) > 0 {
		leave()
	}
	return list
}

// lastOf returns the last address of a prefix.
func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	for i := p.Bits(); i < len(b)*8; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(b)
	return last
}

// ownSpans is a set of addresses that stands in the table under a name.
type ownSpans struct {
	name string
	v4   bool
	on   string // the interface; "" for the set of all
	list []span
}

// boundSets returns the sets of bound addresses: of all, and for each interface.
func (c TableConfig) boundSets() (sets []ownSpans) {
	if len(c.Bound) == 0 {
		return nil
	}
	for _, v4 := range []bool{true, false} {
		sets = append(sets, ownSpans{boundSet(v4), v4, "", c.spans(v4, func(on []string) bool { return on != nil })})
		for i, name := range c.interfaces() {
			sets = append(sets, ownSpans{onSet(i, v4), v4, name, c.spans(v4, func(on []string) bool { return slices.Contains(on, name) })})
		}
	}
	return sets
}

func boundSet(v4 bool) string { return "bound" + versionDigit(v4) }

func onSet(i int, v4 bool) string { return fmt.Sprintf("on_%d_%s", i, versionDigit(v4)) }

func versionDigit(v4 bool) string {
	if v4 {
		return "4"
	}
	return "6"
}

// elements are what the kernel wants; see [TableConfig.intervals].
func (s ownSpans) elements() (list []nftables.SetElement) {
	for _, r := range s.list {
		list = append(list, nftables.SetElement{Key: r.lo.AsSlice()})
		if end := r.hi.Next(); end.IsValid() {
			list = append(list, nftables.SetElement{Key: end.AsSlice(), IntervalEnd: true})
		}
	}
	return list
}

func (s ownSpans) texts() (list []string) {
	for _, r := range s.list {
		text := r.lo.String()
		if r.hi != r.lo {
			text += "-" + r.hi.String()
		}
		list = append(list, text)
	}
	return list
}

func (s ownSpans) kind() (name string, kind nftables.SetDatatype) {
	if s.v4 {
		return "ipv4_addr", nftables.TypeIPAddr
	}
	return "ipv6_addr", nftables.TypeIP6Addr
}

// boundRules send bound endpoints to the chain that looks at their interface.
func (c TableConfig) boundRules() (list []rule) {
	if len(c.Bound) == 0 {
		return nil
	}
	for _, v := range []version{v4(), v6()} {
		v.set = boundSet(v.len == 4)
		list = append(list, rule{chainSTT, "", []part{endpoint(v, source, in), jump(expr.VerdictJump, chainInterfaces)}})
	}
	if c.Hooks.Has(HookOutput) {
		list = append(list, rule{chainInterfaces, "this host sends it", []part{leaves(), jump(expr.VerdictReturn, "")}})
	}
	for i, name := range c.interfaces() {
		for _, v := range []version{v4(), v6()} {
			v.set = onSet(i, v.len == 4)
			list = append(list, rule{chainInterfaces, "", []part{comesIn(name), endpoint(v, source, in), jump(expr.VerdictReturn, "")}})
		}
	}
	return append(list, rule{chainInterfaces, "not where this endpoint comes in", []part{dropAs(counterInterface)}})
}

// comesIn matches packets that came in on an interface of that name.
func comesIn(name string) part {
	padded := make([]byte, 16) // IFNAMSIZ
	copy(padded, name)
	return part{fmt.Sprintf("iifname %q", name), []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1}, compare(expr.CmpOpEq, padded...)}}
}

// appendInterfaces adds the chain for iptables, where the first rule that matches
// decides: longest prefixes first.
func (c TableConfig) appendInterfaces(add func(string, ...any), v4 bool) {
	var prefixes []netip.Prefix
	for _, p := range c.Endpoints {
		if p.Addr().Is4() == v4 {
			prefixes = append(prefixes, p.Masked())
		}
	}
	slices.SortFunc(prefixes, func(a, b netip.Prefix) int {
		return cmp.Or(cmp.Compare(b.Bits(), a.Bits()), a.Addr().Compare(b.Addr()))
	})
	for _, p := range slices.Compact(prefixes) {
		bound := false
		for _, b := range c.Bound {
			if b.Prefix.Masked() == p {
				bound = true
				add("%s -s %s -i %s -j RETURN", xtOn, p, b.Interface)
			}
		}
		if bound {
			add("%s -s %s -j DROP", xtOn, p)
		} else {
			add("%s -s %s -j RETURN", xtOn, p)
		}
	}
}
