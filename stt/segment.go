package stt

import (
	"encoding/binary"

	"sttwall/internal/checksum"
	"sttwall/reason"
)

const (
	// Port is the TCP port that IANA assigned to STT (draft section 3.2).
	Port = 7471
	// SegmentHeaderLen is the length of the TCP-like header in bytes.
	SegmentHeaderLen = 20
	// MaxFrameLen is the longest STT frame in bytes, its frame header
	// included: the length has 16 bits.
	MaxFrameLen = 65535
)

// TCP flags as they stand in the segment header (RFC 9293 section 3.1).
const (
	FlagFIN = 1 << iota
	FlagSYN
	FlagRST
	FlagPSH
	FlagACK
	FlagURG
	FlagECE
	FlagCWR
)

// canonicalWindow is what Open vSwitch sends; no receiver looks at it.
const canonicalWindow = 0xffff

// Segment is one outer packet: its IP header and the TCP-like segment header
// (draft section 3.2). [Segment.Decode] resets all of it; after anything but
// [reason.None] only what the reason implies was read is meaningful.
type Segment struct {
	Outer
	// SrcPort is a hash of the inner flow; DstPort the STT port.
	SrcPort, DstPort uint16
	// FrameLength is the length of the whole STT frame in bytes, its frame
	// header included: the high half of the sequence number.
	FrameLength uint16
	// Offset is where Payload belongs in the frame, in bytes ("fragment
	// offset"): the low half of the sequence number.
	Offset uint16
	// FrameID is the same in all segments of a frame: the acknowledgment number.
	FrameID uint32
	// Flags are the eight TCP flags; Reserved the four bits behind the data
	// offset.
	Flags, Reserved uint8
	// Window, Checksum and Urgent are the remaining TCP fields.
	Window, Checksum, Urgent uint16
	// Payload is this segment's part of the frame, as far as it was copied.
	// It aliases the packet.
	Payload []byte
	// PayloadLen is the length of the payload on the wire, in bytes.
	PayloadLen int
}

// Decode reads a packet that starts with its outer IP header and is length
// bytes long on the wire; packet may be shorter where only a part was copied.
// Bytes behind the IP packet (link padding) are ignored. ports are the STT
// ports.
//
// It checks what one packet can show by itself, but not the TCP checksum:
// see [Segment.ChecksumGood].
func (s *Segment) Decode(packet []byte, length int, ports []uint16) reason.Reason {
	*s = Segment{}
	if length < len(packet) {
		packet = packet[:length]
	}
	if r := s.decode(packet, length, ports); r != reason.None {
		return r
	}
	at, end := s.HeaderLen, s.TotalLen
	if end < at+SegmentHeaderLen {
		return reason.SegmentMalformed
	}
	if len(packet) < at+SegmentHeaderLen {
		return reason.CopyTooShort
	}
	packet = packet[at:min(len(packet), end)]
	h := (*[SegmentHeaderLen]byte)(packet)
	s.SrcPort = binary.BigEndian.Uint16(h[0:])
	s.DstPort = binary.BigEndian.Uint16(h[2:])
	s.FrameLength = binary.BigEndian.Uint16(h[4:])
	s.Offset = binary.BigEndian.Uint16(h[6:])
	s.FrameID = binary.BigEndian.Uint32(h[8:])
	s.Reserved = h[12] & 0x0f
	s.Flags = h[13]
	s.Window = binary.BigEndian.Uint16(h[14:])
	s.Checksum = binary.BigEndian.Uint16(h[16:])
	s.Urgent = binary.BigEndian.Uint16(h[18:])
	s.Payload = packet[SegmentHeaderLen:]
	s.PayloadLen = end - at - SegmentHeaderLen
	switch {
	case h[13]&^(FlagACK|FlagPSH) != 0:
		return reason.SegmentFlags
	case h[12]>>4 != SegmentHeaderLen/4:
		return reason.SegmentMalformed
	}
	return reason.None
}

// Whole reports whether Payload is all of the segment's payload.
func (s *Segment) Whole() bool { return len(s.Payload) == s.PayloadLen }

// ChecksumGood reports whether the TCP checksum of the decoded packet is
// right. packet is what Decode was given; false if it is not whole.
func (s *Segment) ChecksumGood(packet []byte) bool {
	_, good := s.Verify(packet)
	return good
}

// Verify is [Segment.ChecksumGood], and returns the one's complement sum of the
// payload that it has read besides: folded, not complemented, valid iff good. Who
// needs the sum of a part of it need not read it again.
func (s *Segment) Verify(packet []byte) (payload uint16, good bool) {
	if !s.Whole() || len(packet) < s.TotalLen || s.TotalLen < s.HeaderLen+SegmentHeaderLen {
		return 0, false
	}
	payload = checksum.Sum(s.Payload)
	at := s.HeaderLen
	acc := checksum.Pseudo(s.Src, s.Dst, protocolTCP, s.TotalLen-at) + uint64(payload) +
		uint64(checksum.Sum20((*[SegmentHeaderLen]byte)(packet[at:])))
	return payload, checksum.Fold(acc) == 0xffff
}

// ChecksumIsPseudo reports whether the checksum field holds the pseudo-header
// sum alone, so that an offload still has to finish it.
func (s *Segment) ChecksumIsPseudo() bool {
	return s.Checksum == PseudoSum(s.Src, s.Dst, protocolTCP, s.TotalLen-s.HeaderLen)
}

// Canonical reports whether the segment header is as [AppendSegment] would
// write it, PSH apart: that one belongs to whoever cuts the frame.
func (s *Segment) Canonical() bool {
	return s.Flags|FlagPSH == FlagACK|FlagPSH && s.Reserved == 0 &&
		s.Window == canonicalWindow && s.Urgent == 0
}

// WholeFrame reports whether this one packet carries a whole frame: receivers
// then take it without a look at others. False for a packet whose segment
// header was not read.
func (s *Segment) WholeFrame() bool {
	return s.FrameLength != 0 && s.Offset == 0 && s.PayloadLen == int(s.FrameLength)
}
