package filter

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"sttwall/inspect"
	"sttwall/reason"
)

// kind says how the values of a field are written.
type kind int

const (
	kindName kind = iota
	kindWord
	kindText
	kindAddress
	kindPort
	kindProtocol
	kindContext
	kindNumber
	kindSize
	kindTime
)

// forms tell a user how values of a kind are written.
var forms = [...]string{
	kindName:     "a name; * stands for anything; in double quotes if it has spaces or one of (),:\"",
	kindWord:     "one of its words",
	kindText:     "letters that stand somewhere in it",
	kindAddress:  "an address, a CIDR or FIRST-LAST",
	kindPort:     "a port, FIRST-LAST, or >, >=, <, <= and a port",
	kindProtocol: "tcp, udp, sctp, icmp, icmpv6 or a number",
	kindContext:  "a context ID such as 100 or 0x64, FIRST-LAST, or a prefix such as 0xab00000000000000/8",
	kindNumber:   "a number, FIRST-LAST, or >, >=, <, <= and a number",
	kindSize:     "a number with k, M or G, FIRST-LAST, or >, >=, <, <= and one",
	kindTime:     "a time such as 90s or 5m, or >, >=, <, <= and one",
}

// Field is something that a filter can ask for.
type Field struct {
	Name    string
	Meaning string
	Example string // a value
	// Words are its values, if they are few and known.
	Words []string
	kind  kind
	// match reports whether the record has the value in this field.
	match func(r *Record, v *value) bool
}

// Form tells how its values are written.
func (f *Field) Form() string { return forms[f.kind] }

// Fields returns all fields, in the order in which they are shown.
func Fields() []Field { return slices.Clone(fields) }

var verdictWords = []string{"accept", "audit", "drop", "reject"}

var fields = []Field{
	{Name: "tenant", Meaning: "the tenant", Example: "acme", kind: kindName, match: func(r *Record, v *value) bool { return v.name(r.Tenant) }},
	{Name: "rule", Meaning: "the rule that decides, as tenant/rule", Example: "acme/web*", kind: kindName, match: func(r *Record, v *value) bool { return v.name(r.Rule) }},
	{Name: "verdict", Meaning: "what becomes of it; audit: it passes only because of audit mode", Example: "drop", kind: kindWord, Words: verdictWords, match: func(r *Record, v *value) bool { return r.Verdict == v.text }},
	{Name: "reason", Meaning: "why it was dropped, or would have been; see docs/reasons.md", Example: "tenant_default", kind: kindName, Words: reasonWords(), match: func(r *Record, v *value) bool { return v.name(r.Reason) }},
	{Name: "state", Meaning: "the state of the flow; see docs/conntrack.md", Example: "established", kind: kindName, match: func(r *Record, v *value) bool { return v.name(r.State) }},
	{Name: "event", Meaning: "the type of event", Example: "move", kind: kindName, match: func(r *Record, v *value) bool { return v.name(r.Event) }},
	{Name: "proto", Meaning: "the inner IP protocol", Example: "tcp", kind: kindProtocol, Words: protocolWords(), match: func(r *Record, v *value) bool { return r.Protocol >= 0 && v.number(uint64(r.Protocol)) }},
	{Name: "src", Meaning: "the inner source; of a flow, the side that began", Example: "10.1.0.0/24", kind: kindAddress, match: func(r *Record, v *value) bool { return v.address(r.Src) }},
	{Name: "dst", Meaning: "the inner destination", Example: "10.1.0.7", kind: kindAddress, match: func(r *Record, v *value) bool { return v.address(r.Dst) }},
	{Name: "host", Meaning: "either of them", Example: "10.1.0.7", kind: kindAddress, match: func(r *Record, v *value) bool { return v.address(r.Src) || v.address(r.Dst) }},
	{Name: "sport", Meaning: "the inner source port", Example: "1024-65535", kind: kindPort, match: func(r *Record, v *value) bool { return v.port(r.SrcPort) }},
	{Name: "dport", Meaning: "the inner destination port", Example: "443", kind: kindPort, match: func(r *Record, v *value) bool { return v.port(r.DstPort) }},
	{Name: "port", Meaning: "either of them", Example: "53", kind: kindPort, match: func(r *Record, v *value) bool { return v.port(r.SrcPort) || v.port(r.DstPort) }},
	{Name: "context", Meaning: "the context ID, in either direction", Example: "0x64", kind: kindContext, match: func(r *Record, v *value) bool {
		return r.HasContext[0] && v.number(r.Contexts[0]) || r.HasContext[1] && v.number(r.Contexts[1])
	}},
	{Name: "from", Meaning: "the outer source endpoint", Example: "192.0.2.10", kind: kindAddress, match: func(r *Record, v *value) bool { return v.address(r.From) }},
	{Name: "to", Meaning: "the outer destination endpoint", Example: "192.0.2.0/24", kind: kindAddress, match: func(r *Record, v *value) bool { return v.address(r.To) }},
	{Name: "endpoint", Meaning: "either of them", Example: "192.0.2.10", kind: kindAddress, match: func(r *Record, v *value) bool { return v.address(r.From) || v.address(r.To) }},
	{Name: "vlan", Meaning: "an inner VLAN ID", Example: "10", kind: kindNumber, match: func(r *Record, v *value) bool {
		for _, id := range r.VLANs {
			if v.number(uint64(id)) {
				return true
			}
		}
		return false
	}},
	{Name: "ethertype", Meaning: "the inner ethertype", Example: "0x0806", kind: kindNumber, match: func(r *Record, v *value) bool { return r.EtherType >= 0 && v.number(uint64(r.EtherType)) }},
	{Name: "bytes", Meaning: "bytes of both directions", Example: ">10M", kind: kindSize, match: func(r *Record, v *value) bool { return v.number(r.Bytes) }},
	{Name: "packets", Meaning: "packets of both directions", Example: ">1000", kind: kindSize, match: func(r *Record, v *value) bool { return v.number(r.Packets) }},
	{Name: "age", Meaning: "the time since it began", Example: ">5m", kind: kindTime, match: func(r *Record, v *value) bool { return r.Age >= 0 && v.number(uint64(r.Age)) }},
	{Name: "text", Meaning: "letters in the tenant, rule or reason", Example: "web", kind: kindText, match: func(r *Record, v *value) bool {
		return v.within(r.Tenant) || v.within(r.Rule) || v.within(r.Reason)
	}},
}

