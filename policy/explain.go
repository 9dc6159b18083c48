package policy

import (
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/inspect"
	"sttwall/reason"
)

// Explanation says how a packet is decided, step by step.
type Explanation struct {
	Tenant   string   // how its tenant was found
	Claim    string   // by which claim: "context_ids 0x1000-0x1fff", "datapaths 7"; "" if nobody has one
	Bindings []string // what of its claims is declared in anti_spoof, and for whom
	Rules    []RuleStep
	Default  string // what follows where no rule matched; "" if one did
	Decision Decision

	tried []int32 // the indexes of Rules in Policy.rules
}

// RuleStep is one rule that was tried.
type RuleStep struct {
	Rule      string // "tenant/rule"
	Pattern   string // of a temporary rule, which is in no file; else ""
	File      string
	Line      int
	Matched   bool
	Condition string // the first condition that failed: the attribute's name
	Want      string // as it stands in the file; "" if it is not written there
	Got       string // what the packet shows
}

// Explain decides about a packet as [Policy.Evaluate] does, and says how. It is
// for people: it takes its time and memory.
func (p *Policy) Explain(k *Packet) *Explanation {
	x := p.explain(k)
	for i := range x.Rules {
		if s := &x.Rules[i]; !s.Matched {
			s.Want = p.attributeText(x.tried[i], s.Condition)
		}
	}
	return x
}

// explain is Explain without what stands in the file.
func (p *Policy) explain(k *Packet) *Explanation {
	peek := *k
	peek.Peek = true
	x := &Explanation{Decision: p.Evaluate(&peek)}
	d, found := p.Find(k.ContextID)
	if d.TenantIndex < 0 {
		x.Tenant = fmt.Sprintf("no tenant claims context ID 0x%x", k.ContextID)
		x.Default = "settings.default_action: " + p.settings.DefaultAction.String()
		return x
	}
	t := &p.tenants[d.TenantIndex]
	x.Tenant, x.Claim = p.explainTenant(k.ContextID, t), p.claimOn(k.ContextID, d.TenantIndex)
	if !found {
		x.Default = "the 9 top bits of an OVN context ID are 0: " + d.Reason.String()
		return x
	}
	admitted := p.Admit(&peek, &d)
	if d.Reason == reason.TenantEndpoint {
		x.Default = fmt.Sprintf("the outer source %s is not in the tenant's endpoints: %s", k.From, d.Reason)
		return x
	}
	if t.AntiSpoof != nil {
		x.Bindings = t.AntiSpoof.explain(&peek)
	}
	if !admitted {
		x.Default = "what the packet claims is declared for others: " + d.Reason.String()
		return x
	}
	c := &peek.check
	c.begin(p, t, &peek)
	if p.explainList(c, &p.first, x) || p.explainList(c, &p.before, x) {
		return x
	}
	if t.neighbors && isNeighborDiscovery(k.Frame) {
		x.Default = "neighbour discovery passes (neighbor_discovery = \"pass\")"
		return x
	}
	if p.explainList(c, &t.rules, x) || p.explainList(c, &p.after, x) {
		return x
	}
	if c.later {
		x.Default = "no rule that names later fragments matches: this one passes if its first fragment did"
		return x
	}
	x.Default = "default_action of the tenant: " + t.DefaultAction.String()
	return x
}

func (p *Policy) explainTenant(id uint64, t *tenant) string {
	layout := ""
	if t.OVN {
		layout = fmt.Sprintf(" (OVN: datapath %d, ingress port %d, egress port %d)", OVNDatapath(id), OVNIngress(id), OVNEgress(id))
	}
	mode := ""
	if t.Audit {
		mode = ", in audit mode"
	}
	return fmt.Sprintf("context ID 0x%x%s is tenant %s%s", id, layout, t.Name, mode)
}

