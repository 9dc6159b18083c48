package describe

import (
	"net/netip"
	"slices"
	"strings"
)

// Hosts is one side of a [Pattern]: addresses, and ports where there are some.
type Hosts struct {
	Column int // where it stands, in bytes, from 1

	Group     string     // name of an address_group; "": none
	Addresses string     // "10.0.0.1", "10.0.0.0/8" or "10.0.0.1-10.0.0.9"; "": none
	Lo, Hi    netip.Addr // of Addresses, both inclusive; not valid without

	HasPorts       bool
	LoPort, HiPort uint16 // both inclusive; valid iff HasPorts
}

// Any reports whether every address is meant.
func (h *Hosts) Any() bool { return h.Group == "" && h.Addresses == "" }

// Ports returns the ports as the rules language writes them; "" for any.
func (h *Hosts) Ports() string {
	if !h.HasPorts {
		return ""
	}
	return rangeText(uint64(h.LoPort), uint64(h.HiPort))
}

const hostsForms = `any, an address, a CIDR, a range or an address_group, as in 10.0.0.0/8, 10.0.0.1-10.0.0.9 or 2001:db8::1`

// hosts reads one side: ADDRESSES or ADDRESSES:PORTS, with IPv6 addresses in
// brackets where ports follow. ports says whether the packets have any.
func (p *parser) hosts(w word, ports bool) (h Hosts, err error) {
	h.Column = w.column
	text, port, hasPort := w.text, "", false
	if inside, ok := strings.CutPrefix(text, "["); ok {
		var rest string
		if text, rest, ok = strings.Cut(inside, "]"); !ok {
			return h, p.errorf(w, `expected "]" behind an IPv6 address in brackets; this is %q`, w.text)
		}
		if port, hasPort = strings.CutPrefix(rest, ":"); !hasPort && rest != "" {
			return h, p.errorf(w, `expected ":" and ports behind "]"; this is %q`, w.text)
		}
		if a, _, ok := addressRange(text); !ok || !a.Is6() {
			return h, p.errorf(w, "expected IPv6 addresses in brackets; this is %q", w.text)
		}
	} else if strings.Count(text, ":") == 1 {
		text, port, hasPort = strings.Cut(text, ":")
	}
	if err := p.addressesOf(w, text, &h); err != nil || !hasPort {
		return h, err
	}
	if !ports {
		return h, p.errorf(w, "expected no port: only tcp, udp and sctp have ports; write one of them in front")
	}
	lo, hi, ok := numbers(port, 65535)
	switch {
	case !ok:
		return h, p.errorf(w, "expected a port from 0 to 65535 or a range such as 8000-8010 behind the addresses; this is %q", port)
	case lo > hi:
		return h, p.errorf(w, "expected the smaller port first: %d-%d", hi, lo)
	}
	h.HasPorts, h.LoPort, h.HiPort = true, uint16(lo), uint16(hi)
	return h, nil
}

func (p *parser) addressesOf(w word, text string, h *Hosts) error {
	if text == "any" {
		return nil
	}
	if name, ok := strings.CutPrefix(text, "address_group."); ok {
		if h.Group = name; !rulesName(name) {
			return p.errorf(w, "expected the name of an address_group; this is %q", name)
		}
		return nil
	}
	lo, hi, ok := addressRange(text)
	switch {
	case !ok && slices.Contains(protocolWords, text):
		return p.errorf(w, "expected addresses here; %q is a protocol", text)
	case !ok && rulesName(text):
		h.Group = text
		return nil
	case !ok:
		return p.errorf(w, "expected %s; this is %q", hostsForms, text)
	case lo.BitLen() != hi.BitLen():
		return p.errorf(w, "expected a range of IPv4 or of IPv6 addresses; this is %q", text)
	case hi.Less(lo):
		return p.errorf(w, "expected the smaller address first: %s-%s", hi, lo)
	}
	if prefix, ok := cidr(text); ok && prefix != prefix.Masked() {
		return p.errorf(w, "expected zeros behind the first %d bits of a CIDR, as in %s", prefix.Bits(), prefix.Masked())
	}
	h.Lo, h.Hi, h.Addresses = lo, hi, text
	return nil
}

// addressRange reads an address, a CIDR or a range without zones.
func addressRange(text string) (lo, hi netip.Addr, ok bool) {
	if prefix, ok := cidr(text); ok {
		lo, hi := prefix.Addr(), prefix.Addr().AsSlice()
		for i := prefix.Bits(); i < 8*len(hi); i++ {
			hi[i/8] |= 0x80 >> (i % 8)
		}
		last, ok := netip.AddrFromSlice(hi)
		return lo, last, ok
	}
	first, last, isRange := strings.Cut(text, "-")
	lo, err := netip.ParseAddr(first)
	if err != nil || !isRange || lo.Zone() != "" {
		return lo, lo, false
	}
	hi, err = netip.ParseAddr(last)
	return lo, hi, err == nil && hi.Zone() == ""
}

// cidr reads an address or a CIDR.
func cidr(text string) (netip.Prefix, bool) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a, a.BitLen()), true
	}
	prefix, err := netip.ParsePrefix(text)
	return prefix, err == nil
}

// rulesName reports whether s can be a name in a rules file.
func rulesName(s string) bool {
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_'
		if !letter && (i == 0 || (c < '0' || c > '9') && c != '-') {
			return false
		}
	}
	return s != "" && len(s) <= 64
}
