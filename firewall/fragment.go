package firewall

import (
	"sttwall/conntrack"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
)

// Inner fragments. The first one, which holds the whole L4 header, is decided as
// any packet; what became of it is remembered for all workers
// (conntrack.Fragments). The later ones follow it. One that comes before its first,
// or while another worker still has it, waits in this worker (hold.go):
//
//	first ──> flow, rules ──> verdict ──> conntrack.Fragments
//	later ──> rules that name later fragments ──> verdict
//	      └─> conntrack.Fragments ──> verdict of the first
//	                            └───> held ──> decided anew, or fragment_first_missing

// fragmentScratch is what deciding about fragments needs, kept for the next.
type fragmentScratch struct {
	id      conntrack.FragmentID // of the fragment at hand
	verdict conntrack.FragmentVerdict
	entered uint64 // see [conntrack.Fragments.Entered]; before the first was looked for
	first   bool   // the frame at hand is a first fragment whose verdict is to be remembered
	waits   bool   // the frame at hand is a later fragment, and its first is not known
	// late: the frame at hand has waited; why is the reason if it cannot wait on.
	late bool
	why  reason.Reason
}

// judgeFirst decides about a first fragment.
func (f *Firewall) judgeFirst(now int64, p *policy.Policy, d *policy.Decision) {
	g := &f.fragment
	fragments := f.shared.fragments
	g.id = fragments.ID(&f.tracked)
	var agrees bool
	if f.peek != nil {
		agrees = fragments.PeekFirst(now, &g.id, &f.tracked)
	} else {
		agrees = fragments.Begin(now, &g.id, &f.tracked)
		g.first = agrees
	}
	if !agrees {
		refuseFragment(d, reason.FragmentConflict)
		return
	}
	f.judgeFlow(now, p, d)
}

// refuseFragment drops a fragment for what it is: audit mode has no say in it.
func refuseFragment(d *policy.Decision, why reason.Reason) {
	*d = policy.Decision{Tenant: d.Tenant, TenantIndex: d.TenantIndex, RuleIndex: -1, Reason: why}
}

// rememberFirst remembers what became of a first fragment, when its own verdicts
// are given, and lets out what waits for it here.
func (f *Firewall) rememberFirst(now int64) {
	e, v := &f.event, &f.fragment.verdict
	*v = conntrack.FragmentVerdict{
		Accept: e.Reason == reason.None, Reason: e.Reason,
		Generation: f.standing.generation, Rule: e.Decision.RuleIndex, Mark: markOf(&e.Decision),
		HeaderBytes: f.result.HeaderBytes,
		Stateless:   e.Decision.Stateless, Log: e.Decision.Stateless && e.Decision.Log,
	}
	switch f.result.State {
	case conntrack.StateOriginal, conntrack.StateReply, conntrack.StateRelated:
		v.Handle = f.result.Handle
	}
	f.shared.fragments.Decided(now, &f.fragment.id, &f.tracked, v)
	if f.hold.any() {
		id := f.fragment.id
		f.visitHeld(func(h *heldFragment) bool { return h.id.Same(&id) && f.decideHeld(now, h, reason.None) })
	}
}

// judgeLater decides about a later fragment.
func (f *Firewall) judgeLater(now int64, p *policy.Policy, d *policy.Decision) {
	g := &f.fragment
	t := p.Tenant(d.TenantIndex)
	g.id = f.shared.fragments.ID(&f.tracked)
	g.entered = f.shared.fragments.Entered()
	explicit := p.DecideByRule(&f.packet, d)
	switch f.follow(now, p, d) {
	case conntrack.FollowOverlap:
		refuseFragment(d, reason.FragmentOverlap)
	case conntrack.FollowVerdict:
		switch {
		case g.verdict.Reason == reason.FragmentConflict:
			refuseFragment(d, reason.FragmentConflict)
		case !explicit:
			f.followFirst(p, d)
		}
	default:
		switch {
		case explicit:
		case g.why != reason.None:
			d.Refuse(policy.Drop, g.why, t.Audit)
		default:
			g.waits = true
		}
	}
}

// follow asks what became of the first fragment, and if that passed by other rules
// than hold now, asks these.
func (f *Firewall) follow(now int64, p *policy.Policy, d *policy.Decision) conntrack.Followed {
	g := &f.fragment
	fragments, generation := f.shared.fragments, f.standing.generation
	at := &f.event.Inner.Fragment
	if f.peek != nil {
		known := fragments.Peek(now, generation, &g.id, at, &g.verdict)
		if known == conntrack.FollowStale {
			f.judgeFirstAgain(now, p, d)
			known = conntrack.FollowVerdict
		}
		return known
	}
	for range 3 { // another worker may have other rules for a moment
		known := fragments.Follow(now, generation, &g.id, at, &g.verdict)
		if known != conntrack.FollowStale {
			return known
		}
		f.judgeFirstAgain(now, p, d)
		fragments.Judged(now, &g.id, &g.verdict)
	}
	return conntrack.FollowUnknown
}

