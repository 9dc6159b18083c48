package reassembly

import (
	"sttwall/internal/checksum"
	"sttwall/reason"
)

// entry is what is known of a key: a frame that waits for segments, or the
// tombstone of one that was dropped.
type entry struct {
	key   Key
	next  *entry // in the list of the table
	src   *source
	links [memberships]link
	at    int64 // when it became what it is, in ns
	why   reason.Reason

	// Valid iff why is None.

	srcPort, dstPort uint16
	length, received int // bytes
	buf              []byte
	packets          []Packet // in the order in which they came
	order            order    // of packets; empty while they came in that of their offsets
	sum              uint64   // of the payloads, not folded
	unsummed, cut    bool     // some packet: its sum is not known; only a part was copied
}

func (e *entry) tombstone() bool { return e.why != reason.None }

// fit finds the place of a segment among the packets of a frame, which has at least
// one, or why it has none.
func (e *entry) fit(s *Segment, p *pool) (place, reason.Reason) {
	switch {
	case s.SrcPort != e.srcPort:
		return place{}, reason.SourcePortChanged
	case s.DstPort != e.dstPort:
		return place{}, reason.DestinationPortChanged
	case s.FrameLength != e.length:
		return place{}, reason.FrameLengthChanged
	}
	if len(e.order) == 0 {
		// Segments come in order most of the time.
		if last := &e.packets[len(e.packets)-1]; s.Offset >= last.Offset+last.Length {
			return place{}, reason.None
		}
		e.order = p.orders.get()
		for i := range e.packets {
			e.order.insert(e.order.end(), spanOf(&e.packets[i], i), p)
		}
	}
	return e.order.fit(s.Offset, s.Offset+s.length())
}

// insert copies a segment that fits at a place into the frame.
func (e *entry) insert(at place, s *Segment, p *pool) {
	copy(e.buf[s.Offset:], s.Payload)
	e.packets = s.appendTo(e.packets)
	last := &e.packets[len(e.packets)-1]
	if len(e.order) > 0 {
		e.order.insert(at, spanOf(last, len(e.packets)-1), p)
	}
	e.received += last.Length
	e.sum += uint64(checksum.Part(last.Sum, last.Offset))
	e.unsummed = e.unsummed || !last.Summed
	e.cut = e.cut || int(last.copied) < last.Length
}

// inOrder appends the packets to list in the order of their offsets.
func (e *entry) inOrder(list []Packet) []Packet {
	if len(e.order) == 0 {
		return append(list, e.packets...)
	}
	for _, r := range e.order {
		for _, s := range r.spans[:r.n] {
			list = append(list, e.packets[s.index])
		}
	}
	return list
}

// known returns the start of the frame that these packets carried, which are in
// order, up to the first byte that is missing.
func (e *entry) known(packets []Packet) []byte {
	n := 0
	for i := range packets {
		if packets[i].Offset != n {
			break
		}
		n += int(packets[i].copied) // less than its length: the next one starts elsewhere
	}
	return e.buf[:n:n]
}
