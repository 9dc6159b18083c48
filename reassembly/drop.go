package reassembly

import "sttwall/reason"

// drop gives up a frame and, if not nil, the segment s that is to blame.
func (r *Reassembler) drop(e *entry, why reason.Reason, s *Segment) {
	r.packets = e.inOrder(r.packets[:0])
	data := e.known(r.packets)
	if s != nil {
		r.packets = s.appendTo(r.packets)
	}
	r.dropped = Dropped{
		Key: e.key, SrcPort: e.srcPort, DstPort: e.dstPort,
		FrameLength: e.length, Reason: why, Packets: r.packets,
		Received: e.received, Data: data, First: e.at,
	}
	r.release(e)
	r.bury(e, why)
	r.tell()
}

// refuse drops a segment of which no frame is held.
func (r *Reassembler) refuse(s *Segment, why reason.Reason, late bool) {
	r.packets = s.appendTo(r.packets[:0])
	r.dropped = Dropped{
		Key: s.key(), SrcPort: s.SrcPort, DstPort: s.DstPort,
		FrameLength: s.FrameLength, Reason: why, Late: late, Packets: r.packets,
		Data: s.start(), First: r.now,
	}
	r.tell()
}

// refuseKey drops a segment and whatever comes later under its key, of which
// nothing is known yet.
func (r *Reassembler) refuseKey(s *Segment, why reason.Reason) {
	r.bury(r.enter(s, r.ledger.source(s.Src)), why)
	r.refuse(s, why, false)
}

// tell shows the sink what was dropped, when everything is in order again. No
// buffer is used anew before it returns.
func (r *Reassembler) tell() {
	r.sink.Dropped(&r.dropped)
	r.dropped = Dropped{}
}

// enter makes an entry for the key of s, to become a frame or a tombstone.
func (r *Reassembler) enter(s *Segment, src *source) *entry {
	e := r.pool.getEntry()
	e.key, e.src, e.at = s.key(), src, r.now
	r.keys.add(e)
	return e
}

// bury makes e, which holds nothing any more, a tombstone.
func (r *Reassembler) bury(e *entry, why reason.Reason) {
	l := &r.ledger
	switch {
	case e.src.used[tombstones] >= l.share[tombstones]:
		r.forget(e.src.tombstones.head)
	case l.used[tombstones] >= l.total[tombstones]:
		r.forget(r.tombstones.head)
	}
	e.at, e.why = r.now, why
	r.tombstones.push(e)
	e.src.tombstones.push(e)
	l.charge(e.src, tombstones, 1)
}

// forget removes a tombstone.
func (r *Reassembler) forget(e *entry) {
	r.tombstones.remove(e)
	e.src.tombstones.remove(e)
	r.ledger.charge(e.src, tombstones, -1)
	r.remove(e)
}
