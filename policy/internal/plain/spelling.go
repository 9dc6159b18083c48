package plain

import (
	"fmt"
	"math/bits"
	"net/netip"
	"strings"
	"time"
)

// claim writes an entry of context_ids.
//
// > | `100`, `"100"`, `"0x64"` | one. Up to 2^64-1, exact in every form. Hexadecimal goes in quotes |
// > | `"100-200"`, `"0x1000-0x1fff"` | from the first to the last |
// > | `"0xab00000000000000/8"` | those whose top 8 bits are 0xab. `"0x0/0"` is all of them |
func (w *writer) claim(c Claim) string {
	if c.Lo == c.Hi && w.r.IntN(4) > 0 {
		if w.r.IntN(2) == 0 {
			return fmt.Sprint(c.Lo)
		}
		return `"` + w.contextID(c.Lo) + `"`
	}
	if free := bits.Len64(c.Hi ^ c.Lo); c.Lo<<(64-free)>>(64-free) == 0 && c.Hi == c.Lo+(1<<free-1) && w.r.IntN(3) > 0 {
		return fmt.Sprintf("\"0x%x/%d\"", c.Lo, 64-free)
	}
	return fmt.Sprintf("\"%s-%s\"", w.contextID(c.Lo), w.contextID(c.Hi))
}

func (w *writer) contextID(id uint64) string {
	return fmt.Sprintf(w.one("%d", "0x%x", "0x%X", "0x%016x"), id)
}

func (w *writer) endpoint(e Range) string {
	n, ok := prefixLength(e)
	if !ok {
		panic("an endpoint is an address or a CIDR")
	}
	if n == e.Lo.BitLen() && w.r.IntN(2) == 0 {
		return fmt.Sprintf("%q", w.addressText(e.Lo))
	}
	return fmt.Sprintf("\"%s/%d\"", w.addressText(e.Lo), n)
}

// addressRange writes an address, a CIDR or a range.
//
// > | `"10.1.0.1"`, `"2001:db8::1"` | that address |
// > | `"10.1.0.0/24"`, `"2001:db8::/32"` | the CIDR; the bits behind the prefix must be zero |
// > | `"10.1.0.1-10.1.0.9"` | from the first to the last |
func (w *writer) addressRange(a Range) string {
	if n, ok := prefixLength(a); ok && w.r.IntN(4) > 0 {
		if n == a.Lo.BitLen() && w.r.IntN(2) == 0 {
			return w.addressText(a.Lo)
		}
		return fmt.Sprintf("%s/%d", w.addressText(a.Lo), n)
	}
	return w.addressText(a.Lo) + "-" + w.addressText(a.Hi)
}

func (w *writer) addressText(a netip.Addr) string {
	switch w.r.IntN(4) {
	case 0:
		return a.StringExpanded()
	case 1:
		if !a.Is4In6() {
			return strings.ToUpper(a.String())
		}
	}
	return a.String()
}

// prefixLength says whether the range is a CIDR, and of how many bits.
func prefixLength(a Range) (n int, ok bool) {
	lo, hi := a.Lo.AsSlice(), a.Hi.AsSlice()
	same := true
	for i := range 8 * len(lo) {
		x, y := lo[i/8]>>(7-i%8)&1, hi[i/8]>>(7-i%8)&1
		switch {
		case same && x == y:
			n++
		case x == 0 && y == 1:
			same = false
		default:
			return 0, false
		}
	}
	return n, true
}

// number writes an entry of a list of numbers.
//
// > VLANs, priorities, ethertypes, ARP operations and, in rules and `anti_spoof`, datapaths and OVN ports are numbers, ranges in
// > quotes (`"100-199"`), and the words that the tables below name.
func (w *writer) number(n Number) string {
	switch {
	case n.None:
		return fmt.Sprintf("%q", w.not(n.Not)+"none")
	case n.Lo == n.Hi && !n.Not && w.r.IntN(2) == 0:
		return fmt.Sprint(n.Lo)
	case n.Lo == n.Hi && w.r.IntN(3) > 0:
		return fmt.Sprintf("\"%s%d\"", w.not(n.Not), n.Lo)
	}
	return fmt.Sprintf("\"%s%d-%d\"", w.not(n.Not), n.Lo, n.Hi)
}

func (w *writer) etherType(n Number) string {
	words := map[uint64]string{0x0800: "ipv4", 0x86dd: "ipv6", 0x0806: "arp"}
	if word := words[n.Lo]; n.Lo == n.Hi && word != "" && w.r.IntN(2) == 0 {
		return fmt.Sprintf("%q", w.not(n.Not)+word)
	}
	if w.r.IntN(4) == 0 {
		return w.number(n)
	}
	if n.Lo == n.Hi {
		return fmt.Sprintf("\"%s0x%04x\"", w.not(n.Not), n.Lo)
	}
	return fmt.Sprintf("\"%s0x%04x-0x%04X\"", w.not(n.Not), n.Lo, n.Hi)
}

func (w *writer) arpOperation(n Number) string {
	if words := []string{1: "request", 2: "reply"}; n.Lo == n.Hi && (n.Lo == 1 || n.Lo == 2) && w.r.IntN(2) == 0 {
		return fmt.Sprintf("%q", w.not(n.Not)+words[n.Lo])
	}
	return w.number(n)
}

