package policy

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"sttwall/inspect"
	"sttwall/policy/analyze"
	"sttwall/policy/classify"
	"sttwall/policy/space"
)

// Lint looks for rules that do not do what they seem to do, see [analyze.Lint],
// and for defaults that gateways would not survive.
func (p *Policy) Lint() []analyze.Finding {
	return append(analyze.Lint(p.lists(byLayout), analyze.Budget{}), p.gatewayFindings()...)
}

// Compare says which packets the two policies decide differently; see
// [analyze.Compare].
func Compare(old, new *Policy) analyze.Report {
	form := byLayout
	if mixed(old, new) || old.settings.DefaultAction != new.settings.DefaultAction && len(old.datapaths.tenant)+len(new.datapaths.tenant) > 0 {
		form = inParts
	}
	r := analyze.Compare(old.analyzed(form), new.analyzed(form), analyze.Budget{})
	// Where a tenant comes or goes, the classes of first fragments say it.
	follow := func(a, b analyze.Decision) bool { return a.Rule.Name == laterName && b.Tenant == "" }
	r.Changes = slices.DeleteFunc(r.Changes, func(c analyze.Change) bool { return follow(c.Old, c.New) || follow(c.New, c.Old) })
	return r
}

// Uncompared names what differs between two policies and decides about packets in
// ways that [Compare] does not look at: "settings.endpoints", "tcp_loose of tenant
// acme".
func Uncompared(old, new *Policy) (out []string) {
	a, b := &old.settings, &new.settings
	for _, s := range [...]struct {
		name     string
		old, new any
	}{
		{"stt_ports", a.STTPorts, b.STTPorts}, {"endpoints", [2]any{a.Endpoints, a.BoundEndpoints}, [2]any{b.Endpoints, b.BoundEndpoints}}, {"receivers", a.Receivers, b.Receivers},
		{"other_tunnels", a.OtherTunnels, b.OtherTunnels}, {"only_stt", a.OnlySTT, b.OnlySTT},
		{"forward", a.Forward, b.Forward}, {"mss_floor", a.MSSFloor, b.MSSFloor},
		{"flows", a.Flows, b.Flows}, {"bindings", a.Bindings, b.Bindings}, {"reject_rate", a.RejectRate, b.RejectRate}, {"endpoint_rate", a.EndpointRate, b.EndpointRate}, {"timeouts", a.Timeouts, b.Timeouts},
	} {
		if !reflect.DeepEqual(s.old, s.new) {
			out = append(out, "settings."+s.name)
		}
	}
	names := make(map[string]*Tenant)
	for i := range old.tenants {
		names[old.tenants[i].Name] = &old.tenants[i].Tenant
	}
	for i := range new.tenants {
		b := &new.tenants[i].Tenant
		a := names[b.Name]
		if a == nil {
			continue
		}
		for _, t := range [...]struct {
			name     string
			old, new any
		}{
			{"endpoints", a.Endpoints, b.Endpoints}, {"pairing", a.AnyEndpoint, b.AnyEndpoint}, {"tcp_loose", a.TCPLoose, b.TCPLoose},
			{"limits", a.Limits, b.Limits}, {"anti_spoof", a.AntiSpoof, b.AntiSpoof},
		} {
			if !reflect.DeepEqual(t.old, t.new) {
				out = append(out, t.name+" of tenant "+b.Name)
			}
		}
	}
	return out
}

func (p *Policy) analyzed(form contextForm) analyze.Policy {
	unclaimed := p.settings.DefaultAction
	if unclaimed == Reject {
		unclaimed = Drop // nobody is known who could be answered
	}
	// A list for no context ID would be taken for one for all of them.
	lists := slices.DeleteFunc(p.lists(form), func(l analyze.List) bool { return len(l.Contexts) == 0 })
	return analyze.Policy{Lists: lists, Unclaimed: p.defaultVerdict(unclaimed, false), Contexts: every(form)}
}

// defaultVerdict is what a default means. Unlike a rule it accepts packets of TCP
// and answers that belong to no flow, too.
func (p *Policy) defaultVerdict(a Action, audit bool) analyze.Verdict {
	if a == Accept {
		return p.verdict(a, "in a flow or not", audit)
	}
	return p.verdict(a, "", audit)
}

func analyzedAction(a Action) analyze.Action {
	switch a {
	case Accept:
		return analyze.Accept
	case Reject:
		return analyze.Reject
	}
	return analyze.Drop
}

