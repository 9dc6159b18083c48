package conntrack

import (
	"sttwall/inspect"
	"sttwall/reason"
)

// related looks for the flow that an ICMP error is about. It reports false where
// there is none, and the error is for the rules to decide. An error about a
// known flow that it cannot be about is [StateInvalid]. Errors move no state and keep
// no flow alive.
func (t *Table) related(now int64, generation uint32, p *Packet, out *Result) bool {
	var q inspect.Quoted
	switch q.Decode(p.Data, p.Frame) {
	case reason.None:
	case reason.CopyTooShort:
		out.State, out.Reason = StateInvalid, reason.CopyTooShort
		return true
	default:
		return false
	}
	k, ok := quotedKey(p, &q)
	if !ok {
		return false
	}
	out.HeaderBytes = q.HeaderBytes
	packed, reversed := k.pack()
	h := t.hash(&packed)
	s, n := t.shardOf(h)
	s.mu.Lock()
	defer t.leave(n)
	i, found := s.find(&packed, h)
	if !found || now >= s.at(i).expires(&t.config.Timeouts) {
		return false
	}
	e := s.at(i)
	dir := e.direction(reversed) // in which the quoted packet went
	out.Handle, out.Rule, out.Mark = Handle{n, i, e.version}, e.rule, e.mark
	switch {
	case k.Src != p.Frame.Dst:
		// It must go to the sender of what it quotes.
		out.State, out.Reason = StateInvalid, reason.StateInvalid
	case !p.AnyEndpoint && e.from[1-dir] != p.From.As16() && e.from[1-dir] != ([16]byte{}):
		// Routers on the way answer from where the packet was sent to.
		out.State, out.Reason = StateInvalid, reason.FlowEndpoint
	case e.generation != generation:
		out.State = StateStale
	case k.Protocol == inspect.ProtocolTCP && !e.halves[dir].inFlight(q.Sequence, &e.halves[1-dir]):
		// RFC 5927 section 4.1: whoever cannot see the packets cannot name one.
		out.State, out.Reason = StateInvalid, reason.TCPWindow
	default:
		out.State = StateRelated
	}
	return true
}

// inFlight reports whether a packet with that sequence number can be on its way
// from h to other.
func (h *half) inFlight(seq uint32, other *half) bool {
	return !after(seq, h.end) && after(seq, h.end-max(other.maxWin, 66000)-1)
}

// quotedKey returns the key of the packet that an ICMP error quotes, as it was
// sent; false where it has none that could be a flow's.
func quotedKey(p *Packet, q *inspect.Quoted) (k Key, ok bool) {
	k = Key{Tenant: p.Tenant, VLAN: VLANOf(p.Frame), Src: q.Src, Dst: q.Dst, Protocol: q.Protocol}
	if !p.OVN {
		k.Context = p.Context
	}
	switch {
	case q.Fragment:
		return k, false
	case q.HasPorts:
		k.SrcPort, k.DstPort = q.SrcPort, q.DstPort
	case q.HasICMP:
		request, reply, query := icmpQuery(q.Protocol, q.ICMPType)
		if !query || !q.HasICMPID {
			return k, false
		}
		k.SrcPort, k.DstPort, k.Reply = q.ICMPID, uint16(request), reply
	}
	return k, true
}
