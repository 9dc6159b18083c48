package firewall

import (
	"net/netip"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/internal/checksum"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/rewrite"
	"sttwall/stt"
)

// judgePolicy decides about a frame that was read and verified: by its tenant,
// the flow that it belongs to, and the rules.
func (f *Firewall) judgePolicy(now int64, fr *reassembly.Frame) reason.Reason {
	e := &f.event
	h := &e.Header
	p := f.standing.policy
	var d policy.Decision
	found := p.FindInto(h.ContextID, &d)
	f.result, f.learning = conntrack.Result{}, nil
	if found {
		k := &f.packet
		k.ContextID, k.Frame, k.From, k.To = h.ContextID, &e.Inner, fr.Src, fr.Dst
		k.Wall, k.Now, k.Peek, k.BeginsNothing = now/1e9, now, f.peek != nil, false
		if f.admitSource(now, p, &d) {
			f.fillTracked(fr, p.Tenant(d.TenantIndex), &d)
			switch {
			case !e.Inner.Fragmented:
				f.judgeFlow(now, p, &d)
			case e.Inner.Fragment.Offset == 0:
				f.judgeFirst(now, p, &d)
			default:
				f.judgeLater(now, p, &d)
			}
		}
	}
	e.Decision = d
	if !e.Flow.Valid() { // else that of the first fragment
		e.Flow = f.result.Handle
	}
	return d.Reason
}

// judgeFlow decides about a frame of a tenant that may come from where it came.
func (f *Firewall) judgeFlow(now int64, p *policy.Policy, d *policy.Decision) {
	t := p.Tenant(d.TenantIndex)
	r := &f.result
	f.at(StageFlow)
	f.track(now)
	if r.State == conntrack.StateStale {
		if !f.rejudge(p, d) {
			return
		}
		f.track(now)
	}
	if r.State == conntrack.StateOtherContext {
		if !f.askContext(p, d) {
			return
		}
		f.track(now)
	}
	f.event.State = r.State
	f.event.Reverse, f.event.HasReverse = r.ReverseContext, r.HasReverseContext
	if r.Reason == reason.CopyTooShort {
		*d = policy.Decision{Tenant: d.Tenant, TenantIndex: d.TenantIndex, RuleIndex: -1, Reason: r.Reason}
		return
	}
	switch r.State {
	case conntrack.StateOriginal, conntrack.StateReply, conntrack.StateRelated:
		f.followFlow(p, d)
		return
	case conntrack.StateUntracked:
		p.Decide(&f.packet, d)
		return
	case conntrack.StateInvalid:
		f.judgeWithout(p, d, r.Reason, r.Handle.Valid())
		return
	}
	p.Decide(&f.packet, d)
	if d.Action != policy.Accept || d.Stateless {
		return
	}
	f.create(now, &conntrack.Creation{Rule: d.RuleIndex, Mark: markOf(d), Limits: t.Limits})
	f.event.State = r.State
	switch r.State {
	case conntrack.StateInvalid:
		// What the default accepts needs no flow; the limits of its tenant hold.
		needless := d.RuleIndex < 0 && (r.Reason == reason.StateInvalid || r.Reason == reason.FlowTableFull || r.Reason == reason.EndpointFlows)
		switch {
		case needless:
		case f.opens(r.Reason):
			f.open(d)
		default:
			d.Refuse(policy.Drop, r.Reason, t.Audit)
		}
	default:
		f.event.Begins = r.Begun // or another worker was first
	}
}

// judgeWithout decides about a packet that can begin no flow, by why: it may be one
// that the rules take without. ofFlow: it names one that it cannot belong to.
func (f *Firewall) judgeWithout(p *policy.Policy, d *policy.Decision, why reason.Reason, ofFlow bool) {
	before := *d
	f.packet.BeginsNothing = true
	p.Decide(&f.packet, d)
	passes := d.Action == policy.Accept && !d.Audit
	if passes && (d.Stateless || d.RuleIndex < 0) {
		return
	}
	if passes && f.opensMiddle(why, ofFlow) {
		f.open(d)
		return
	}
	if passes || ofFlow {
		*d = before
		d.Refuse(policy.Drop, why, p.Tenant(d.TenantIndex).Audit)
	}
}