// lists returns the rules of each tenant, in the order in which they are tried,
// as sets of packets.
func (p *Policy) lists(form contextForm) []analyze.List {
	lists := make([]analyze.List, len(p.tenants))
	// What a rule for all tenants means depends on the mode of the tenant and on its
	// layout.
	type kind struct{ audit, ovn bool }
	before, after := map[kind][]analyze.Rule{}, map[kind][]analyze.Rule{}
	for i := range p.tenants {
		t := &p.tenants[i]
		k := kind{t.Audit, t.OVN}
		if _, known := before[k]; !known {
			before[k], after[k] = p.analyzedRules(&p.before, t, form), p.analyzedRules(&p.after, t, form)
			for _, shared := range [...][]analyze.Rule{before[k], after[k]} {
				for j := range shared {
					shared[j].Shared = true
				}
			}
		}
		l := &lists[i]
		l.Tenant, l.Contexts = t.Name, p.contextsOf(int32(i), form)
		l.Default = p.defaultVerdict(t.DefaultAction, t.Audit)
		l.Rules = append(l.Rules, before[k]...)
		if t.neighbors {
			l.Rules = append(l.Rules, neighborRule())
		}
		l.Rules = append(l.Rules, p.analyzedRules(&t.rules, t, form)...)
		l.Rules = append(l.Rules, after[k]...)
		l.Rules = append(l.Rules, laterRule())
	}
	return lists
}

func neighborRule() analyze.Rule {
	arp := space.Product{}.With(space.Family, space.Family.Values(0)).With(space.Kind, space.Kind.Values(otherKind|inspect.EtherTypeARP))
	nd := space.Product{}.With(space.Family, space.Family.Values(6)).With(space.Kind, space.Kind.Values(inspect.ProtocolICMPv6)).
		With(space.DstPort, space.DstPort.Between(ndFirst<<8, ndLast<<8|0xff)).With(space.Fragment, space.Fragment.Values(space.Whole))
	return analyze.Rule{Name: "neighbour discovery", Verdict: analyze.Verdict{Action: analyze.Accept}, Products: []space.Product{arp, nd}, Implicit: true}
}

const laterName = "later fragments"

// laterRule is for later fragments of which no rule decides: they follow their
// first one, which is another packet.
func laterRule() analyze.Rule {
	return analyze.Rule{
		Name: laterName, Implicit: true,
		Verdict: analyze.Verdict{Action: analyze.Drop, Effect: "unless the first fragment passed"},
		Products: []space.Product{space.Product{}.With(space.Family, space.Family.Values(4, 6)).
			With(space.Fragment, space.Fragment.Values(space.LaterFragment))},
	}
}

func (p *Policy) verdict(a Action, effect string, audit bool) analyze.Verdict {
	if audit && a != Accept {
		return analyze.Verdict{Action: analyze.Accept, Effect: strings.TrimPrefix(effect+", audit: else "+a.String(), ", ")}
	}
	return analyze.Verdict{Action: analyzedAction(a), Effect: effect}
}

func (p *Policy) analyzedRules(list *ruleList, t *tenant, form contextForm) []analyze.Rule {
	out := make([]analyze.Rule, 0, list.end-list.start)
	for i := list.start; i < list.end; i++ {
		r := &p.rules[i]
		x := analyze.Rule{
			Name: r.name, At: p.headerRange(r.at),
			Verdict:  p.verdict(r.action, p.effect(r), r.audits(t)),
			Products: r.products(),
		}
		if form == inParts && !t.OVN && r.namesParts() {
			x.Products = nil
		}
		var conditions []string
		if r.bucket >= 0 && !r.overDrops {
			conditions = append(conditions, p.limitText(r))
		}
		if r.more != nil && r.more.times != nil {
			conditions = append(conditions, r.more.times.String())
		}
		x.Partial, x.Condition = conditions != nil, strings.Join(conditions, ", ")
		out = append(out, x)
	}
	return out
}

// limitText says under which condition a rule with a limit matches.
func (p *Policy) limitText(r *rule) string {
	rate := p.rates[r.bucket]
	return fmt.Sprintf("within the limit of %s: %s, burst %d", r.name, rate, rate.Burst)
}

// effect says what being decided by the rule means beside its action.
func (p *Policy) effect(r *rule) string {
	var parts []string
	if r.log {
		parts = append(parts, "log")
	}
	if r.stateless {
		parts = append(parts, "stateless")
	}
	if r.bucket >= 0 {
		text := p.limitText(r) // a bucket of its own
		if r.overDrops {
			text += ", else dropped"
		}
		parts = append(parts, text)
	}
	if s := r.set; s != nil {
		if s.HasDSCP {
			parts = append(parts, fmt.Sprintf("set DSCP %d", s.DSCP))
		}
		if s.MSSMax > 0 {
			parts = append(parts, fmt.Sprintf("set MSS at most %d", s.MSSMax))
		}
	}
	return strings.Join(parts, ", ")
}

