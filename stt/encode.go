package stt

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"sttwall/internal/checksum"
)

// Path is what all packets of a frame share on the outside.
type Path struct {
	// Src and Dst are the tunnel endpoints, of one family.
	Src, Dst netip.Addr
	// SrcPort is the same for all segments of a frame.
	SrcPort, DstPort uint16
	// TTL is the TTL or hop limit, TOS the whole TOS or traffic class byte.
	TTL, TOS uint8
	// ID is the IPv4 identification of the packet.
	ID uint16
	// DontFragment is the IPv4 DF flag.
	DontFragment bool
	// FlowLabel is the IPv6 flow label, 20 bits.
	FlowLabel uint32
}

// PathOf returns the path that s came on.
func PathOf(s *Segment) Path {
	return Path{
		Src: s.Src, Dst: s.Dst, SrcPort: s.SrcPort, DstPort: s.DstPort,
		TTL: s.TTL, TOS: s.TOS, ID: s.ID, DontFragment: s.DontFragment, FlowLabel: s.FlowLabel,
	}
}

// HeaderLen returns the length of the IP and the segment header in bytes.
func (p *Path) HeaderLen() int {
	if p.Src.Is4() {
		return ipv4HeaderLen + SegmentHeaderLen
	}
	return ipv6HeaderLen + SegmentHeaderLen
}

// MaxPayload returns how many bytes of a frame fit into one packet: for an
// IPv4 packet 65,535 bytes less the headers, for IPv6 20 more.
func (p *Path) MaxPayload() int {
	if p.Src.Is4() {
		return 65535 - ipv4HeaderLen - SegmentHeaderLen
	}
	return 65535 - SegmentHeaderLen
}

// ChecksumMode says what goes into the TCP checksum field.
type ChecksumMode uint8

const (
	// ChecksumFull: the checksum of the segment.
	ChecksumFull ChecksumMode = iota
	// ChecksumPartial: the pseudo-header sum, for an offload to finish.
	ChecksumPartial
)

// Piece is one segment's part of a frame.
type Piece struct {
	// FrameID and FrameLength are those of the whole frame.
	FrameID     uint32
	FrameLength int
	// Offset is where Payload belongs in the frame, in bytes.
	Offset int
	// Payload is borrowed until the call returns.
	Payload []byte
	// Header, if not nil, is written in place of the first [FrameHeaderLen]
	// bytes of Payload, which must then start at Offset 0 and hold them all.
	Header *FrameHeader
	// Sum is the one's complement sum of Payload as it is given, so that it need
	// not be read for the checksum; see [Segment.Verify]. Valid iff HasSum.
	Sum    uint16
	HasSum bool
	// Checksum says how the TCP checksum is written.
	Checksum ChecksumMode
}

// AppendSegment appends one outer packet in canonical form: ACK is set, PSH
// on the last segment of the frame only (so that GRO can merge what segmentation
// cut; Open vSwitch does the same), window 65535, urgent pointer 0. The
// payload must fit [Path.MaxPayload].
func AppendSegment(dst []byte, p *Path, piece *Piece) []byte {
	start := len(dst)
	tcpLen := SegmentHeaderLen + len(piece.Payload)
	dst = appendIP(dst, p, tcpLen)
	at := len(dst)
	flags := byte(FlagACK)
	if piece.Offset+len(piece.Payload) == piece.FrameLength {
		flags |= FlagPSH
	}
	dst = binary.BigEndian.AppendUint16(dst, p.SrcPort)
	dst = binary.BigEndian.AppendUint16(dst, p.DstPort)
	dst = binary.BigEndian.AppendUint16(dst, uint16(piece.FrameLength))
	dst = binary.BigEndian.AppendUint16(dst, uint16(piece.Offset))
	dst = binary.BigEndian.AppendUint32(dst, piece.FrameID)
	dst = append(dst, SegmentHeaderLen/4<<4, flags, canonicalWindow>>8, canonicalWindow&0xff, 0, 0, 0, 0)
	payload := piece.Payload
	if piece.Header != nil {
		dst = AppendFrameHeader(dst, piece.Header)
		payload = payload[FrameHeaderLen:]
	}
	dst = append(dst, payload...)

	check := PseudoSum(p.Src, p.Dst, protocolTCP, tcpLen)
	switch {
	case piece.Checksum == ChecksumPartial:
	case piece.HasSum:
		written := at + SegmentHeaderLen
		sum := piece.Sum
		if piece.Header != nil {
			written += FrameHeaderLen
			sum = checksum.Without(sum, checksum.Sum(piece.Payload[:FrameHeaderLen]))
		}
		check = ^checksum.Fold(uint64(check) + uint64(sum) + uint64(checksum.Sum(dst[at:written])))
	default:
		check = ^checksum.Fold(uint64(check) + uint64(checksum.Sum(dst[at:])))
	}
	binary.BigEndian.PutUint16(dst[at+16:], check)
	if p.Src.Is4() {
		binary.BigEndian.PutUint16(dst[start+10:], Checksum(dst[start:at]))
	}
	return dst
}

func appendIP(dst []byte, p *Path, payloadLen int) []byte {
	if p.Src.Is4() {
		var fragment uint16
		if p.DontFragment {
			fragment = 0x4000
		}
		dst = append(dst, 0x45, p.TOS)
		dst = binary.BigEndian.AppendUint16(dst, uint16(ipv4HeaderLen+payloadLen))
		dst = binary.BigEndian.AppendUint16(dst, p.ID)
		dst = binary.BigEndian.AppendUint16(dst, fragment)
		dst = append(dst, p.TTL, protocolTCP, 0, 0)
		src, to := p.Src.As4(), p.Dst.As4()
		dst = append(dst, src[:]...)
		return append(dst, to[:]...)
	}
	dst = binary.BigEndian.AppendUint32(dst, 6<<28|uint32(p.TOS)<<20|p.FlowLabel&0xfffff)
	dst = binary.BigEndian.AppendUint16(dst, uint16(payloadLen))
	dst = append(dst, protocolTCP, p.TTL)
	src, to := p.Src.As16(), p.Dst.As16()
	dst = append(dst, src[:]...)
	return append(dst, to[:]...)
}

// AppendSegments cuts frame, an STT frame with its header, for an MTU and
// appends the packets one behind the other to dst. Each packet's IP ID is one
// above that of the packet before it. emit is called for each packet with the
// part of dst that holds it; the slice is valid until dst is changed.
//
// An mtu of 0 makes as few packets as IP allows: one GSO packet for all but
// the largest frames. The error says that the MTU has no room for a payload
// or that the frame is too long.
func AppendSegments(dst []byte, p *Path, frameID uint32, frame []byte, mtu int, sum ChecksumMode, emit func(packet []byte)) ([]byte, error) {
	size := p.MaxPayload()
	if mtu != 0 {
		size = min(size, mtu-p.HeaderLen())
	}
	if size <= 0 {
		return dst, fmt.Errorf("mtu %d: no room behind %d bytes of headers", mtu, p.HeaderLen())
	}
	if len(frame) > MaxFrameLen {
		return dst, fmt.Errorf("frame of %d bytes: longer than %d", len(frame), MaxFrameLen)
	}
	path := *p
	for at := 0; at < len(frame); at += size {
		piece := Piece{
			FrameID: frameID, FrameLength: len(frame), Offset: at,
			Payload: frame[at:min(at+size, len(frame))], Checksum: sum,
		}
		start := len(dst)
		dst = AppendSegment(dst, &path, &piece)
		emit(dst[start:len(dst):len(dst)])
		path.ID++
	}
	return dst, nil
}
