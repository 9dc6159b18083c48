package plain

import (
	"fmt"
	"math/bits"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Text writes the policy as rules text, and the files of addresses_from by name.
// The same thing has many spellings; r chooses.
func (p *Policy) Text(r *rand.Rand) (text string, files map[string]string) {
	w := writer{r: r, files: make(map[string]string)}
	var blocks []string
	block := func(s string) { blocks = append(blocks, s) }
	block(w.block("settings", []string{
		attribute("endpoints", `["any"]`),
		w.word("default_action", p.DefaultAction, "drop"),
	}))
	for _, g := range p.Groups {
		block(w.group(g))
	}
	for _, s := range p.Services {
		block(w.service(s))
	}
	if p.Before != nil {
		block(w.block("before_tenants", nil, w.rules(p.Before)...))
	}
	if p.After != nil {
		block(w.block("after_tenants", nil, w.rules(p.After)...))
	}
	// > A rules file holds these blocks, in any order.
	// > Groups and services may
	// > stand behind the rules that use them.
	for _, t := range p.Tenants {
		block(w.tenant(t))
	}
	r.Shuffle(len(blocks), func(i, j int) { blocks[i], blocks[j] = blocks[j], blocks[i] })
	return strings.Join(blocks, "\n"), w.files
}

type writer struct {
	r     *rand.Rand
	files map[string]string
}

func (w *writer) one(of ...string) string { return of[w.r.IntN(len(of))] }

func attribute(name, value string) string { return name + " = " + value }

// block writes the attributes in any order, and behind them the blocks.
func (w *writer) block(header string, attributes []string, blocks ...string) string {
	attributes = slices.DeleteFunc(attributes, func(s string) bool { return s == "" })
	w.r.Shuffle(len(attributes), func(i, j int) { attributes[i], attributes[j] = attributes[j], attributes[i] })
	blocks = slices.DeleteFunc(blocks, func(s string) bool { return s == "" })
	var b strings.Builder
	fmt.Fprintf(&b, "%s {\n", header)
	for _, line := range append(attributes, blocks...) {
		fmt.Fprintf(&b, "%s%s\n", line, w.one("", "", "", " # a comment", " // another", "\n"))
	}
	b.WriteString("}")
	return b.String()
}

// word writes a word in quotes; one that is left out, or that would hold without
// being written, sometimes is and sometimes is not.
func (w *writer) word(name, value, fallback string) string {
	if value == "" || value == fallback && w.r.IntN(2) == 0 {
		return ""
	}
	return attribute(name, fmt.Sprintf("%q", value))
}

func (w *writer) truth(name string, value bool) string {
	switch {
	case !value && w.r.IntN(2) == 0:
		return ""
	case w.r.IntN(20) == 0:
		return attribute(name, fmt.Sprintf("%t ? true : false", value))
	}
	return attribute(name, fmt.Sprint(value))
}

// list writes a list, now and then as an expression that gives it.
func (w *writer) list(name string, items []string) string {
	if items == nil {
		return ""
	}
	// An expression has no "!address_group.NAME", and no numbers among strings.
	plain := !slices.ContainsFunc(items, func(s string) bool { return strings.HasPrefix(s, "!") })
	quoted := !slices.ContainsFunc(items, func(s string) bool { return !strings.HasPrefix(s, `"`) })
	text := "[" + strings.Join(items, w.one(", ", ",", ",\n")) + w.one("", "", ",") + "]"
	switch w.r.IntN(24) {
	case 0:
		if plain {
			n := w.r.IntN(len(items))
			text = fmt.Sprintf("concat([%s], [%s])", strings.Join(items[:n], ", "), strings.Join(items[n:], ", "))
		}
	case 1:
		if quoted {
			text = fmt.Sprintf("[for x in [%s] : x]", strings.Join(items, ", "))
		}
	case 2:
		if quoted {
			text = fmt.Sprintf("[for x in [%s] : \"${x}\" if length([]) == 0]", strings.Join(items, ", "))
		}
	case 3:
		if quoted && !strings.Contains(text, "${") {
			text = fmt.Sprintf("split(\" \", %q)", strings.ReplaceAll(strings.Join(items, " "), `"`, ""))
		}
	case 4:
		if plain {
			text = fmt.Sprintf("flatten([[%s], []])", strings.Join(items, ", "))
		}
	case 5:
		text = "(" + text + ")"
	}
	return attribute(name, text)
}

// texts maps the entries of a list; nil stays nil.
func texts[T any](list []T, text func(T) string) []string {
	if list == nil {
		return nil
	}
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = text(e)
	}
	return out
}

func (w *writer) group(g *Group) string {
	attributes := []string{w.list("addresses", texts(g.Entries, w.address))}
	if g.Lines != nil {
		var b strings.Builder
		for _, l := range g.Lines {
			b.WriteString(w.one("", "", "  ", "# a comment\n", "\n") + w.addressRange(l) + w.one("", " # why", "\r", "\t") + "\n")
		}
		if w.r.IntN(3) == 0 {
			b.WriteString("# the end")
		}
		name := g.Name + ".txt"
		w.files[name] = b.String()
		attributes = append(attributes, attribute("addresses_from", fmt.Sprintf("%q", name)))
	}
	return w.block(fmt.Sprintf("address_group %q", g.Name), attributes)
}