// products returns the packets that the rule matches, as far as sets say it.
func (r *rule) products() (out []space.Product) {
	base := space.Product{}
	if r.more != nil {
		base = r.more.product()
	}
	if r.more == nil || r.more.fragments == 0 {
		base[space.Fragment] = space.NotLater
	}
	for i := range r.services {
		s := &r.services[i]
		p := base.With(space.SrcPort, space.SrcPort.Between(uint64(s.box.SrcLo), uint64(s.box.SrcHi))).
			With(space.DstPort, space.DstPort.Between(uint64(s.box.DstLo), uint64(s.box.DstHi)))
		if s.flagMask != 0 {
			p[space.TCPFlags] = p[space.TCPFlags].Intersect(space.MaskedFlags(s.flagMask, s.flagIs))
		}
		for _, family := range [...]uint64{4, 6, 0} {
			if q, ok := r.ofFamily(p, s, family); ok {
				out = append(out, q)
			}
		}
	}
	return out
}

// ofFamily narrows a product to a family: its kinds, ethertypes and addresses.
func (r *rule) ofFamily(p space.Product, s *service, family uint64) (space.Product, bool) {
	lo, hi := uint64(s.box.KindLo), uint64(s.box.KindHi)
	if family == 0 {
		lo = max(lo, otherKind)
		if r.source != nil || r.destination != nil {
			// Only ARP has addresses without being IP.
			lo, hi = max(lo, otherKind|inspect.EtherTypeARP), min(hi, otherKind|inspect.EtherTypeARP)
		}
	} else {
		hi = min(hi, 255)
	}
	if lo > hi || family == 0 && r.more != nil && r.more.fragments != 0 {
		return p, false
	}
	p[space.Kind] = space.Kind.Between(lo, hi)
	p[space.Family] = space.Family.Values(family)
	if r.more != nil && r.more.etherTypes != nil {
		switch family {
		case 4:
			if !r.more.etherTypes.contains(inspect.EtherTypeIPv4) {
				return p, false
			}
		case 6:
			if !r.more.etherTypes.contains(inspect.EtherTypeIPv6) {
				return p, false
			}
		default:
			kinds := make([]space.Range, len(r.more.etherTypes))
			for i, e := range r.more.etherTypes {
				kinds[i] = space.Range{Lo: space.V(otherKind | e.lo), Hi: space.V(otherKind | e.hi)}
			}
			p[space.Kind] = p[space.Kind].Intersect(space.Kind.Of(kinds...))
		}
	}
	for f, set := range map[space.Field]*classify.Addresses{space.Src: r.source, space.Dst: r.destination} {
		if set != nil {
			p[f] = addressSet(f, set, family)
		}
	}
	return p, !p.IsEmpty()
}

func addressSet(f space.Field, set *classify.Addresses, family uint64) space.Set {
	var ranges []space.Range
	if family == 6 {
		for _, r := range set.V6 {
			ranges = append(ranges, space.Range{Lo: space.Value{Hi: r.Lo[0], Lo: r.Lo[1]}, Hi: space.Value{Hi: r.Hi[0], Lo: r.Hi[1]}})
		}
	} else {
		for _, r := range set.V4 {
			ranges = append(ranges, space.Range{Lo: space.V(uint64(r.Lo)), Hi: space.V(uint64(r.Hi))})
		}
	}
	if ranges == nil {
		return space.Nothing()
	}
	return f.Of(ranges...)
}

// endpointSet returns outer addresses as [space.From] and [space.To] have
// them.
func endpointSet(f space.Field, set *classify.Addresses) space.Set {
	const mapped = 0xffff << 32
	var ranges []space.Range
	for _, r := range set.V4 {
		ranges = append(ranges, space.Range{Lo: space.V(mapped | uint64(r.Lo)), Hi: space.V(mapped | uint64(r.Hi))})
	}
	for _, r := range set.V6 {
		ranges = append(ranges, space.Range{Lo: space.Value{Hi: r.Lo[0], Lo: r.Lo[1]}, Hi: space.Value{Hi: r.Hi[0], Lo: r.Hi[1]}})
	}
	return f.Of(ranges...)
}

