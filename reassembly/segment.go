package reassembly

import (
	"net/netip"

	"sttwall/reason"
	"sttwall/stt"
)

// Key names a frame while it is on its way. Receivers use the same key
// (pkt_key in the Linux stt.c); ports are no part of it.
type Key struct {
	// Src and Dst are the outer addresses.
	Src, Dst netip.Addr
	// FrameID is the acknowledgment number of the segment header.
	FrameID uint32
}

// Segment is one packet of a frame, as its segment header tells it.
type Segment struct {
	// Src, Dst and FrameID are the [Key] of the frame.
	Src, Dst netip.Addr
	// SrcPort and DstPort must be the same in all segments of a frame.
	SrcPort, DstPort uint16
	FrameID          uint32
	// FrameLength is the length of the whole STT frame in bytes, its frame
	// header included.
	FrameLength int
	// Offset is where in the frame the payload belongs, in bytes.
	Offset int
	// Payload is borrowed until Add returns, or for a frame that came whole
	// in one packet, as long as the [Frame].
	Payload []byte
	// Packet is kept for the verdict. Its Length says how long the payload
	// was on the wire if Payload is shorter than that.
	Packet Packet
}

// Packet is what a verdict and a new encoding need to know of a packet.
type Packet struct {
	// ID is the caller's name for the packet.
	ID uint64
	// Offset and Length say which bytes of the frame the packet carried on
	// the wire. Offset is set by [Reassembler.Add], and so is Length, unless
	// it is more than the length of the segment's payload: then the kernel
	// copied only a part of the packet.
	Offset, Length int
	// FlowLabel, IPID, TTL, TOS and DontFragment are those of the outer IP
	// header, see [stt.Outer]; HeaderLen is the length in bytes of that header
	// and the segment header.
	FlowLabel    uint32
	IPID         uint16
	TTL, TOS     uint8
	HeaderLen    uint8
	DontFragment bool
	// Canonical: the segment header was as it would be written anew, see
	// [stt.Segment.Canonical].
	Canonical bool
	// GSO: the packet is a super-segment that the kernel cuts up when it leaves.
	GSO bool
	// Unfinished: the checksum of a packet that is not cut up is still to be
	// written by whatever sends it on.
	Unfinished bool
	// Sum is the sum of the payload, see [stt.Segment.Verify]. Valid iff Summed.
	Summed bool
	Sum    uint16

	copied uint16 // bytes of the payload that are known
}

// Frame is a frame that is whole. It and all that it points to are valid until
// [Frame.Release] or the next call of Add, Expire or Flush.
type Frame struct {
	Key
	SrcPort, DstPort uint16
	// FrameLength is the length of the frame on the wire in bytes.
	FrameLength int
	// Data is the frame from its frame header on. It is shorter than
	// FrameLength if the kernel copied only a part of some packet, and then
	// ends where the first missing byte would be.
	Data []byte
	// Packets are those that carried the frame, in the order of their
	// offsets: without gaps, without overlaps.
	Packets []Packet
	// First is when the first of them came, in ns on the caller's clock.
	First int64
	// Sum is the one's complement sum of the frame, put together from those of its
	// packets. Valid iff Summed: that of each was known.
	Sum    uint16
	Summed bool
}

// Release ends the use of f. It may be called more than once, and is called
// by the next Add, Expire or Flush if the caller does not.
func (f *Frame) Release() { *f = Frame{} }

// Dropped is a frame that was given up, or a segment that was refused.
// It and all that it points to are valid until [Sink.Dropped] returns.
type Dropped struct {
	Key
	SrcPort, DstPort uint16
	// FrameLength is as the first segment named it.
	FrameLength int
	// Reason is never None.
	Reason reason.Reason
	// Late: the frame was dropped before, for the same reason; this is a
	// segment that came after that.
	Late bool
	// Packets are the packets to drop, at least one: those held, in the order
	// of their offsets, then the one that was refused, if that is why.
	Packets []Packet
	// Received is how many bytes of the frame were held.
	Received int
	// Data is the start of the frame, as far as it is known; it may be empty.
	Data []byte
	// First is when the first of the packets came, in ns on the caller's clock.
	First int64
}

// Sink takes what is dropped.
type Sink interface {
	// Dropped is called from within Add, Expire and Flush, and must call
	// none of them. What d points to is borrowed until it returns.
	Dropped(d *Dropped)
}

func (s *Segment) key() Key { return Key{s.Src, s.Dst, s.FrameID} }

// length is that of the payload on the wire, in bytes.
func (s *Segment) length() int { return max(s.Packet.Length, len(s.Payload)) }

// whole reports whether the segment is all of its frame.
func (s *Segment) whole() bool { return s.Offset == 0 && s.length() == s.FrameLength }

// keep writes the packet as it is kept. Field by field: it has just been written so,
// and a processor waits before it reads more at a time than was written.
func (s *Segment) keep(p *Packet) {
	o := &s.Packet
	p.ID, p.Offset, p.Length = o.ID, s.Offset, s.length()
	p.FlowLabel, p.IPID, p.TTL, p.TOS, p.DontFragment = o.FlowLabel, o.IPID, o.TTL, o.TOS, o.DontFragment
	p.HeaderLen, p.Canonical, p.GSO, p.Unfinished = o.HeaderLen, o.Canonical, o.GSO, o.Unfinished
	p.Sum, p.Summed, p.copied = o.Sum, o.Summed, uint16(len(s.Payload))
}

// appendTo appends the packet as it is kept to list.
func (s *Segment) appendTo(list []Packet) []Packet {
	n := len(list)
	if n == cap(list) {
		list = append(list, Packet{})
	}
	list = list[:n+1]
	s.keep(&list[n])
	return list
}

// start returns the first bytes of the frame, if the segment holds them.
func (s *Segment) start() []byte {
	if s.Offset != 0 {
		return nil
	}
	return s.Payload
}

// check finds what is wrong with a segment whatever else came of its frame.
func (s *Segment) check() reason.Reason {
	length := s.length()
	switch {
	case length == 0:
		return reason.SegmentEmpty
	case s.FrameLength > stt.MaxFrameLen, s.Offset < 0, length > s.FrameLength-s.Offset:
		return reason.SegmentPastEnd
	case s.Offset > 0 && s.Offset < stt.FrameHeaderLen:
		// The Windows receiver takes the frame header off the offset and
		// writes before its buffer.
		return reason.SegmentTooSmall
	case s.Offset == 0 && length < stt.FrameHeaderLen && length < s.FrameLength:
		// What follows would have to start there.
		return reason.SegmentTooSmall
	}
	return reason.None
}