// claimOn returns the claim by which a tenant has the context ID, as far as no more
// specific one lies in it.
func (p *Policy) claimOn(id uint64, tenant int32) string {
	_, wide := p.contexts.find(id)
	byDatapath := wide && p.datapaths.find(id) >= 0
	for i, of := range p.contexts.tenant {
		if lo, hi := p.contexts.lo[i], p.contexts.hi[i]; of == tenant && lo <= id && id <= hi && !byDatapath {
			return "context_ids " + spanText("0x%x", lo, hi)
		}
	}
	datapath := OVNDatapath(id)
	for i, of := range p.datapaths.tenant {
		if lo, hi := p.datapaths.lo[i], p.datapaths.hi[i]; of == tenant && lo <= datapath && datapath <= hi {
			return "datapaths " + spanText("%d", uint64(lo), uint64(hi))
		}
	}
	return ""
}

func spanText(format string, lo, hi uint64) string {
	if lo == hi {
		return fmt.Sprintf(format, lo)
	}
	return fmt.Sprintf(format+"-"+format, lo, hi)
}

// explainList goes through a list and reports whether a rule matched.
func (p *Policy) explainList(c *check, list *ruleList, x *Explanation) bool {
	c.first = list.start
	for i := list.start; i < list.end; i++ {
		r := &p.rules[i]
		step := RuleStep{Rule: r.name, File: p.source.filename, Line: int(r.at.line)}
		if t := r.temporary(); t != nil {
			step.Pattern, step.File, step.Line = t.pattern.Text, "", 0
		}
		step.Condition, step.Got = r.firstFailure(c)
		step.Matched = step.Condition == ""
		x.Rules, x.tried = append(x.Rules, step), append(x.tried, i)
		if step.Matched {
			return true
		}
	}
	return false
}

// firstFailure returns the attribute of the first condition that does not hold,
// in the order of the reference, and what the packet shows; "" if all hold.
func (r *rule) firstFailure(c *check) (attribute, got string) {
	f, k := c.packet.Frame, &c.key
	if t := r.temporary(); t != nil {
		switch failure := t.failure(c); failure {
		case "tenant":
			return failure, c.tenant.Name
		case "context_id":
			return failure, fmt.Sprintf("0x%x", c.packet.ContextID)
		case "time":
			return failure, "of a later time"
		}
	}
	if c.later && !r.namesLater() {
		return "fragment", "later"
	}
	if r.source != nil && !r.source.Contains(k.Family, k.Src) {
		return "source", addressText(k.Family, f.Src.String())
	}
	if r.destination != nil && !r.destination.Contains(k.Family, k.Dst) {
		return "destination", addressText(k.Family, f.Dst.String())
	}
	matched := false
	for i := range r.services {
		matched = matched || r.services[i].matches(k, f)
	}
	// Where ethertype or arp_operation stand for services, they are what failed.
	if !matched && (r.more == nil || !r.more.noServices) {
		return "services", serviceText(f)
	}
	if r.more == nil {
		return "", ""
	}
	return r.more.firstFailure(c)
}

func (m *conditions) firstFailure(c *check) (attribute, got string) {
	f, id := c.packet.Frame, c.packet.ContextID
	vlan, pcp := outerTag(f)
	ports := func(s spans, v uint64) bool { return s == nil || c.tenant.OVN && s.contains(v) }
	for _, test := range []struct {
		attribute string
		holds     bool
		got       string
	}{
		{"source_mac", m.sourceMAC.contains(macNumber(f.EthSrc)), macText(f.EthSrc)},
		{"destination_mac", m.destinationMAC.contains(macNumber(f.EthDst)), macText(f.EthDst)},
		{"vlan", m.vlan.contains(vlan), tagText(vlan, noVLAN)},
		{"pcp", m.pcp.contains(pcp), tagText(pcp, untaggedPCP)},
		{"ethertype", m.etherTypes.contains(uint64(f.EtherType)), fmt.Sprintf("0x%04x", f.EtherType)},
		{"arp_operation", m.arpOperations == nil || isARP(f) && m.arpOperations.contains(uint64(f.ARPOperation)), arpText(f)},
		{"tcp_flags", m.flagMask == 0 || f.HasTCP && f.TCPFlags&m.flagMask == m.flagIs, flagText(f)},
		{"fragment", m.fragments == 0 || f.IP != 0 && m.fragments&fragmentOf(f) != 0, fragmentText(f)},
		{"from_endpoint", m.from == nil || contains(m.from, c.packet.From), c.packet.From.String()},
		{"to_endpoint", m.to == nil || contains(m.to, c.packet.To), c.packet.To.String()},
		{"datapath", ports(m.datapath, uint64(OVNDatapath(id))), fmt.Sprint(OVNDatapath(id))},
		{"ingress_port", ports(m.ingress, uint64(OVNIngress(id))), fmt.Sprint(OVNIngress(id))},
		{"egress_port", ports(m.egress, uint64(OVNEgress(id))), fmt.Sprint(OVNEgress(id))},
	} {
		if !test.holds {
			return test.attribute, test.got
		}
	}
	if m.times != nil && !m.times.contains(c.packet.Wall) {
		return "time", m.times.timeText(c.packet.Wall)
	}
	return "", ""
}

