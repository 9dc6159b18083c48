package policy

import (
	"encoding/binary"
	"net/netip"

	"sttwall/inspect"
	"sttwall/policy/classify"
	"sttwall/reason"
)

// Evaluate decides about a packet as if it were the first of a flow, by
// everything that the rules file says and nothing that was there before:
// [Policy.Find], [Policy.Admit] and [Policy.Decide] in one. The frame must have
// been decoded with [reason.None]. It allocates nothing and may be called from
// any goroutine.
func (p *Policy) Evaluate(k *Packet) Decision {
	var d Decision
	if p.FindInto(k.ContextID, &d) && p.Admit(k, &d) {
		p.Decide(k, &d)
	}
	return d
}

// Find returns the tenant that has the most specific claim on the context ID.
// found is false where the decision is final: no tenant has one, or the ID is
// impossible in the tenant's layout.
func (p *Policy) Find(contextID uint64) (d Decision, found bool) {
	found = p.FindInto(contextID, &d)
	return d, found
}

// FindInto is Find for a decision that the caller has; all of it is reset.
func (p *Policy) FindInto(contextID uint64, d *Decision) (found bool) {
	*d = Decision{}
	d.TenantIndex, d.RuleIndex = -1, -1
	index := p.contexts.exact.find(contextID)
	if index < 0 {
		index = p.tenantOfRange(contextID)
	}
	if index < 0 {
		d.Action = p.settings.DefaultAction
		if d.Action != Accept {
			// Nobody is known who could be answered.
			d.Action, d.Reason = Drop, reason.ContextUnknown
		}
		return false
	}
	t := &p.tenants[index]
	d.Tenant, d.TenantIndex = t.Name, index
	if isReserved(contextID) && t.OVN {
		d.Reason = reason.ContextReserved
		return false
	}
	return true
}

// TenantOf returns the index of the tenant that Find finds, or -1.
func (p *Policy) TenantOf(contextID uint64) int32 {
	index := p.tenantOf(contextID)
	if index >= 0 && isReserved(contextID) && p.tenants[index].OVN {
		return -1
	}
	return index
}

// isReserved reports whether an ID is impossible in the OVN layout.
func isReserved(contextID uint64) bool { return contextID>>ovnBits != 0 }

// tenantOf returns the index of the tenant that has a context ID, or -1.
func (p *Policy) tenantOf(contextID uint64) int32 {
	if index := p.contexts.exact.find(contextID); index >= 0 {
		return index
	}
	return p.tenantOfRange(contextID)
}

// tenantOfRange is tenantOf for an ID that no tenant claims by itself.
func (p *Policy) tenantOfRange(contextID uint64) int32 {
	index, wide := p.contexts.ranges.find(contextID)
	if index < 0 || wide {
		if t := p.datapaths.find(contextID); t >= 0 {
			index = t
		}
	}
	if index < 0 {
		index = p.nobody - 1
	}
	return index
}

// Admit checks whether the tenant's frames may come from the packet's outer
// source, and what the packet claims of its inner source may (see [AntiSpoof] and
// [Packet.Origins]). If not, d becomes a drop, or what audit mode makes of it, and
// only then false is returned where it stays a drop.
func (p *Policy) Admit(k *Packet, d *Decision) bool {
	t := &p.tenants[d.TenantIndex]
	has := t.sources == anySource
	if t.sources == oneSource && k.From.Is4() {
		v := word4(&k.From)
		has = t.endpoint.Lo <= v && v <= t.endpoint.Hi
	} else if !has {
		has = contains(t.endpoints, k.From)
	}
	if !has {
		if d.Refuse(Drop, reason.TenantEndpoint, t.Audit); d.Action != Accept {
			return false
		}
	}
	return t.AntiSpoof == nil || t.admitClaims(k, d)
}

// Refuse makes d a drop or reject for that reason, or in audit mode an accept
// that remembers it. The first refusal is the one that is remembered.
func (d *Decision) Refuse(a Action, why reason.Reason, audit bool) {
	if !audit {
		d.Action, d.Reason = a, why
		d.Audit, d.WouldBe, d.Would = false, Drop, reason.None
		return
	}
	d.Action, d.Reason = Accept, reason.None
	if !d.Audit {
		d.Audit, d.WouldBe, d.Would = true, a, why
	}
}

// Decide tries the rules, and then the default. Of a later fragment of which no
// rule decides, the first one would have to be known: it is refused.
func (p *Policy) Decide(k *Packet, d *Decision) {
	t := &p.tenants[d.TenantIndex]
	switch {
	case p.DecideByRule(k, d):
	case fragmentOf(k.Frame) == fragmentLater:
		d.Refuse(Drop, reason.FragmentFirstMissing, t.Audit)
	case t.DefaultAction == Accept:
		d.Action = Accept
	default:
		d.Refuse(t.DefaultAction, reason.TenantDefault, t.Audit)
	}
}

