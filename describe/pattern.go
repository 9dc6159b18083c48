package describe

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"sttwall/inspect"
)

// MaxPattern is the longest pattern in bytes.
const MaxPattern = 1024

// Pattern is a set of packets. Its words are those of the rules language, checked
// as far as they can be without a rules file.
type Pattern struct {
	Text string // as it was written

	// Whose packets: those of a tenant, of one context ID, or of all.
	Tenant      string // "": not of one tenant
	HasContext  bool
	Context     uint64 // valid iff HasContext
	ScopeColumn int    // in bytes, from 1; valid iff Tenant or HasContext

	// Protocol is "any" (every IP packet), "tcp", "udp", "sctp", "icmp", "icmpv6",
	// "protocol", "arp" or "ethertype"; Number is that of the two that need one.
	Protocol string
	Number   uint16

	Source, Destination Hosts
	// BothWays: the packets from Destination to Source too.
	BothWays bool

	ARPOperation       string // "request" or "reply"; "": any
	ICMPType, ICMPCode int    // -1: any
	TCPFlags           []string
	Fragment           string // "whole", "first" or "later"; "": any
	VLAN               string // "10", "100-199" or "none"; "": any
	SourceMAC          string // "": any; so is DestinationMAC
	DestinationMAC     string
	From, To           netip.Prefix // outer endpoints; not valid: any
}

const patternForms = `a pattern such as "tcp 10.1.9.9 > any:443", "tenant:acme 10.1.9.9 <> any" or "context:100 udp any > 10.0.0.0/8:53"`

// protocolWords may stand before the addresses, and name no group.
var protocolWords = []string{"any", "tcp", "udp", "sctp", "icmp", "icmpv6", "protocol", "arp", "ethertype"}

const protocolList = `any, tcp, udp, sctp, icmp, icmpv6, protocol N, arp or ethertype 0xHEX`

// ParsePattern reads a pattern; docs/packets.md is its reference. The error is an
// [*Error]. Whether there are such a tenant and such groups it does not know.
func ParsePattern(text string) (*Pattern, error) {
	if len(text) > MaxPattern {
		return nil, &Error{MaxPattern + 1, fmt.Sprintf("expected at most %d characters", MaxPattern)}
	}
	p := parser{words: split(text), end: len(text) + 1}
	t := &Pattern{Text: strings.Join(strings.Fields(text), " "), Protocol: "any", ICMPType: -1, ICMPCode: -1}
	for _, read := range []func(*Pattern) error{p.scope, p.what, p.direction, p.restrictions} {
		if err := read(t); err != nil {
			return nil, err
		}
	}
	return t, nil
}

// Reverse returns the pattern of the packets the other way.
func (t *Pattern) Reverse() *Pattern {
	r := *t
	r.Source, r.Destination = t.Destination, t.Source
	r.SourceMAC, r.DestinationMAC = t.DestinationMAC, t.SourceMAC
	r.From, r.To = t.To, t.From
	return &r
}

// scope reads tenant:NAME or context:ID, if there is one.
func (p *parser) scope(t *Pattern) error {
	for {
		w, ok := p.peek()
		if !ok {
			return nil
		}
		name, isTenant := strings.CutPrefix(w.text, "tenant:")
		id, isContext := strings.CutPrefix(w.text, "context:")
		if !isTenant && !isContext {
			return nil
		}
		p.words = p.words[1:]
		if t.ScopeColumn > 0 {
			return p.errorf(w, "expected one tenant or one context ID; this is a second")
		}
		t.ScopeColumn = w.column
		if isTenant {
			if t.Tenant = name; !rulesName(name) {
				return p.errorf(w, "expected the name of a tenant right behind tenant:")
			}
			continue
		}
		base := 10
		if digits, hex := strings.CutPrefix(id, "0x"); hex {
			id, base = digits, 16
		}
		n, err := strconv.ParseUint(id, base, 64)
		if err != nil {
			return p.errorf(w, "expected a context ID of 64 bits such as context:100 or context:0x64; this is %q", w.text)
		}
		t.HasContext, t.Context = true, n
	}
}

// arrow reports whether the n-th word from here is the ">" or "<" of a
// direction.
func (p *parser) arrow(n int) bool {
	return n < len(p.words) && (p.words[n].text == ">" || p.words[n].text == "<")
}

