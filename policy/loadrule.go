package policy

import (
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/inspect"
	"sttwall/limit"
	"sttwall/rewrite"
)

// ruleBlocks compiles the rule blocks of a body, a tenant's or before_tenants'.
func (l *loader) ruleBlocks(body *hclsyntax.Body, owner string, ovn bool) ruleList {
	list := ruleList{start: int32(len(l.policy.rules))}
	names := make(map[string]hcl.Range)
	for _, b := range body.Blocks {
		if b.Type != "rule" {
			continue
		}
		name, ok := l.name(b)
		if ok {
			l.declare(names, "rule", name, b.LabelRanges[0])
		}
		if l.pieces != nil {
			if b = l.pieces.whole(b); b == nil {
				continue // its syntax is wrong
			}
		}
		r := l.rule(b, ovn)
		r.name = owner + "/" + name
		l.policy.rules = append(l.policy.rules, r)
	}
	list.end = int32(len(l.policy.rules))
	return list
}

// rule compiles one rule block.
func (l *loader) rule(b *hclsyntax.Block, ovn bool) rule {
	l.check(b.Body, b.DefRange(), ruleSchema)
	r := rule{verdict: verdict{bucket: -1}, at: l.place(b)}
	var (
		m        conditions
		hasMore  bool
		services *hclsyntax.Attribute
	)
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "action":
			r.action = l.action(a)
		case "source":
			r.source = l.addresses(a)
		case "destination":
			r.destination = l.addresses(a)
		case "services":
			services, r.services = a, l.serviceList(a)
		case "log":
			r.log = l.truth(a)
		case "state":
			r.stateless = l.choice(a, []string{"stateful", "stateless"}, nil) == 1
		case "mode":
			r.mode = [...]mode{modeInherit, modeEnforce, modeAudit}[1+l.choice(a, modeWords, mistakenModes)]
		default:
			hasMore = l.condition(a, &m, ovn) || hasMore
		}
	}
	l.ruleParts(b, &r, &m)
	hasMore = hasMore || m.times != nil
	l.defaultServices(&r, &m, services)
	if m.noServices && l.holdsServices(b.DefRange(), len(r.services)) {
		l.held += len(r.services)
	}
	for _, s := range r.services {
		m.flaggedServices = m.flaggedServices || s.flagMask != 0
	}
	if hasMore || m.flaggedServices {
		r.more = &m
	}
	return r
}

var (
	modeWords     = []string{"enforce", "audit"}
	mistakenModes = map[string]string{"monitor": "audit", "detect": "audit", "permissive": "audit", "enforcing": "enforce"}
)

// ruleParts compiles the blocks inside a rule.
func (l *loader) ruleParts(b *hclsyntax.Block, r *rule, m *conditions) {
	if p := l.single(b.Body, limitSchema); p != nil {
		l.limit(p, r)
	}
	if p := l.single(b.Body, setSchema); p != nil {
		l.set(p, r)
		if r.action != Accept {
			l.errorf(p.DefRange(), "Nothing to set", `Expected set only with action = "accept"; what is dropped is not changed.`)
		}
	}
	for _, p := range b.Body.Blocks {
		if p.Type != "time" {
			continue
		}
		l.noLabel(p)
		if m.times == nil {
			m.times = new(timeCondition)
		}
		if w, ok := l.timeWindow(p); ok {
			m.times.windows = append(m.times.windows, w)
		}
	}
	if m.times != nil {
		m.times = l.sharedTimes(m.times)
	}
}

// sharedTimes returns what rules with the same windows have together: all that
// there are are looked at once a second.
func (l *loader) sharedTimes(c *timeCondition) *timeCondition {
	key := c.String()
	if known := l.times[key]; known != nil {
		return known
	}
	l.times[key] = c
	l.policy.windows = append(l.policy.windows, c)
	return c
}

// defaultServices says what a rule without services is about: any IP packet, or
// what ethertype and arp_operation name.
func (l *loader) defaultServices(r *rule, m *conditions, services *hclsyntax.Attribute) {
	if services == nil {
		m.noServices = m.etherTypes != nil || m.arpOperations != nil
		switch {
		case m.etherTypes != nil:
			r.services = ofEtherTypes(m.etherTypes)
		case m.arpOperations != nil:
			r.services = []service{ofEtherType(inspect.EtherTypeARP)}
		default:
			r.services = []service{anyPacket()}
		}
		return
	}
	if r.source == nil && r.destination == nil {
		return
	}
	for _, s := range r.services {
		if k := s.box.KindLo; k >= otherKind && k != otherKind|inspect.EtherTypeARP {
			l.errorf(services.Expr.Range(), "Service without addresses",
				"Expected no source or destination in a rule with an ethertype service: such frames have no addresses. Write a rule of its own for \"ethertype/0x%04x\".", k&0xffff)
			return
		}
	}
}

