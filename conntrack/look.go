package conntrack

import "sttwall/reason"

// Peek says what [Table.Track] would say of the packet, and moves nothing: no
// state, counter or timeout. Where the result has a flow, f is filled with it as it
// is now. With the flow's own [Flow.Generation] a flow is never stale.
func (t *Table) Peek(now int64, generation uint32, p *Packet, out *Result, f *Flow) {
	*out = Result{}
	var l lookup
	if !l.read(p) {
		if !p.Frame.ICMPError() || !t.related(now, generation, p, out) {
			out.State = StateUntracked
		}
		t.Look(out.Handle, f)
		return
	}
	h := t.hash(&l.packed)
	s, n := t.shardOf(h)
	s.mu.Lock()
	defer s.mu.Unlock()
	i, found := s.find(&l.packed, h)
	if !found || now >= s.at(i).expires(&t.config.Timeouts) {
		out.fresh(&l.terms)
		return
	}
	e := *s.at(i) // a copy may move
	out.Handle = Handle{n, i, e.version}
	t.show(&e, s.record(i), f)
	f.Handle = out.Handle
	e.weigh(generation, &l.terms, out)
}

// Fresh says what [Table.Track] would say of the packet if no flow were known.
func (t *Table) Fresh(p *Packet, out *Result) {
	*out = Result{}
	var l lookup
	if !l.read(p) {
		out.State = StateUntracked
		return
	}
	out.fresh(&l.terms)
}

// Look fills f with a flow; false if it is gone.
func (t *Table) Look(h Handle, f *Flow) bool {
	s, e := t.lock(h)
	if e == nil {
		return false
	}
	defer s.mu.Unlock()
	t.show(e, s.record(h.index), f)
	f.Handle = h
	return true
}

// Room says which limit the flow that the packet begins would meet now; None if
// none. It moves nothing; flows whose time is over are forgotten where
// [Table.Create] would.
func (t *Table) Room(now int64, p *Packet, limits *Limits) reason.Reason {
	var l lookup
	if !l.read(p) || !l.startable {
		return reason.StateInvalid
	}
	why := t.room(now, &l, limits)
	if why != reason.None && t.sweepForLimit(now) {
		why = t.room(now, &l, limits)
	}
	return why
}

func (t *Table) room(now int64, l *lookup, limits *Limits) reason.Reason {
	tenant := t.tenants.of(l.key.Tenant)
	switch {
	case limits.HalfOpen > 0 && l.halfOpen() && tenant.halfOpen.Load() >= int64(limits.HalfOpen):
		return reason.HalfOpenLimit
	case limits.Flows > 0 && tenant.flows.Load() >= int64(limits.Flows):
		return reason.TenantFlows
	case limits.FlowsPerSource > 0 && t.sources.count(sourceOf(l.key.Tenant, l.key.Src)) >= limits.FlowsPerSource:
		return reason.SourceFlows
	case t.config.share() < t.config.MaxFlows && t.endpoints.count(l.from) >= t.config.share() && !t.hasUnansweredOf(l.from):
		return reason.EndpointFlows
	case t.flows.Load() >= int64(t.config.MaxFlows) && !t.givesUp(now):
		return reason.FlowTableFull
	}
	return reason.None
}

// givesUp reports whether a full table has a flow that makes room for another:
// one whose time is over, or that nobody has answered.
func (t *Table) givesUp(now int64) bool {
	for i := range t.shards {
		if t.shards[i].givesUp(now, &t.config.Timeouts) {
			return true
		}
	}
	return false
}

func (s *shard) givesUp(now int64, timeouts *Timeouts) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, st := range unreplied {
		if s.lists[st].head != 0 {
			return true
		}
	}
	for st := range s.lists {
		if head := s.lists[st].head; head != 0 && now >= s.at(head-1).expires(timeouts) {
			return true
		}
	}
	return false
}