// product returns the packets for which the conditions hold, but for services,
// ethertypes and times.
func (m *conditions) product() space.Product {
	var p space.Product
	for f, s := range map[space.Field]spans{
		space.EthSrc: m.sourceMAC, space.EthDst: m.destinationMAC, space.VLAN: m.vlan, space.PCP: m.pcp,
		space.ARPOperation: m.arpOperations, space.Datapath: m.datapath, space.Ingress: m.ingress, space.Egress: m.egress,
	} {
		if s == nil {
			continue
		}
		ranges := make([]space.Range, len(s))
		for i, r := range s {
			ranges[i] = space.Range{Lo: space.V(r.lo), Hi: space.V(r.hi)}
		}
		p[f] = space.Nothing()
		if len(ranges) > 0 {
			p[f] = f.Of(ranges...)
		}
	}
	if m.flagMask != 0 {
		p[space.TCPFlags] = space.MaskedFlags(m.flagMask, m.flagIs)
	}
	if m.fragments != 0 {
		var kinds []uint64
		for i, f := range []fragmentSet{fragmentWhole, fragmentFirst, fragmentLater} {
			if m.fragments&f != 0 {
				kinds = append(kinds, uint64(i))
			}
		}
		p[space.Fragment] = space.Fragment.Values(kinds...)
	}
	if m.from != nil {
		p[space.From] = endpointSet(space.From, m.from)
	}
	if m.to != nil {
		p[space.To] = endpointSet(space.To, m.to)
	}
	return p
}

// headerRange is the range of a rule's header.
func (p *Policy) headerRange(at place) hcl.Range {
	start := hcl.Pos{Line: int(at.line), Column: int(at.column), Byte: int(at.start)}
	return hcl.Range{Filename: p.source.filename, Start: start, End: start}
}

// ExampleText writes an example packet as packet descriptions have it, as far as
// they can.
func ExampleText(x *analyze.Example) string {
	var b strings.Builder
	v := func(f space.Field) uint64 { return x[f].Lo }
	fmt.Fprintf(&b, "context 0x%x: ", v(space.Context))
	if d := v(space.Datapath); d != space.NoDatapath {
		b.Reset()
		fmt.Fprintf(&b, "context 0x%x: ", v(space.Ingress)<<(ovnDatapathBits+ovnEgressBits)|v(space.Egress)<<ovnDatapathBits|d)
	}
	src, dst := x[space.Src].IPv4(), x[space.Dst].IPv4()
	if v(space.Family) == 6 {
		src, dst = x[space.Src].IPv6(), x[space.Dst].IPv6()
	}
	kind := v(space.Kind)
	switch {
	case kind == otherKind|inspect.EtherTypeARP:
		word := "request"
		if v(space.ARPOperation) == 2 {
			word = "reply"
		}
		fmt.Fprintf(&b, "arp %s %s > %s", word, src, dst)
	case kind >= otherKind:
		fmt.Fprintf(&b, "ethertype 0x%04x", kind&0xffff)
	case hasPorts(uint8(kind)) && v(space.DstPort) != space.NoPort:
		name := map[uint64]string{inspect.ProtocolTCP: "tcp", inspect.ProtocolUDP: "udp", inspect.ProtocolSCTP: "sctp"}[kind]
		fmt.Fprintf(&b, "%s %s > %s", name, netip.AddrPortFrom(src, uint16(v(space.SrcPort))), netip.AddrPortFrom(dst, uint16(v(space.DstPort))))
	case icmpTypes[uint8(kind)] != nil && v(space.DstPort) != space.NoPort:
		name := map[uint64]string{inspect.ProtocolICMP: "icmp", inspect.ProtocolICMPv6: "icmpv6"}[kind]
		fmt.Fprintf(&b, "%s %s > %s %d/%d", name, src, dst, v(space.DstPort)>>8, v(space.DstPort)&0xff)
	default:
		fmt.Fprintf(&b, "protocol %d %s > %s", kind, src, dst)
	}
	if flags := v(space.TCPFlags); flags != space.NoFlags && kind == inspect.ProtocolTCP {
		for i, w := range tcpFlagWords {
			if flags&(1<<i) != 0 {
				b.WriteString(" " + w)
			}
		}
	}
	switch v(space.Fragment) {
	case space.FirstFragment:
		b.WriteString(" frag first")
	case space.LaterFragment:
		b.WriteString(" frag later")
	}
	if pcp := v(space.PCP); pcp != space.NoPriority {
		fmt.Fprintf(&b, " vlan %d", v(space.VLAN)) // 0: a priority tag
		if pcp != 0 {
			fmt.Fprintf(&b, " pcp %d", pcp)
		}
	}
	described := uint64(space.DescribedDst)
	if kind == otherKind|inspect.EtherTypeARP && v(space.ARPOperation) != 2 {
		described = space.Broadcast
	}
	if v(space.EthSrc) != space.DescribedSrc || v(space.EthDst) != described {
		fmt.Fprintf(&b, " mac %s > %s", macText(x[space.EthSrc].MAC()), macText(x[space.EthDst].MAC()))
	}
	if from := x[space.From]; from != space.TypicalFrom {
		fmt.Fprintf(&b, " from %s", from.IPv6().Unmap())
	}
	if to := x[space.To]; to != space.TypicalTo {
		fmt.Fprintf(&b, " to %s", to.IPv6().Unmap())
	}
	return b.String()
}
