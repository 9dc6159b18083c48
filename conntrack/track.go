package conntrack

import (
	"net/netip"

	"sttwall/inspect"
	"sttwall/reason"
)

// lookup is a packet by its key.
type lookup struct {
	key Key
	terms
}

// terms are what the table looks at of a packet, whoever has read it.
type terms struct {
	packed    packed
	expected  uint32 // entry+1, if it was found before: see [Table.ExpectEntry]
	reversed  bool   // the packet goes from the key's second address to the first
	self      bool   // a host talks to itself: the addresses do not tell the direction
	answer    bool   // self, and an ICMP query's answer
	startable bool   // may begin a flow
	tcp       bool
	segment   segment // of TCP

	// As in [Packet].
	ovn, trusted, anyEndpoint, mayMove, asked bool

	from    [16]byte // outer source
	context uint64
	bytes   int
	rule    int32
	mark    uint32
}

// KeyOf returns the key of a packet; false where it has none and is
// [StateUntracked]: what is not IP, later fragments, ICMP other than queries,
// multicast destinations (whose replies come from elsewhere).
func KeyOf(p *Packet) (Key, bool) {
	var l lookup
	ok := l.name(p)
	return l.key, ok
}

// read fills l; false where the packet has no key.
func (l *lookup) read(p *Packet) bool {
	if !l.name(p) {
		return false
	}
	l.packed, l.reversed = l.key.pack()
	k := &l.key
	l.self = k.Src == k.Dst && (k.isICMP() || k.SrcPort == k.DstPort)
	l.answer = l.self && k.Reply
	l.ovn, l.trusted, l.anyEndpoint, l.mayMove = p.OVN, p.Trusted, p.AnyEndpoint, p.MayMove
	l.from, l.context, l.bytes = p.From.As16(), p.Context, p.Bytes
	l.asked, l.rule, l.mark = p.Asked, p.Rule, p.Mark
	return true
}

// name fills l but for the packed key.
func (l *lookup) name(p *Packet) bool {
	f := p.Frame
	if f.IP == 0 || f.Fragmented && f.Fragment.Offset > 0 || f.Dst.IsMulticast() || isBroadcast(f.Dst) {
		return false
	}
	k := &l.key
	*k = Key{Tenant: p.Tenant, VLAN: VLANOf(f), Src: f.Src, Dst: f.Dst, Protocol: f.Protocol}
	if !p.OVN {
		k.Context = p.Context
	}
	l.startable = true
	switch {
	case f.Protocol == inspect.ProtocolTCP:
		if !f.HasTCP || len(p.Data) < f.PayloadOffset || f.PayloadOffset < f.L4Offset+20 {
			return false
		}
		k.SrcPort, k.DstPort = f.SrcPort, f.DstPort
		l.tcp = true
		l.segment.read(p.Data[f.L4Offset:f.PayloadOffset], f.TCPFlags, f.TCPPayload())
		l.segment.cut = f.Fragmented
		l.startable = l.segment.begins(p.Loose)
	case f.HasPorts:
		k.SrcPort, k.DstPort = f.SrcPort, f.DstPort
	case f.Protocol == inspect.ProtocolICMP || f.Protocol == inspect.ProtocolICMPv6:
		if !f.HasICMP || len(p.Data) < f.L4Offset+8 || f.IPEnd < f.L4Offset+8 {
			return false
		}
		request, reply, ok := icmpQuery(f.Protocol, f.ICMPType)
		if !ok {
			return false
		}
		k.SrcPort = uint16(p.Data[f.L4Offset+4])<<8 | uint16(p.Data[f.L4Offset+5])
		k.DstPort, k.Reply = uint16(request), reply
		l.startable = !reply
	}
	return true
}

func isBroadcast(a netip.Addr) bool { return a.Is4() && a.As4() == [4]byte{255, 255, 255, 255} }

// Track says what the packet is to the flows that are known, and moves the state
// of the flow that it belongs to. It begins none. generation names the rules that
// hold now. now is in ns on a clock that never goes back by much.
func (t *Table) Track(now int64, generation uint32, p *Packet, out *Result) {
	*out = Result{}
	var l lookup
	if !l.read(p) {
		if !p.Frame.ICMPError() || !t.related(now, generation, p, out) {
			out.State = StateUntracked
		}
		return
	}
	t.trackFlow(now, generation, &l.terms, t.hash(&l.packed), out)
}

// trackFlow is Track for a packet that has a key, with that hash. out is empty.
func (t *Table) trackFlow(now int64, generation uint32, l *terms, h uint64, out *Result) {
	s, n := t.shardOf(h)
	s.mu.Lock()
	out.holds = n + 1 // a deferred call costs more
	i, found := l.expected-1, s.has(l.expected, &l.packed)
	if !found {
		i, found = s.find(&l.packed, h)
	}
	if found && now >= s.at(i).expires(&t.config.Timeouts) {
		t.end(s, n, i, EndedTimeout)
		t.stats.expired.Add(1)
		found = false
	}
	if found {
		t.judge(now, generation, l, s, n, i, out)
	} else {
		out.fresh(l)
	}
	out.holds = 0
	s.mu.Unlock()
}