// fillTracked says what the packet is to the flow table.
func (f *Firewall) fillTracked(fr *reassembly.Frame, t *policy.Tenant, d *policy.Decision) {
	e := &f.event
	c := &f.tracked
	c.Tenant, c.OVN = f.standing.tenants[d.TenantIndex], t.OVN
	c.Context, c.From, c.To = e.Header.ContextID, e.Src, e.Dst
	c.Frame, c.Data, c.Bytes = &e.Inner, e.InnerData, e.FrameLength
	c.Asked = false
	c.AnyEndpoint, c.Loose, c.MayMove = t.AnyEndpoint || f.peek != nil && f.peek.anyEndpoint, t.TCPLoose, f.mayMove
	// A checksum that receivers will find wrong must not move the state of TCP:
	// they will not see the packet. One that is partial they write themselves,
	// one that is called verified they do not look at.
	if f.quick.handed {
		c.Trusted = f.quick.trusted
		return
	}
	c.Trusted = !e.Inner.HasTCP || e.Header.ChecksumPartial() || e.Header.ChecksumVerified() || innerGood(fr, &e.Inner)
}

// innerGood reports whether the L4 checksum in the frame is right. Where the outer
// ones were verified here, the bytes that both cover are not read again.
func innerGood(fr *reassembly.Frame, inner *inspect.Frame) bool {
	data := fr.Data[stt.FrameHeaderLen:]
	if !fr.Summed {
		return rewrite.ChecksumGood(data, inner)
	}
	header := checksum.Sum(fr.Data[:stt.FrameHeaderLen])
	return rewrite.ChecksumGoodBySum(data, inner, checksum.Without(fr.Sum, header))
}

// followFlow decides as the rule did that accepted the flow.
func (f *Firewall) followFlow(p *policy.Policy, d *policy.Decision) {
	follow(p, f.result.Rule, f.result.Mark, d)
}

// follow decides as the rule did that made a flow with that mark.
func follow(p *policy.Policy, rule int32, mark uint32, d *policy.Decision) {
	d.Action = policy.Accept
	d.RuleIndex = rule
	if rule >= 0 {
		d.Rule = p.RuleName(rule)
	}
	if !d.Audit && mark&markAudit != 0 { // the first refusal is remembered
		d.Audit, d.WouldBe, d.Would = true, policy.Action(mark>>8), reason.Reason(mark>>16)
	}
}

// A flow's mark says what audit mode has let pass: the action in the second
// byte, the reason in the third.
const markAudit = 1

func markOf(d *policy.Decision) uint32 {
	if !d.Audit {
		return 0
	}
	return markAudit | uint32(d.WouldBe)<<8 | uint32(d.Would)<<16
}

// rejudge asks the rules that hold now about the first packet of a flow that
// others have accepted. Where they deny it the flow ends, d says why, and false
// is returned.
func (f *Firewall) rejudge(p *policy.Policy, d *policy.Decision) bool {
	handle := f.result.Handle
	id, from, to, ok := f.shared.flows.Origin(handle, &f.originFrame)
	if !ok {
		return true // gone meanwhile: the next look says so
	}
	if !isOf(p, d.TenantIndex, id) {
		f.end(handle) // as Rejudge does
		return true
	}
	first := f.judgeOrigin(p, d, id, from, to)
	if first.Action == policy.Accept && !first.Stateless {
		f.confirm(handle, first)
		return true
	}
	f.end(handle)
	if first.Action == policy.Accept {
		return true // the packets are decided one by one now
	}
	f.denied(d, first)
	return false
}