// judgeFirstAgain asks the rules that hold now about a first fragment that others
// let pass, and makes the verdict theirs: about the first packet of its flow, if it
// has one.
func (f *Firewall) judgeFirstAgain(now int64, p *policy.Policy, d *policy.Decision) {
	g := &f.fragment
	v := &g.verdict
	v.Generation = f.standing.generation
	var first policy.Decision
	known := false
	if v.Handle.Valid() {
		if id, from, to, ok := f.shared.flows.Origin(v.Handle, &f.originFrame); ok && isOf(p, d.TenantIndex, id) {
			if in := &f.event.Inner; in.Src == f.originFrame.Src && in.Dst == f.originFrame.Dst {
				id = f.packet.ContextID // the flow's may be that of later packets, from another port
			}
			first, known = f.judgeOrigin(p, d, id, from, to), true
		} else {
			// Ended, by these rules or by itself: not by what is known here.
			v.Accept, v.Reason, v.Rule = false, reason.FragmentFirstMissing, -1
		}
		if known && first.Action == policy.Accept && first.Stateless {
			v.Handle = conntrack.Handle{} // fragments are decided by themselves now
		}
	}
	if !v.Handle.Valid() {
		if from, to, ok := f.shared.fragments.Origin(now, &g.id, &f.originFrame); ok {
			first, known = f.judgeOrigin(p, d, f.packet.ContextID, from, to), true
		}
	}
	if known {
		v.Accept, v.Reason = first.Action == policy.Accept, first.Reason
		v.Rule, v.Mark, v.Stateless = first.RuleIndex, markOf(&first), first.Stateless
		v.Log = first.Log && first.Stateless
	}
}

// followFirst decides as was decided about the first fragment.
func (f *Firewall) followFirst(p *policy.Policy, d *policy.Decision) {
	v := &f.fragment.verdict
	f.event.Flow = v.Handle
	switch {
	case v.Accept:
		f.result.Rule, f.result.Mark = v.Rule, v.Mark
		f.followFlow(p, d)
		d.Stateless, d.Log = v.Stateless, v.Log
	case v.Rule >= 0:
		refuseFragment(d, v.Reason)
		d.Rule, d.RuleIndex, d.Log = p.RuleName(v.Rule), v.Rule, v.Log
	default:
		refuseFragment(d, v.Reason)
	}
}

// keep makes a later fragment wait for its first one.
func (f *Firewall) keep(now int64, fr *reassembly.Frame) {
	h := &f.hold
	id, entered := f.fragment.id, f.fragment.entered // of this one, and not of those that make room
	f.work.inHold = true
	for {
		victim, ok := h.room(fr)
		if !ok {
			f.work.inHold = false
			f.fragment.why = reason.FragmentHoldFull
			f.decide(now, fr)
			f.fragment.why = reason.None
			return
		}
		if victim == nil {
			break
		}
		f.visitHeld(func(o *heldFragment) bool {
			return o == victim && f.decideHeld(now, o, reason.FragmentHoldFull)
		})
	}
	if !h.any() {
		h.entered = entered
	}
	held := h.add(now, fr, &id)
	held.device = f.device
	f.at(StageHold)
	f.counts.fragmentsHeld++
	f.work.inHold = false
}

// visitHeld is [fragmentHold.visit]. A panic in it costs all that wait: which of them
// are decided, the list does not say any more.
func (f *Firewall) visitHeld(decided func(*heldFragment) bool) {
	outer := f.work.inHold
	f.work.inHold = true
	f.hold.visit(decided)
	f.work.inHold = outer
}

// decideHeld decides anew about a fragment that waits, by whatever holds now, and
// reports whether it is decided. It always is if why is not None: that is the
// reason then if its first fragment is still not known. Of what waits there is no more: a
// part was asked for again before.
func (f *Firewall) decideHeld(now int64, h *heldFragment, why reason.Reason) bool {
	device, more := f.device, f.more
	f.work.mark = len(f.out.List)
	f.device, f.more, f.fragment.late, f.fragment.why = h.device, false, true, why
	f.decide(now, &h.frame)
	f.device, f.more, f.fragment.late, f.fragment.why = device, more, false, reason.None
	return !f.fragment.waits
}

// lookAtHeld decides about the fragments that have waited long enough, and now and
// then about those whose first fragment another worker has decided.
func (f *Firewall) lookAtHeld(now int64) {
	h := &f.hold
	if !h.any() {
		return
	}
	look := false
	if now >= h.nextLook {
		h.nextLook = now + holdLook
		entered := f.shared.fragments.Entered()
		look = entered != h.entered
		h.entered = entered
	}
	if !look && now < h.deadline() {
		return
	}
	f.visitHeld(func(held *heldFragment) bool {
		switch {
		case now >= held.until:
			return f.decideHeld(now, held, reason.FragmentFirstMissing)
		case look && f.shared.fragments.Knows(now, &held.id):
			return f.decideHeld(now, held, reason.None)
		}
		return false
	})
}

// dropHeld drops all fragments that wait.
func (f *Firewall) dropHeld() {
	f.visitHeld(func(h *heldFragment) bool {
		fr := &h.frame
		f.work.mark = len(f.out.List)
		f.dropFrame(fr.Packets, reason.FragmentFirstMissing)
		if f.observer != nil {
			e := f.beginEvent(fr.Key, fr.SrcPort, fr.FrameLength, fr.Packets, fr.First)
			e.Waited, e.Reason, e.Beginning = true, reason.FragmentFirstMissing, fr.Data
			f.observer(e)
		}
		return true
	})
}