// fresh is the result for a packet of no known flow.
func (r *Result) fresh(l *terms) {
	*r = Result{State: StateNew, holds: r.holds}
	if !l.startable {
		r.State, r.Reason = StateInvalid, reason.StateInvalid
	}
}

// direction returns 0 for a packet in the direction of the flow's first one.
func (e *entry) direction(reversed bool) int {
	if reversed == (e.flags&flagReversed != 0) {
		return 0
	}
	return 1
}

// directionOf is direction for a packet that came.
func (e *entry) directionOf(l *terms) int {
	switch {
	case l.answer:
		return 1
	case l.self:
		return 0
	}
	return e.direction(l.reversed)
}

// judge says what the packet is to the flow that it names, and moves the flow.
func (t *Table) judge(now int64, generation uint32, l *terms, s *shard, n, i uint32, out *Result) {
	e := s.at(i)
	out.Handle = Handle{n, i, e.version}
	was := e.status
	dir := e.weigh(generation, l, out)
	if is := e.status; is != was {
		e.status = was
		e.setStatus(s, i, is)
	}
	if out.State != StateOriginal && out.State != StateReply {
		return
	}
	if l.tcp {
		t.countHalfOpen(e)
		if e.flags&flagTold != 0 && l.segment.end-l.segment.seq > 1 {
			e.flags &^= flagTold // it goes on with data: a RST was lost behind us
		}
	}
	if dir == 1 {
		e.set(flagHasReply)
	}
	if e.contexts[dir] != l.context {
		e.contexts[dir] = l.context
		e.rule, e.mark = out.Rule, out.Mark // others, if the rules were asked
	}
	e.packets[dir]++
	e.bytes[dir] += uint64(l.bytes)
	switch {
	case e.from[dir] == ([16]byte{}):
		e.from[dir] = l.from // the first packet went to a group of endpoints
	case out.MovedFrom.IsValid():
		if dir == 0 {
			t.endpoints.remove(e.from[0])
			t.endpoints.add(l.from, noLimit)
		}
		e.from[dir] = l.from
		t.stats.moved.Add(1)
	}
	if l.trusted {
		e.last = max(e.last, now)
		e.set(flagTouched)
	}
}

// weigh says what the packet is to the flow, and moves what the flow knows of
// itself: its status, which the caller brings to the table, and its windows. dir
// is the packet's direction.
func (e *entry) weigh(generation uint32, l *terms, out *Result) (dir int) {
	dir = e.directionOf(l)
	out.Rule, out.Mark = e.rule, e.mark
	refuse := func(why reason.Reason) {
		out.State, out.Reason = StateInvalid, why
	}
	home := &e.from[dir]
	elsewhere := *home != l.from && *home != ([16]byte{}) && !l.anyEndpoint
	if elsewhere && !l.mayMove {
		refuse(reason.FlowEndpoint)
		return dir
	}
	if e.generation != generation {
		out.State = StateStale
		return dir
	}
	other := l.ovn && dir == 0 && e.contexts[0] != l.context && !l.asked
	if l.tcp {
		var why reason.Reason
		var reuse bool
		if other {
			why, reuse = e.weighTCP(&l.segment, dir)
		} else {
			why, reuse = e.judgeTCP(&l.segment, dir, l.trusted)
		}
		if reuse {
			// It stays until the rules accept the new one: [Table.Create].
			out.fresh(l)
			return dir
		}
		if why != reason.None {
			refuse(why)
			return dir
		}
	}
	if other {
		out.State = StateOtherContext
		return dir
	}
	if !l.tcp && dir == 1 && l.trusted {
		switch e.status {
		case statusUDP:
			e.status = statusUDPStream
		case statusICMP:
			e.status = statusICMPReplied
		case statusOther:
			e.status = statusOtherReplied
		}
	}
	out.State = StateOriginal
	if dir == 1 {
		out.State = StateReply
	} else if l.asked && e.contexts[0] != l.context {
		out.Rule, out.Mark = l.rule, l.mark
	}
	if elsewhere && l.trusted {
		out.MovedFrom = addressOf(*home) // it may move, or it would have been refused
	}
	out.ReverseContext, out.HasReverseContext = e.contexts[1-dir], dir == 1 || e.flags&flagHasReply != 0
	return dir
}

func (e *entry) setStatus(s *shard, i uint32, to status) {
	s.lists[e.status].unlink(s, i)
	e.status = to
	s.lists[to].push(s, i)
}

// end takes a flow of the locked shard n out of the table and its counts, and tells
// those who watch.
func (t *Table) end(s *shard, n, i uint32, why Ending) {
	t.tell(s, n, i, why)
	s.remove(i)
	t.uncount(s.at(i)) // it is as it was, and nobody has it yet
	t.flows.Add(-1)
}
