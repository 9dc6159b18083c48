package reassembly

import (
	"slices"

	"sttwall/reason"
)

// entry is what is known of a key: a frame that waits for segments, or the
// tombstone of one that was dropped.
type entry struct {
	key   Key
	src   *source
	links [memberships]link
	at    int64 // when it became what it is, in ns
	why   reason.Reason

	// Valid iff why is None.

	srcPort, dstPort uint16
	length, received int // bytes
	buf              []byte
	spans            []span // by offset
}

func (e *entry) tombstone() bool { return e.why != reason.None }

// span is the part of a frame that one packet carried: [start, end), of which
// the first copied bytes are known.
type span struct {
	start, end, copied uint16
	node               *node
}

// fit finds the place of a segment among the spans of a frame, or why it
// has none.
func (e *entry) fit(s *Segment) (int, reason.Reason) {
	switch {
	case s.SrcPort != e.srcPort:
		return 0, reason.SourcePortChanged
	case s.DstPort != e.dstPort:
		return 0, reason.DestinationPortChanged
	case s.FrameLength != e.length:
		return 0, reason.FrameLengthChanged
	}
	start, end := s.Offset, s.Offset+s.length()
	i := len(e.spans)
	// Segments come in order most of the time.
	if i > 0 && int(e.spans[i-1].start) >= start {
		i, _ = slices.BinarySearchFunc(e.spans, start, func(p span, start int) int { return int(p.start) - start })
	}
	switch {
	case i < len(e.spans) && int(e.spans[i].start) == start && int(e.spans[i].end) == end:
		return 0, reason.SegmentDuplicate
	case i < len(e.spans) && int(e.spans[i].start) < end,
		i > 0 && int(e.spans[i-1].end) > start:
		return 0, reason.SegmentOverlap
	}
	return i, reason.None
}

// insert copies a segment that fits at i into the frame.
func (e *entry) insert(i int, s *Segment, n *node) {
	length := s.length()
	copy(e.buf[s.Offset:], s.Payload)
	n.Packet = s.packet()
	e.spans = slices.Insert(e.spans, i, span{
		start: uint16(s.Offset), end: uint16(s.Offset + length),
		copied: uint16(len(s.Payload)), node: n,
	})
	e.received += length
}

// known returns the start of the frame, up to the first byte that is missing.
func (e *entry) known() []byte {
	n := 0
	for _, p := range e.spans {
		if int(p.start) != n {
			break
		}
		n += int(p.copied) // less than its length: the next one starts elsewhere
	}
	return e.buf[:n:n]
}

// node is the room for a packet that is held.
type node struct {
	Packet
	next *node // among the idle ones
}

// pool has what frames are made of besides their buffers. It keeps what it
// made; as much as the bounds let be held at a time, and no more.
type pool struct {
	nodes   *node
	entries *entry // linked by links[ofAll].next
	spans   [][]span

	idleSpans, maxIdleSpans int // how many fit into spans
}

func (p *pool) getNode() *node {
	if p.nodes == nil {
		chunk := make([]node, 32)
		for i := range chunk {
			p.putNode(&chunk[i])
		}
	}
	n := p.nodes
	p.nodes, n.next = n.next, nil
	return n
}

func (p *pool) putNode(n *node) { n.next, p.nodes = p.nodes, n }

func (p *pool) getEntry() *entry {
	e := p.entries
	if e == nil {
		return new(entry)
	}
	p.entries, e.links[ofAll].next = e.links[ofAll].next, nil
	return e
}

func (p *pool) putEntry(e *entry) {
	*e = entry{}
	e.links[ofAll].next, p.entries = p.entries, e
}

func (p *pool) getSpans() []span {
	last := len(p.spans) - 1
	if last < 0 {
		return nil
	}
	s := p.spans[last]
	p.spans[last] = nil
	p.spans = p.spans[:last]
	p.idleSpans -= cap(s)
	return s
}

func (p *pool) putSpans(s []span) {
	if cap(s) == 0 || p.idleSpans+cap(s) > p.maxIdleSpans {
		return
	}
	clear(s)
	p.spans = append(p.spans, s[:0])
	p.idleSpans += cap(s)
}