func (w *writer) mac(m MAC) string {
	if m.Word != "" {
		return fmt.Sprintf("%q", w.not(m.Not)+m.Word)
	}
	a := m.Address
	text := fmt.Sprintf(w.one("%02x:%02x:%02x:%02x:%02x:%02x", "%02X:%02X:%02X:%02X:%02X:%02X", "%02x-%02x-%02x-%02x-%02x-%02x", "%02x%02x.%02x%02x.%02x%02x"),
		a[0], a[1], a[2], a[3], a[4], a[5])
	if m.Bits < 48 || w.r.IntN(4) == 0 {
		text += fmt.Sprintf("/%d", m.Bits)
	}
	return fmt.Sprintf("%q", w.not(m.Not)+text)
}

// flagWords are the words for the bits of a TCP header (RFC 9293, RFC 9768).
var flagWords = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ae"}

func (w *writer) flag(f Flag) string { return fmt.Sprintf("%q", w.not(f.Not)+flagWords[f.Bit]) }

func (w *writer) service(s *NamedService) string {
	header := fmt.Sprintf("service %q", s.Name)
	if s.Services != nil {
		return w.block(header, []string{w.list("services", texts(s.Services, w.serviceEntry))})
	}
	protocol := fmt.Sprint(s.Protocol)
	for name, n := range protocolNumbers {
		if int(n) == s.Protocol && w.r.IntN(2) == 0 {
			protocol = fmt.Sprintf("%q", name)
		}
	}
	if s.Protocol < 0 {
		protocol = `"any"`
	}
	attributes := []string{
		attribute("protocol", protocol),
		w.list("ports", texts(s.Ports, w.port)), w.list("source_ports", texts(s.SourcePorts, w.port)),
		w.list("tcp_flags", texts(s.Flags, w.flag)),
	}
	if s.Type >= 0 {
		attributes = append(attributes, attribute("icmp_type", w.numberOrName(uint8(s.Protocol), s.Type, -1)))
	}
	if s.Code >= 0 {
		attributes = append(attributes, attribute("icmp_code", w.numberOrName(uint8(s.Protocol), s.Type, s.Code)))
	}
	return w.block(header, attributes)
}

func (w *writer) port(p PortRange) string {
	if p.Lo == p.Hi && w.r.IntN(2) == 0 {
		return fmt.Sprint(p.Lo)
	}
	return `"` + w.portText(p) + `"`
}

func (w *writer) portText(p PortRange) string {
	if p.Lo == p.Hi && w.r.IntN(3) > 0 {
		return fmt.Sprint(p.Lo)
	}
	return fmt.Sprintf("%d-%d", p.Lo, p.Hi)
}

// numberOrName writes an ICMP code, or the type where there is none.
func (w *writer) numberOrName(protocol uint8, kind, code int) string {
	if name := icmpName(protocol, kind, code); name != "" && w.r.IntN(2) == 0 {
		return fmt.Sprintf("%q", name)
	}
	n := kind
	if code >= 0 {
		n = code
	}
	return fmt.Sprintf(w.one("%d", `"%d"`), n)
}

func (w *writer) serviceEntry(s Service) string {
	text := s.Word
	switch {
	case s.Word == "service":
		return w.reference("service", s.Named.Name)
	case s.Ports != nil:
		text += "/" + w.portText(*s.Ports)
	case s.Word == "protocol":
		text += fmt.Sprintf("/%d", s.Number)
	case s.Word == "ethertype":
		text += fmt.Sprintf(w.one("/0x%04x", "/0x%X"), s.Number)
	case (s.Word == "icmp" || s.Word == "icmpv6") && s.Type >= 0:
		protocol := protocolNumbers[s.Word]
		text += "/" + strings.Trim(w.numberOrName(protocol, s.Type, -1), `"`)
		if s.Code >= 0 {
			text += "/" + strings.Trim(w.numberOrName(protocol, s.Type, s.Code), `"`)
		}
	}
	if head, rest, ok := strings.Cut(text, "/"); ok && w.r.IntN(16) == 0 && !strings.HasPrefix(rest, "0x") {
		if _, after, two := strings.Cut(rest, "/"); !two && after == "" {
			return fmt.Sprintf("\"%s/${\"%s\"}\"", head, rest)
		}
	}
	return fmt.Sprintf("%q", text)
}

func (w *writer) window(t Window) string {
	minute := func(name string, n int) string {
		if n < 0 {
			return ""
		}
		return attribute(name, fmt.Sprintf("\"%02d:%02d\"", n/60, n%60))
	}
	return w.block("time", []string{
		w.list("days", texts(t.Days, w.days)),
		minute("from", t.From), minute("to", t.To),
		w.word("timezone", t.Zone, ""),
		w.word("not_before", t.NotBefore, ""), w.word("not_after", t.NotAfter, ""),
	})
}

func (w *writer) days(d Number) string {
	name := func(n uint64) string { return strings.ToLower(time.Weekday(n).String()[:3]) }
	if d.Lo == d.Hi {
		return fmt.Sprintf("%q", name(d.Lo))
	}
	return fmt.Sprintf("\"%s-%s\"", name(d.Lo), name(d.Hi))
}