// askContext asks the rules about the first packet of a flow with the context ID of
// the one at hand. Where they do not accept it, nothing happens to the flow, d is
// what becomes of the packet, and false is returned.
func (f *Firewall) askContext(p *policy.Policy, d *policy.Decision) bool {
	_, from, to, ok := f.shared.flows.Origin(f.result.Handle, &f.originFrame)
	if !ok {
		return true // gone meanwhile: the next look says so
	}
	first := f.judgeOrigin(p, d, f.packet.ContextID, from, to)
	switch {
	case first.Action != policy.Accept:
		f.denied(d, first)
		return false
	case first.Stateless: // the packet is decided as without the flow
		r := &f.result
		if f.shared.flows.Fresh(&f.tracked, r); r.State == conntrack.StateInvalid {
			f.judgeWithout(p, d, r.Reason, false)
		} else {
			p.Decide(&f.packet, d)
		}
		return false
	}
	c := &f.tracked
	c.Asked, c.Rule, c.Mark = true, first.RuleIndex, markOf(&first)
	return true
}

// denied decides about a packet as the rules do about the first one of its flow.
func (f *Firewall) denied(d *policy.Decision, first policy.Decision) {
	if f.peek != nil {
		f.peek.denied = true
	}
	*d = first
}

// isOf reports whether a context ID is the tenant's. In the OVN layout the directions
// of a flow have different ones, which other rules may give to different tenants.
func isOf(p *policy.Policy, tenant int32, contextID uint64) bool {
	d, found := p.Find(contextID)
	return found && d.TenantIndex == tenant
}

// judgeOrigin asks the rules about the packet in originFrame, one that d's tenant
// had before.
func (f *Firewall) judgeOrigin(p *policy.Policy, d *policy.Decision, contextID uint64, from, to netip.Addr) policy.Decision {
	k := &f.origin
	k.ContextID, k.Frame, k.From, k.To = contextID, &f.originFrame, from, to
	k.Wall, k.Now, k.Peek = f.packet.Wall, f.packet.Now, true
	first := policy.Decision{Tenant: d.Tenant, TenantIndex: d.TenantIndex, RuleIndex: -1}
	if p.Admit(k, &first) {
		p.Decide(k, &first)
	}
	return first
}

// track, create, confirm and end are the only ways from here to the flow table.
// Where the firewall is only asked, they change nothing.

func (f *Firewall) track(now int64) {
	if f.peek != nil {
		f.peek.track(f, now)
		return
	}
	if f.quick.handed { // what the table has said
		f.quick.handed, f.result = false, f.quick.result
		return
	}
	f.shared.flows.Track(now, f.standing.generation, &f.tracked, &f.result)
}

func (f *Firewall) create(now int64, c *conntrack.Creation) {
	if f.peek != nil {
		f.peek.create(f, now, c)
		return
	}
	f.shared.flows.Create(now, f.standing.generation, &f.tracked, c, &f.result)
}

func (f *Firewall) confirm(h conntrack.Handle, d policy.Decision) {
	if f.peek != nil {
		kept := d // here, so that d is on no heap
		f.peek.confirmed = &kept
		return
	}
	f.shared.flows.Confirm(h, f.standing.generation, d.RuleIndex, markOf(&d))
}

func (f *Firewall) end(h conntrack.Handle) {
	if f.peek != nil {
		f.peek.ended = true
		return
	}
	f.shared.flows.End(h)
}

// setOf returns what the rule of an accepted frame changes in it, if that is
// anything.
func (f *Firewall) setOf(d *policy.Decision) *rewrite.Set {
	set := f.standing.policy.Set(d.RuleIndex)
	if set == nil || !set.Changes(f.event.InnerData, &f.event.Inner) {
		return nil
	}
	return set
}

// change writes a frame with what the set changes into f.changed.
func (f *Firewall) change(set *rewrite.Set, data []byte, headerLen int) []byte {
	f.changed = append(f.changed[:0], data...)
	set.Apply(f.changed[headerLen:], &f.event.Inner, f.event.Header.ChecksumPartial())
	return f.changed
}

// packetScratch is what deciding about one frame needs, kept for the next.
type packetScratch struct {
	packet      policy.Packet
	origin      policy.Packet
	originFrame inspect.Frame
	tracked     conntrack.Packet
	result      conntrack.Result
	changed     []byte // the STT frame with a rule's changes
	answer      []byte // see reject.go
	bindingScratch

	repeated bool  // the packet at hand got the verdict Again
	peek     *peek // not nil: nothing is changed; see explain.go
	expected expected
}