// what reads the protocol; left out it is any.
func (p *parser) what(t *Pattern) (err error) {
	w, ok := p.peek()
	switch {
	case !ok:
		return &Error{p.end, "expected " + patternForms}
	case p.arrow(1):
		return nil // the source
	case !slices.Contains(protocolWords, w.text):
		if h, err := p.hosts(w, true); err != nil || h.Group != "" {
			return p.errorf(w, `expected %s, or a source and ">"; this is %q`, protocolList, w.text)
		}
		return nil // the mistake is what follows
	}
	p.words = p.words[1:]
	t.Protocol = w.text
	var n int
	switch w.text {
	case "protocol":
		n, err = p.number("an IP protocol from 0 to 255", 0, 255)
	case "ethertype":
		w, _ := p.peek()
		switch n, err = p.number("an ethertype such as 0x88cc", 0x600, 0xffff); {
		case err != nil:
		case n == inspect.EtherTypeIPv4 || n == inspect.EtherTypeIPv6 || n == inspect.EtherTypeARP:
			err = p.errorf(w, "expected any or arp for that ethertype; this is %q", w.text)
		case n == inspect.EtherTypeVLAN || n == inspect.EtherTypeQinQ || n == inspect.EtherTypeVMAN:
			err = p.errorf(w, "expected the ethertype behind the VLAN tags; this is %q", w.text)
		}
	case "arp":
		if w, ok := p.peek(); ok && (w.text == "request" || w.text == "reply") && !p.arrow(1) {
			p.words = p.words[1:]
			t.ARPOperation = w.text
		}
	}
	t.Number = uint16(n)
	return err
}

// direction reads SRC > DST or SRC <> DST. Frames of other ethertypes have no
// addresses, and need none here.
func (p *parser) direction(t *Pattern) error {
	if t.Protocol == "ethertype" && !p.arrow(1) {
		return nil
	}
	const source, destination = "a source: any, an address, a CIDR, a range or an address_group", "a destination: any, an address, a CIDR, a range or an address_group"
	ports := t.Protocol == "tcp" || t.Protocol == "udp" || t.Protocol == "sctp"
	w, err := p.next(source)
	if err != nil {
		return err
	}
	if t.Source, err = p.hosts(w, ports); err != nil {
		return err
	}
	w, err = p.next(`">" or "<>", and a destination; quote the pattern, or the shell takes ">" for itself`)
	if err != nil {
		return err
	}
	if w.text == "<" {
		t.BothWays = true
		if w, err = p.next(`">" behind "<"`); err != nil {
			return err
		}
	}
	if w.text != ">" {
		return p.errorf(w, `expected ">" or "<>" between one source and one destination; this is %q`, w.text)
	}
	if w, err = p.next(destination); err != nil {
		return err
	}
	if t.Destination, err = p.hosts(w, ports); err != nil {
		return err
	}
	return p.families(t)
}

// families refuses addresses that no packet has together.
func (p *parser) families(t *Pattern) error {
	a, b := &t.Source, &t.Destination
	if a.Lo.IsValid() && b.Lo.IsValid() && a.Lo.BitLen() != b.Lo.BitLen() {
		return &Error{a.Column, "expected two IPv4 or two IPv6 addresses; these are " + a.Addresses + " and " + b.Addresses}
	}
	for _, h := range []*Hosts{a, b} {
		switch {
		case t.Protocol == "ethertype" && !h.Any():
			return &Error{h.Column, "expected no addresses: frames of other ethertypes have none"}
		case !h.Lo.IsValid():
		case t.Protocol == "icmp" && h.Lo.Is6(), t.Protocol == "icmpv6" && h.Lo.Is4():
			return &Error{h.Column, "expected icmp with IPv4 and icmpv6 with IPv6 addresses"}
		case t.Protocol == "arp" && h.Lo.Is6():
			return &Error{h.Column, "expected IPv4 addresses; IPv6 has neighbour discovery: icmpv6 ... nd-neighbor-solicit"}
		}
	}
	return nil
}

// restrictions reads what follows the addresses, in any order.
func (p *parser) restrictions(t *Pattern) error {
	seen := make(map[string]bool)
	var fragment word
	for len(p.words) > 0 {
		w := p.words[0]
		p.words = p.words[1:]
		if w.text == "," {
			continue
		}
		flag := strings.TrimPrefix(w.text, "!")
		if t.Protocol == "tcp" && slices.Contains(flagWords, flag) {
			if seen[flag] {
				return p.errorf(w, "expected each flag once; this is a second %s", flag)
			}
			seen[flag] = true
			t.TCPFlags = append(t.TCPFlags, w.text)
			continue
		}
		if seen[w.text] {
			return p.errorf(w, "expected %s once", w.text)
		}
		if seen[w.text] = true; w.text == "frag" {
			fragment = w
		}
		if err := p.restriction(w, t); err != nil {
			return err
		}
	}
	if t.Fragment == "later" && (t.Source.HasPorts || t.Destination.HasPorts || t.TCPFlags != nil || t.ICMPType >= 0) {
		return p.errorf(fragment, "expected a pattern without ports, TCP flags and ICMP type: a later fragment shows none")
	}
	return nil
}

