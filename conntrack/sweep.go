package conntrack

import (
	"net/netip"

	"sttwall/inspect"
)

// Flow is a flow as it is shown. It is a copy.
type Flow struct {
	Handle     Handle
	Key        Key // as in the first packet
	Status     string
	Rule       int32
	Mark       uint32
	Generation uint32
	From, To   netip.Addr // outer endpoints of the side that began, and of the other
	Contexts   [2]uint64  // last seen, by direction; the second is valid if HasReply
	HasReply   bool
	Packets    [2]uint32
	Bytes      [2]uint64 // of inner frames
	Created    int64     // ns, on the caller's clock, whole seconds
	Last       int64     // when a packet last kept it alive
	Expires    int64     // when it is forgotten, if no packet comes
	// Next is, for TCP, the sequence number behind the highest that each side has
	// sent, by direction; 0 for a side of which nothing was seen.
	Next [2]uint32
}

// Origin fills f with the first packet of the flow, as far as rules look at it.
// ok is false if the flow is gone. from and to are its endpoints, and contextID is
// the last one in its direction that the rules have accepted.
func (t *Table) Origin(h Handle, f *inspect.Frame) (contextID uint64, from, to netip.Addr, ok bool) {
	s, e := t.lock(h)
	if e == nil {
		return 0, from, to, false
	}
	defer t.leave(h.shard)
	e.origin(s.record(h.index), f)
	return e.contexts[0], addressOf(e.from[0]), addressOf(e.from[1]), true
}

func (e *entry) origin(r *record, f *inspect.Frame) {
	k := e.key()
	*f = inspect.Frame{
		EthSrc: r.ethSrc, EthDst: r.ethDst, TagCount: r.tags,
		IP: 4, EtherType: inspect.EtherTypeIPv4, Src: k.Src, Dst: k.Dst, Protocol: k.Protocol, TOS: r.tos,
		L4Offset: -1,
	}
	f.Tags[0], f.Tags[1] = r.tci, r.tci2
	f.Fragmented, f.Fragment.More = r.fragmented, r.fragmented
	if k.Src.Is6() {
		f.IP, f.EtherType = 6, inspect.EtherTypeIPv6
	}
	switch k.Protocol {
	case inspect.ProtocolTCP:
		f.HasTCP, f.TCPFlags = true, r.tcpFlags
		fallthrough
	case inspect.ProtocolUDP, inspect.ProtocolSCTP:
		f.HasPorts, f.SrcPort, f.DstPort = true, k.SrcPort, k.DstPort
	case inspect.ProtocolICMP, inspect.ProtocolICMPv6:
		f.HasICMP, f.ICMPType, f.ICMPCode = true, r.icmpType, r.icmpCode
	}
}

// sweepStep is how many entries [Table.Sweep] looks at under one hold of a lock,
// so that a worker waits for microseconds and not for the whole shard.
const sweepStep = 16

// inSteps calls some for all places of the table, [sweepStep] of a shard at a time,
// until it has said of each shard that there are no more. The next hold of a lock is of
// another shard: who waits for this one has it before we come back.
func (t *Table) inSteps(some func(shard, from uint32) (more bool)) {
	for from, more := uint32(0), true; more; from += sweepStep {
		more = false
		for n := range t.shards {
			if some(uint32(n), from) {
				more = true
			}
		}
	}
}

// live reports whether the entry is a flow: versions count up when one begins
// and when it ends, from 0.
func (e *entry) live() bool { return e.version&1 != 0 }

// Sweep shows every flow to visit, which may not call the table, and forgets
// those for which it returns false. A shard is locked for [sweepStep]
// entries at a time: flows that begin or end meanwhile may be shown or not. It
// returns how many flows were forgotten.
func (t *Table) Sweep(now int64, visit func(h Handle, f *Flow, origin *inspect.Frame) (keep bool)) (ended int) {
	var (
		flow   Flow
		origin inspect.Frame
	)
	t.inSteps(func(n, from uint32) bool {
		more, done := t.sweepSome(now, n, from, &flow, &origin, visit)
		ended += done
		return more
	})
	return ended
}

// sweepSome is one hold of a lock of [Table.Sweep].
func (t *Table) sweepSome(now int64, n, from uint32, flow *Flow, origin *inspect.Frame, visit func(Handle, *Flow, *inspect.Frame) bool) (more bool, ended int) {
	s := &t.shards[n]
	s.mu.Lock()
	defer t.leave(n) // whatever visit does
	for i := from; i < min(from+sweepStep, s.used); i++ {
		e := s.at(i)
		if !e.live() || now >= e.expires(&t.config.Timeouts) {
			continue
		}
		r := s.record(i)
		t.show(e, r, flow)
		flow.Handle = Handle{n, i, e.version}
		e.origin(r, origin)
		if !visit(flow.Handle, flow, origin) {
			t.end(s, n, i, EndedDenied)
			t.stats.ended.Add(1)
			ended++
		}
	}
	return from+sweepStep < s.used, ended
}

// show fills f but for its handle.
func (t *Table) show(e *entry, r *record, f *Flow) {
	e.show(r, f)
	f.Expires = e.expires(&t.config.Timeouts)
}

// show fills f with what an entry itself says.
func (e *entry) show(r *record, f *Flow) {
	*f = Flow{
		Key: e.key(), Status: statusNames[e.status],
		Rule: e.rule, Mark: e.mark, Generation: e.generation,
		From: addressOf(e.from[0]), To: addressOf(e.from[1]),
		Contexts: e.contexts, HasReply: e.flags&flagHasReply != 0,
		Packets: e.packets, Bytes: e.bytes, Created: int64(r.created) * 1e9, Last: e.last,
		Next: [2]uint32{e.halves[0].end, e.halves[1].end},
	}
}
