package describe

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"sttwall/inspect"
	"sttwall/reason"
)

// MaxText is the longest description in bytes, and MaxPayload the longest
// payload that it may ask for.
const (
	MaxText    = 4096
	MaxPayload = 9000
)

// Packet is a described inner frame.
type Packet struct {
	Data     []byte        // the inner Ethernet frame
	Frame    inspect.Frame // what inspect reads of Data
	From, To netip.Addr    // the outer endpoints, if the text names them
	// Numbers: the text names a TCP sequence or acknowledgment number.
	Numbers bool
}

// Error says what is wrong with a description, and where.
type Error struct {
	Column  int // in bytes, from 1
	Message string
}

func (e *Error) Error() string { return fmt.Sprintf("column %d: %s", e.Column, e.Message) }

// Parse makes the packet that text describes. The error is an [*Error].
func Parse(text string) (*Packet, error) {
	if len(text) > MaxText {
		return nil, &Error{MaxText + 1, fmt.Sprintf("expected at most %d characters", MaxText)}
	}
	p := parser{words: split(text), end: len(text) + 1}
	var b builder
	b.defaults()
	if err := p.packet(&b); err != nil {
		return nil, err
	}
	if w, ok := p.peek(); ok {
		return nil, p.errorf(w, "expected nothing more, or an option such as vlan 10; this is %q", w.text)
	}
	out := &Packet{From: b.from, To: b.to, Numbers: b.numbers}
	out.Data = b.build()
	if r := out.Frame.Decode(out.Data, len(out.Data), 0, inspect.NoTag); r != reason.None {
		return nil, &Error{1, fmt.Sprintf("expected a packet that the firewall reads; this one is %s: %s", r, r.Meaning())}
	}
	return out, nil
}

// word is a piece of the text between spaces; parentheses, arrows and commas
// stand alone.
type word struct {
	text   string
	column int
}

func split(text string) (words []word) {
	start := -1
	for i := 0; i <= len(text); i++ {
		special := i < len(text) && strings.IndexByte("()<>,", text[i]) >= 0
		if i == len(text) || special || text[i] == ' ' || text[i] == '\t' {
			if start >= 0 {
				words = append(words, word{text[start:i], start + 1})
				start = -1
			}
			if special {
				words = append(words, word{text[i : i+1], i + 1})
			}
		} else if start < 0 {
			start = i
		}
	}
	return words
}

type parser struct {
	words []word
	end   int // column behind the text
	depth int // of quoted packets
}

func (p *parser) peek() (word, bool) {
	if len(p.words) == 0 {
		return word{}, false
	}
	return p.words[0], true
}

// next takes a word; what says what was expected if there is none.
func (p *parser) next(what string) (word, error) {
	w, ok := p.peek()
	if !ok {
		return w, &Error{p.end, "expected " + what}
	}
	p.words = p.words[1:]
	return w, nil
}

func (p *parser) take(text string) bool {
	if w, ok := p.peek(); ok && w.text == text {
		p.words = p.words[1:]
		return true
	}
	return false
}

func (p *parser) errorf(w word, format string, args ...any) error {
	return &Error{w.column, fmt.Sprintf(format, args...)}
}

const forms = `a packet such as "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", "udp ...", "icmp 10.0.0.1 > 10.0.0.2 echo-request", "arp request 10.0.0.1 > 10.0.0.2" or "ethertype 0x88cc"`

// packet reads one description up to its end or a closing parenthesis.
func (p *parser) packet(b *builder) error {
	w, err := p.next(forms)
	if err != nil {
		return err
	}
	switch w.text {
	case "tcp":
		b.protocol = inspect.ProtocolTCP
		err = p.addresses(b, true)
	case "udp":
		b.protocol = inspect.ProtocolUDP
		err = p.addresses(b, true)
	case "sctp":
		b.protocol = inspect.ProtocolSCTP
		err = p.addresses(b, true)
	case "icmp", "icmpv6":
		b.protocol = inspect.ProtocolICMP
		if w.text == "icmpv6" {
			b.protocol = inspect.ProtocolICMPv6
		}
		if err = p.addresses(b, false); err == nil {
			err = p.icmp(b)
		}
	case "protocol":
		var n int
		if n, err = p.number("an IP protocol from 0 to 255", 0, 255); err == nil {
			b.protocol = uint8(n)
			err = p.addresses(b, false)
		}
	case "arp":
		err = p.arp(b)
	case "ethertype":
		var n int
		n, err = p.number("an ethertype such as 0x88cc", 0x600, 0xffff)
		b.kind, b.etherType = kindOther, uint16(n)
	default:
		return p.errorf(w, "expected %s; this is %q", forms, w.text)
	}
	if err != nil {
		return err
	}
	return p.options(b)
}