// condition compiles one of the rarer conditions.
func (l *loader) condition(a *hclsyntax.Attribute, m *conditions, ovn bool) bool {
	switch a.Name {
	case "source_mac":
		m.sourceMAC = l.macs(a)
	case "destination_mac":
		m.destinationMAC = l.macs(a)
	case "vlan":
		m.vlan = l.numbers(a, &numberList{what: "VLAN IDs from 1 to 4095, ranges of them, or \"none\"", example: `[10, "100-199", "none"]`, least: noVLAN + 1, limit: 4095,
			tooLow: "VLAN ID 0 is that of a priority tag, which belongs to no VLAN: \"none\" matches it, as it does untagged frames.",
			words:  map[string]span{"none": {noVLAN, noVLAN}}})
	case "pcp":
		m.pcp = l.numbers(a, &numberList{what: "priorities from 0 to 7 and ranges of them", example: `[0, "5-7"]`, limit: 7, top: untaggedPCP})
	case "ethertype":
		m.etherTypes = l.numbers(a, &numberList{what: `"ipv4", "ipv6", "arp", and ethertypes from 0x0600`, example: `["ipv4", "arp", "0x88cc"]`, least: leastEtherType, limit: 0xffff, hex: true,
			words: map[string]span{"ipv4": {inspect.EtherTypeIPv4, inspect.EtherTypeIPv4}, "ipv6": {inspect.EtherTypeIPv6, inspect.EtherTypeIPv6}, "arp": {inspect.EtherTypeARP, inspect.EtherTypeARP}}})
	case "arp_operation":
		m.arpOperations = l.numbers(a, &numberList{what: `"request", "reply", and numbers to 65535`, example: `["request"]`, limit: 0xffff,
			words: map[string]span{"request": {1, 1}, "reply": {2, 2}}})
		if m.arpOperations == nil {
			m.arpOperations = spans{{0, 0xffff}}
		}
	case "tcp_flags":
		m.flagMask, m.flagIs = l.tcpFlags(a)
	case "fragment":
		m.fragments = l.fragmentList(a)
	case "from_endpoint":
		m.from = l.endpointSet(a)
	case "to_endpoint":
		m.to = l.endpointSet(a)
	case "datapath", "ingress_port", "egress_port":
		if !ovn {
			l.errorf(a.NameRange, "No OVN layout", `Expected %s only in a tenant with context_layout = "ovn"; elsewhere a context ID has no parts.`, a.Name)
			return false
		}
		switch a.Name {
		case "datapath":
			m.datapath = l.numbers(a, &numberList{what: "datapaths from 0 to 16777215 and ranges of them", example: "[7]", limit: 1<<24 - 1})
		case "ingress_port":
			m.ingress = l.numbers(a, &numberList{what: "ports from 0 to 32767 and ranges of them", example: `[3, "8-15"]`, limit: 1<<15 - 1})
		case "egress_port":
			m.egress = l.numbers(a, &numberList{what: "ports from 0 to 65535 and ranges of them", example: `[3, "8-15"]`, limit: 1<<16 - 1})
		}
	default:
		return false // said already
	}
	return true
}

var tcpFlagWords = []string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ae"}

// tcpFlags compiles a list of flags that must be set or, negated, must not.
func (l *loader) tcpFlags(a *hclsyntax.Attribute) (mask, is uint16) {
	const example = `["syn", "!ack"]`
	for _, v := range l.list(a, example, "Leave tcp_flags out to match any.") {
		word, negated := strings.CutPrefix(v.text, "!")
		bit := uint16(0)
		for i, w := range tcpFlagWords {
			if w == word {
				bit = 1 << i
			}
		}
		switch {
		case v.kind != kindString || bit == 0:
			l.errorf(v.at, "Invalid TCP flag", "Expected flags out of %s, as in %s; this is %s.%s", oneOf(tcpFlagWords), example, v.source, didYouMean(word, tcpFlagWords))
		case mask&bit != 0 && (is&bit != 0) == negated:
			l.errorf(v.at, "Contradicting TCP flags", "Expected %q either set or not set; the list says both.", word)
		default:
			mask |= bit
			if !negated {
				is |= bit
			}
		}
	}
	return mask, is
}