func (w *writer) not(negated bool) string {
	if negated {
		return "!"
	}
	return ""
}

func (w *writer) address(a Address) string {
	switch {
	case a.Any:
		return `"any"`
	case a.Group != nil:
		return w.not(a.Not) + w.reference("address_group", a.Group.Name)
	}
	return fmt.Sprintf("%q", w.not(a.Not)+w.addressRange(a.Range))
}

func (w *writer) reference(kind, name string) string {
	if w.r.IntN(4) == 0 {
		return fmt.Sprintf("%s[%q]", kind, name)
	}
	return kind + "." + name
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

func (w *writer) tenant(t *Tenant) string {
	layout, mode, neighbors := "plain", "enforce", "pass"
	if t.OVN {
		layout = "ovn"
	}
	if t.Audit {
		mode = "audit"
	}
	if t.NeighborsByRule {
		neighbors = "rules"
	}
	return w.block(fmt.Sprintf("tenant %q", t.Name), []string{
		w.list("context_ids", texts(t.Claims, w.claim)),
		w.word("context_layout", layout, "plain"),
		w.list("datapaths", texts(t.Datapaths, w.number)),
		w.list("endpoints", texts(t.Endpoints, w.endpoint)),
		w.word("default_action", t.DefaultAction, ""),
		w.word("mode", mode, "enforce"),
		w.word("neighbor_discovery", neighbors, "pass"),
	}, w.rules(t.Rules)...)
}

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

func (w *writer) rules(rules []*Rule) []string { return texts(rules, w.rule) }

func (w *writer) rule(r *Rule) string {
	state := "stateful"
	if r.Stateless {
		state = "stateless"
	}
	blocks := texts(r.Times, w.window)
	if r.Limit != nil {
		blocks = append(blocks, w.limit(r.Limit))
	}
	if r.Set != (Set{}) {
		blocks = append(blocks, w.set(r.Set))
	}
	return w.block(fmt.Sprintf("rule %q", r.Name), []string{
		w.word("action", r.Action, ""),
		w.list("source", texts(r.Source, w.address)),
		w.list("destination", texts(r.Destination, w.address)),
		w.list("services", texts(r.Services, w.serviceEntry)),
		w.list("source_mac", texts(r.SourceMAC, w.mac)),
		w.list("destination_mac", texts(r.DestinationMAC, w.mac)),
		w.list("vlan", texts(r.VLAN, w.number)),
		w.list("pcp", texts(r.PCP, w.number)),
		w.list("ethertype", texts(r.EtherType, w.etherType)),
		w.list("arp_operation", texts(r.ARPOperation, w.arpOperation)),
		w.list("tcp_flags", texts(r.TCPFlags, w.flag)),
		w.list("fragment", texts(r.Fragment, func(s string) string { return fmt.Sprintf("%q", s) })),
		w.list("from_endpoint", texts(r.FromEndpoint, w.endpoint)),
		w.list("to_endpoint", texts(r.ToEndpoint, w.endpoint)),
		w.list("datapath", texts(r.Datapath, w.number)),
		w.list("ingress_port", texts(r.IngressPort, w.number)),
		w.list("egress_port", texts(r.Port, w.number)),
		w.word("state", state, "stateful"),
		w.word("mode", r.Mode, ""),
		w.truth("log", r.Log),
	}, blocks...)
}

// number writes an entry of a list of numbers.
//
// > VLANs, priorities, ethertypes, ARP operations, datapaths and ports are numbers, ranges in quotes (`"100-199"`), and the words
// > that the tables below name.
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

// Flags are the words for the bits of a TCP header (RFC 9293, RFC 9768).
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

func (w *writer) limit(l *Limit) string {
	unit := map[int64][]string{
		1e9: {"s", "second"}, 60e9: {"m", "minute"}, 3600e9: {"h", "hour"}, 24 * 3600e9: {"d", "day"},
	}[l.Per]
	over := "next"
	if l.Drop {
		over = "drop"
	}
	burst := ""
	if l.Burst > 0 {
		burst = attribute("burst", fmt.Sprint(l.Burst))
	}
	return w.block("limit", []string{
		attribute("rate", fmt.Sprintf("\"%d/%s\"", l.Events, w.one(unit...))), burst, w.word("over", over, "next"),
	})
}

// dscpNames are the code points of RFC 2474, 2597, 3246, 5865 and 8622 that have
// a name.
var dscpNames = map[uint8]string{0: "cs0", 1: "lephb", 8: "cs1", 10: "af11", 18: "af21", 28: "af32", 38: "af43", 44: "va", 46: "ef", 56: "cs7"}

func (w *writer) set(s Set) string {
	var attributes []string
	if s.HasDSCP {
		text := fmt.Sprint(s.DSCP)
		if name := dscpNames[s.DSCP]; name != "" && w.r.IntN(2) == 0 {
			text = fmt.Sprintf("%q", name)
		}
		attributes = append(attributes, attribute("dscp", text))
	}
	if s.MSSMax > 0 {
		attributes = append(attributes, attribute("mss_max", fmt.Sprint(s.MSSMax)))
	}
	return w.block("set", attributes)
}