// addresses reads SRC[:PORT] > DST[:PORT].
func (p *parser) addresses(b *builder, ports bool) (err error) {
	first := word{}
	if w, ok := p.peek(); ok {
		first = w
	}
	if b.src, b.srcPort, err = p.address(ports, defaultSourcePort); err != nil {
		return err
	}
	if w, err := p.next(`">" and a destination`); err != nil {
		return err
	} else if w.text != ">" {
		return p.errorf(w, `expected ">" between source and destination; this is %q`, w.text)
	}
	if b.dst, b.dstPort, err = p.address(ports, -1); err != nil {
		return err
	}
	if b.src.BitLen() != b.dst.BitLen() {
		return p.errorf(first, "expected two IPv4 or two IPv6 addresses; these are %s and %s", b.src, b.dst)
	}
	if b.protocol == inspect.ProtocolICMP && b.src.Is6() || b.protocol == inspect.ProtocolICMPv6 && b.src.Is4() {
		return p.errorf(first, "expected icmp with IPv4 and icmpv6 with IPv6 addresses")
	}
	return nil
}

// address reads an address, with a port where there are ports. missing is the
// port of one that has none; negative: it must have one.
func (p *parser) address(ports bool, missing int) (netip.Addr, uint16, error) {
	what := "an address such as 10.0.0.1 or 2001:db8::1"
	if ports {
		what = "an address and port such as 10.0.0.1:443 or [2001:db8::1]:443"
	}
	w, err := p.next(what)
	if err != nil {
		return netip.Addr{}, 0, err
	}
	if a, err := netip.ParseAddr(w.text); err == nil && a.Zone() == "" {
		if ports && missing < 0 {
			return a, 0, p.errorf(w, "expected %s; this has no port", what)
		}
		return a, uint16(max(0, missing)), nil
	}
	if ap, err := netip.ParseAddrPort(w.text); err == nil && ap.Addr().Zone() == "" {
		if !ports {
			return ap.Addr(), 0, p.errorf(w, "expected %s; there are no ports here", what)
		}
		return ap.Addr(), ap.Port(), nil
	}
	return netip.Addr{}, 0, p.errorf(w, "expected %s; this is %q", what, w.text)
}

func (p *parser) number(what string, lo, hi int) (int, error) {
	w, err := p.next(what)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(w.text, 0, 32)
	if err != nil || n < uint64(lo) || n > uint64(hi) {
		return 0, p.errorf(w, "expected %s; this is %q", what, w.text)
	}
	return int(n), nil
}

func (p *parser) long(what string) (uint32, error) {
	w, err := p.next(what)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(w.text, 0, 32)
	if err != nil {
		return 0, p.errorf(w, "expected %s; this is %q", what, w.text)
	}
	return uint32(n), nil
}

// icmp reads TYPE[/CODE] [about (PACKET)].
func (p *parser) icmp(b *builder) error {
	w, err := p.next("an ICMP type such as echo-request")
	if err != nil {
		return err
	}
	kind, code, hasCode := strings.Cut(w.text, "/")
	var ok bool
	if b.icmpType, ok = ICMPType(b.protocol, kind); !ok {
		return p.errorf(w, "expected an ICMP type such as echo-request, or a number; this is %q", kind)
	}
	if hasCode {
		if b.icmpCode, ok = ICMPCode(b.protocol, b.icmpType, code); !ok {
			return p.errorf(w, "expected an ICMP code such as port-unreachable, or a number; this is %q", code)
		}
	}
	if !p.take("about") {
		return nil
	}
	open, err := p.next("a packet in parentheses")
	if err != nil {
		return err
	}
	if open.text != "(" {
		return p.errorf(open, "expected a packet in parentheses; this is %q", open.text)
	}
	if p.depth++; p.depth > 1 {
		return p.errorf(open, "expected no packet in a packet in a packet")
	}
	b.about = new(builder)
	b.about.defaults()
	if err := p.packet(b.about); err != nil {
		return err
	}
	p.depth--
	if _, err := p.next(`")"`); err != nil { // packet stops at nothing else
		return err
	}
	if b.about.kind != kindIP || b.about.src.BitLen() != b.src.BitLen() {
		return p.errorf(open, "expected an IP packet of the same version in parentheses")
	}
	return nil
}

// arp reads request|reply SENDER > TARGET.
func (p *parser) arp(b *builder) error {
	w, err := p.next(`"request" or "reply"`)
	if err != nil {
		return err
	}
	b.kind = kindARP
	switch w.text {
	case "request":
		b.arpOperation = 1
	case "reply":
		b.arpOperation = 2
	default:
		return p.errorf(w, `expected "request" or "reply"; this is %q`, w.text)
	}
	if err := p.addresses(b, false); err != nil {
		return err
	}
	if b.src.Is6() {
		return p.errorf(w, "expected IPv4 addresses; IPv6 has neighbour discovery: icmpv6 ... nd-neighbor-solicit")
	}
	return nil
}