// byName has the fields.
var byName = func() map[string]*Field {
	m := make(map[string]*Field, len(fields))
	for i := range fields {
		m[fields[i].Name] = &fields[i]
	}
	return m
}()

func fieldNames() []string {
	names := make([]string, len(fields))
	for i := range fields {
		names[i] = fields[i].Name
	}
	return names
}

func reasonWords() (words []string) {
	for r := reason.None + 1; r < reason.Count; r++ {
		words = append(words, r.String())
	}
	slices.Sort(words)
	return words
}

var protocols = map[string]uint8{
	"tcp": inspect.ProtocolTCP, "udp": inspect.ProtocolUDP, "sctp": inspect.ProtocolSCTP,
	"icmp": inspect.ProtocolICMP, "icmpv6": inspect.ProtocolICMPv6,
}

func protocolWords() []string { return []string{"icmp", "icmpv6", "sctp", "tcp", "udp"} }

// value is one value of a field, compiled: numbers, times in nanoseconds and
// addresses as ranges.
type value struct {
	text     string
	lo, hi   uint64
	from, to netip.Addr
	parts    []string // of a name with *: what stands between them
}

func (v *value) number(n uint64) bool { return v.lo <= n && n <= v.hi }

func (v *value) port(p int) bool { return p >= 0 && v.number(uint64(p)) }

// address compares within one family: Addr.Compare puts all of IPv4 in front.
func (v *value) address(a netip.Addr) bool {
	return a.IsValid() && a.Is4() == v.from.Is4() && v.from.Compare(a) <= 0 && a.Compare(v.to) <= 0
}

// name matches whole names, case and all.
func (v *value) name(s string) bool {
	if s == "" {
		return false
	}
	if v.parts == nil {
		return s == v.text
	}
	first, last := v.parts[0], v.parts[len(v.parts)-1]
	if len(s) < len(first)+len(last) || !strings.HasPrefix(s, first) || !strings.HasSuffix(s, last) {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range v.parts[1 : len(v.parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}

// within matches parts of names in ASCII lower case.
func (v *value) within(s string) bool {
	for i := 0; i+len(v.text) <= len(s); i++ {
		if first := v.text[0]; first < utf8.RuneSelf && s[i]|' ' != first|' ' {
			continue // spares most comparisons
		}
		if strings.EqualFold(s[i:i+len(v.text)], v.text) {
			return true
		}
	}
	return false
}