func (p *parser) restriction(w word, t *Pattern) (err error) {
	isIP := t.Protocol != "arp" && t.Protocol != "ethertype"
	switch {
	case w.text == "vlan":
		t.VLAN, err = p.vlans()
	case w.text == "mac":
		return p.macPair(t)
	case w.text == "from":
		t.From, err = p.outer()
	case w.text == "to":
		t.To, err = p.outer()
	case w.text == "frag" && isIP:
		w, err := p.next(`"whole", "first" or "later"`)
		if err != nil {
			return err
		}
		if t.Fragment = w.text; w.text != "whole" && w.text != "first" && w.text != "later" {
			return p.errorf(w, `expected "whole", "first" or "later"; this is %q`, w.text)
		}
	case (t.Protocol == "icmp" || t.Protocol == "icmpv6") && t.ICMPType < 0:
		return p.messages(w, t)
	case t.Protocol == "tcp":
		return p.errorf(w, "expected TCP flags (%s; ! in front: not set), vlan, frag, mac, from or to; this is %q", strings.Join(flagWords, ", "), w.text)
	case isIP:
		return p.errorf(w, "expected vlan, frag, mac, from or to; this is %q", w.text)
	default:
		return p.errorf(w, "expected vlan, mac, from or to; this is %q", w.text)
	}
	return err
}

// messages reads TYPE[/CODE].
func (p *parser) messages(w word, t *Pattern) error {
	protocol := uint8(inspect.ProtocolICMP)
	if t.Protocol == "icmpv6" {
		protocol = inspect.ProtocolICMPv6
	}
	kind, code, hasCode := strings.Cut(w.text, "/")
	n, ok := ICMPType(protocol, kind)
	if !ok {
		return p.errorf(w, "expected an ICMP type such as echo-request or a number, vlan, frag, mac, from or to; this is %q", w.text)
	}
	t.ICMPType = int(n)
	if hasCode {
		c, ok := ICMPCode(protocol, n, code)
		if !ok {
			return p.errorf(w, "expected an ICMP code such as port-unreachable, or a number; this is %q", code)
		}
		t.ICMPCode = int(c)
	}
	return nil
}

// vlans reads a VLAN ID, a range of them, or none.
func (p *parser) vlans() (string, error) {
	const what = `a VLAN ID from 1 to 4095, a range such as 100-199, or "none"`
	w, err := p.next(what)
	if err != nil || w.text == "none" {
		return w.text, err
	}
	lo, hi, ok := numbers(w.text, 4095)
	switch {
	case !ok:
		return "", p.errorf(w, "expected %s; this is %q", what, w.text)
	case lo > hi:
		return "", p.errorf(w, "expected the smaller number first: %d-%d", hi, lo)
	case lo == 0:
		return "", p.errorf(w, "expected %s, which is about tags with VLAN ID 0 too: they belong to no VLAN; this is %q", what, w.text)
	}
	return rangeText(lo, hi), nil
}

// numbers reads N or N-M, each from 0 to limit.
func numbers(s string, limit uint64) (lo, hi uint64, ok bool) {
	first, last, isRange := strings.Cut(s, "-")
	lo, err := strconv.ParseUint(first, 10, 16)
	hi = lo
	if err == nil && isRange {
		hi, err = strconv.ParseUint(last, 10, 16)
	}
	return lo, hi, err == nil && max(lo, hi) <= limit
}

func rangeText(lo, hi uint64) string {
	text := strconv.FormatUint(lo, 10)
	if lo != hi {
		text += "-" + strconv.FormatUint(hi, 10)
	}
	return text
}

// outer reads the address or CIDR of outer endpoints.
func (p *parser) outer() (netip.Prefix, error) {
	const what = "the outer address of an endpoint, or a CIDR"
	w, err := p.next(what)
	if err != nil {
		return netip.Prefix{}, err
	}
	prefix, ok := cidr(w.text)
	if !ok || prefix.Addr().Is4In6() {
		return prefix, p.errorf(w, "expected %s; this is %q", what, w.text)
	}
	if prefix != prefix.Masked() {
		return prefix, p.errorf(w, "expected zeros behind the first %d bits of a CIDR, as in %s", prefix.Bits(), prefix.Masked())
	}
	return prefix, nil
}

// macPair reads SRC > DST, of which one may be any.
func (p *parser) macPair(t *Pattern) error {
	for i, mac := range []*string{&t.SourceMAC, &t.DestinationMAC} {
		if i == 1 {
			if w, err := p.next(`">" and a MAC address, or any`); err != nil {
				return err
			} else if w.text != ">" {
				return p.errorf(w, `expected ">" between two MAC addresses; this is %q`, w.text)
			}
		}
		const what = "a MAC address such as 02:00:00:00:00:01, or any"
		w, err := p.next(what)
		if err != nil {
			return err
		}
		if w.text == "any" {
			continue
		}
		m, err := net.ParseMAC(w.text)
		if err != nil || len(m) != 6 {
			return p.errorf(w, "expected %s; this is %q", what, w.text)
		}
		*mac = m.String()
	}
	return nil
}