func addressText(family uint8, address string) string {
	if family == 0 {
		return "a frame without addresses"
	}
	return address
}

func serviceText(f *inspect.Frame) string {
	switch {
	case f.IP == 0:
		return fmt.Sprintf("ethertype/0x%04x", f.EtherType)
	case f.HasTCP:
		return fmt.Sprintf("tcp/%d from port %d, flags %s", f.DstPort, f.SrcPort, flagText(f))
	case f.HasPorts && f.Protocol == inspect.ProtocolUDP:
		return fmt.Sprintf("udp/%d from port %d", f.DstPort, f.SrcPort)
	case f.HasPorts:
		return fmt.Sprintf("protocol/%d to port %d from port %d", f.Protocol, f.DstPort, f.SrcPort)
	case f.HasICMP && f.Protocol == inspect.ProtocolICMP:
		return fmt.Sprintf("icmp/%d/%d", f.ICMPType, f.ICMPCode)
	case f.HasICMP:
		return fmt.Sprintf("icmpv6/%d/%d", f.ICMPType, f.ICMPCode)
	case f.Fragmented:
		return fmt.Sprintf("protocol/%d, a later fragment without ports", f.Protocol)
	}
	return fmt.Sprintf("protocol/%d", f.Protocol)
}

func macText(m [6]byte) string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

func tagText(v, none uint64) string {
	if v == none {
		return "none"
	}
	return fmt.Sprint(v)
}

func arpText(f *inspect.Frame) string {
	if !isARP(f) {
		return "no ARP"
	}
	return fmt.Sprint(f.ARPOperation)
}

func flagText(f *inspect.Frame) string {
	if !f.HasTCP {
		return "no TCP"
	}
	var set []string
	for i, w := range tcpFlagWords {
		if f.TCPFlags&(1<<i) != 0 {
			set = append(set, w)
		}
	}
	if set == nil {
		return "none"
	}
	return strings.Join(set, ",")
}

func fragmentText(f *inspect.Frame) string {
	switch {
	case f.IP == 0:
		return "no IP"
	case fragmentOf(f) == fragmentWhole:
		return "whole"
	case fragmentOf(f) == fragmentFirst:
		return "first"
	}
	return "later"
}

// attributeText returns the right side of an attribute of a rule as it stands in
// the file.
func (p *Policy) attributeText(rule int32, attribute string) string {
	if t := p.rules[rule].temporary(); t != nil {
		switch attribute {
		case "tenant":
			return t.pattern.Tenant
		case "context_id":
			return fmt.Sprintf("0x%x", t.pattern.Context)
		case "time":
			return "until " + time.Unix(t.Expires, 0).UTC().Format(time.RFC3339)
		}
	}
	if m := p.rules[rule].more; attribute == "time" && m != nil && m.times != nil {
		return m.times.String() // blocks, not an attribute
	}
	text, filename, _ := p.RuleText(rule)
	block := quickRule([]byte(text), filename, hcl.InitialPos)
	if block == nil {
		file, diags := hclsyntax.ParseConfig([]byte(text), filename, hcl.InitialPos)
		body, ok := file.Body.(*hclsyntax.Body)
		if diags.HasErrors() || !ok || len(body.Blocks) != 1 {
			return ""
		}
		block = body.Blocks[0]
	}
	a := block.Body.Attributes[attribute]
	if a == nil {
		return ""
	}
	return clip(string(a.Expr.Range().SliceBytes([]byte(text))))
}