func (l *loader) fragmentList(a *hclsyntax.Attribute) fragmentSet {
	words := []string{"whole", "first", "later"}
	var set fragmentSet
	for _, v := range l.list(a, `["whole"]`, "Leave fragment out to match whole packets and first fragments.") {
		known := false
		for i, w := range words {
			if v.kind == kindString && v.text == w {
				set |= 1 << i
				known = true
			}
		}
		if !known {
			l.errorf(v.at, "Invalid fragment", "Expected %s, in quotes; this is %s.%s", oneOf(words), v.source, didYouMean(v.text, words))
		}
	}
	return set
}

// limit compiles a limit block.
func (l *loader) limit(b *hclsyntax.Block, r *rule) {
	errors := l.errors
	l.check(b.Body, b.DefRange(), limitSchema)
	var rate limit.Rate
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "rate":
			burst := rate.Burst
			if rate = l.rate(a); b.Body.Attributes["burst"] != nil {
				rate.Burst = burst
			}
		case "burst":
			rate.Burst = l.number(a, 1, limit.MaxEvents)
		case "over":
			r.overDrops = l.choice(a, []string{"next", "drop"}, map[string]string{"continue": "next", "fall": "next"}) == 1
		}
	}
	if l.errors > errors {
		return
	}
	if err := rate.Validate(); err != nil {
		l.errorf(b.DefRange(), "Invalid limit", "Expected a limit that refills within some years: %s.", err)
		return
	}
	r.bucket = int32(len(l.buckets))
	l.buckets = append(l.buckets, rate)
}

// set compiles a set block.
func (l *loader) set(b *hclsyntax.Block, r *rule) {
	l.check(b.Body, b.DefRange(), setSchema)
	r.set = new(rewrite.Set)
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "dscp":
			r.set.HasDSCP, r.set.DSCP = true, l.dscp(a)
		case "mss_max":
			r.set.MSSMax = uint16(l.number(a, 536, 65535))
		}
	}
	if len(b.Body.Attributes) == 0 {
		l.errorf(b.DefRange(), "Empty set", "Expected dscp or mss_max in set.")
	}
}

// dscpNames are the code points of RFC 2474, 2597, 3246, 5865 and 8622.
var dscpNames = map[string]uint8{
	"cs0": 0, "default": 0, "lephb": 1, "cs1": 8, "af11": 10, "af12": 12, "af13": 14, "cs2": 16, "af21": 18, "af22": 20, "af23": 22,
	"cs3": 24, "af31": 26, "af32": 28, "af33": 30, "cs4": 32, "af41": 34, "af42": 36, "af43": 38,
	"cs5": 40, "va": 44, "ef": 46, "cs6": 48, "cs7": 56,
}

func (l *loader) dscp(a *hclsyntax.Attribute) uint8 {
	v := l.value(a.Expr)
	if n, ok := v.uint(63); ok {
		return uint8(n)
	}
	n, ok := dscpNames[v.text]
	if (v.kind != kindString || !ok) && !v.failed {
		l.errorf(v.at, "Invalid dscp", `Expected a number from 0 to 63 or a name such as "af21" or "ef"; this is %s.%s`, v.source, didYouMean(v.text, names(dscpNames)))
	}
	return n
}

// macs compiles a list of MAC addresses; nil is any.
func (l *loader) macs(a *hclsyntax.Attribute) spans {
	return l.macList(a, `["02:00:00:00:00:01", "52:54:00:00:00:00/24", "broadcast"]`, "Leave "+a.Name+" out to match any.")
}

func (l *loader) macList(a *hclsyntax.Attribute, example, ifEmpty string) spans {
	in, out := spans{}, spans{}
	for _, v := range l.list(a, example, ifEmpty) {
		text, negated := strings.CutPrefix(v.text, "!")
		s, ok := parseMACs(text)
		switch {
		case v.kind != kindString || !ok:
			l.errorf(v.at, "Invalid MAC address", "Expected MAC addresses, as in %s; this is %s.", example, v.source)
		case negated:
			out = append(out, s...)
		default:
			in = append(in, s...)
		}
	}
	in, out = join(in), join(out)
	if len(in) == 0 {
		in = nil
	}
	if len(out) == 0 {
		return in
	}
	return in.without(out, lastMAC)
}