// DecideByRule tries the rules: temporary ones, before_tenants, neighbour
// discovery, the tenant's, after_tenants. It reports whether one of them
// decides; of later fragments those do that name them, and no others.
func (p *Policy) DecideByRule(k *Packet, d *Decision) bool {
	t := &p.tenants[d.TenantIndex]
	if k.Frame.IP == 4 {
		if decided, sure := p.decideIP4(t, k, d); sure {
			return decided
		}
	}
	c := &k.check
	c.begin(p, t, k)
	if p.first.any() && p.try(c, &p.first, d) || p.before.any() && p.try(c, &p.before, d) {
		return true
	}
	if t.neighbors && isNeighborDiscovery(k.Frame) {
		d.Action, d.Neighbor, d.Stateless = Accept, true, true
		return true
	}
	return t.rules.any() && p.try(c, &t.rules, d) || p.after.any() && p.try(c, &p.after, d)
}

// try looks for the first rule of a list that matches, and decides by it.
func (p *Policy) try(c *check, list *ruleList, d *Decision) bool {
	matcher := c.list(list)
	if matcher == nil {
		return false
	}
	for from := 0; ; {
		i := matcher.First(&c.key, from, c)
		if i < 0 {
			return false
		}
		index := c.index(i)
		r := &p.verdicts[index]
		if r.bucket >= 0 && c.takes(r) && !p.buckets[r.bucket].Take(c.packet.Now, 1) {
			if !r.overDrops {
				from = i + 1
				continue
			}
			d.by(r, index)
			d.Refuse(Drop, reason.RateLimit, r.audits(c.tenant))
			return true
		}
		d.by(r, index)
		d.act(r, c.tenant)
		return true
	}
}

// takes reports whether the packet needs a token of the rule's limit.
func (c *check) takes(r *verdict) bool {
	countsFlows := r.action == Accept && !r.stateless
	return !c.packet.Peek && !(c.packet.BeginsNothing && countsFlows)
}

// by names the rule that decides.
func (d *Decision) by(r *verdict, index int32) {
	d.Rule, d.RuleIndex = r.name, index
	d.Log, d.Stateless = r.log, r.stateless
}

// act does what the rule that decides says.
func (d *Decision) act(r *verdict, t *tenant) {
	switch r.action {
	case Accept:
		d.Action = Accept
	case Drop:
		d.Refuse(Drop, reason.RuleDrop, r.audits(t))
	case Reject:
		d.Refuse(Reject, reason.RuleReject, r.audits(t))
	}
}

// isNeighborDiscovery reports whether the frame is ARP or one of the ICMPv6
// messages of RFC 4861 (types 133 to 137), not in fragments (RFC 6980).
func isNeighborDiscovery(f *inspect.Frame) bool {
	if f.IP == 0 {
		return f.EtherType == inspect.EtherTypeARP
	}
	return f.IP == 6 && f.HasICMP && !f.Fragmented && f.Protocol == inspect.ProtocolICMPv6 &&
		ndFirst <= f.ICMPType && f.ICMPType <= ndLast
}

// fillKey fills what the matcher compares. The protocol addresses of ARP count as
// IPv4 addresses. Numbers are written where they are read, and in the width in which
// they are read: a processor waits where it has to put a value together.
func fillKey(k *classify.Key, f *inspect.Frame) {
	k.Family, k.SrcPort, k.DstPort = f.IP, classify.Absent, classify.Absent
	switch {
	case f.IP != 0:
		k.Kind = uint32(f.Protocol)
	case f.EtherType == inspect.EtherTypeARP:
		k.Family, k.Kind = 4, otherKind|inspect.EtherTypeARP
	default:
		k.Kind = otherKind | uint32(f.EtherType)
		k.Src, k.Dst = [2]uint64{}, [2]uint64{}
		return
	}
	fillHalves(&k.Src, &f.Src)
	fillHalves(&k.Dst, &f.Dst)
	switch {
	case f.HasPorts:
		k.SrcPort, k.DstPort = uint32(f.SrcPort), uint32(f.DstPort)
	case f.HasICMP:
		k.DstPort = uint32(f.ICMPType)<<8 | uint32(f.ICMPCode)
	}
}

// otherKind marks a kind that is an ethertype, not an IP protocol.
const otherKind = 1 << 16

// halves returns an address as two numbers; IPv4 is in the low 32 bits.
func halves(a netip.Addr) (h [2]uint64) {
	fillHalves(&h, &a)
	return h
}

func fillHalves(h *[2]uint64, a *netip.Addr) {
	if a.Is4() {
		b := a.As4()
		h[0], h[1] = 0, uint64(binary.BigEndian.Uint32(b[:]))
		return
	}
	b := a.As16()
	h[0], h[1] = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}
