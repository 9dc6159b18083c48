package stt

import (
	"encoding/binary"
	"net/netip"

	"sttwall/internal/checksum"
	"sttwall/reason"
)

const (
	ipv4HeaderLen = 20
	ipv6HeaderLen = 40

	// maxExtensions bounds the walk over outer IPv6 extension headers. All
	// of them are drops; the walk only tells whether the packet is STT.
	maxExtensions = 8
)

// Outer is the IP header around a segment (draft section 3.3).
type Outer struct {
	// Src and Dst are the tunnel endpoints. IPv4 addresses are never in
	// their IPv6-mapped form.
	Src, Dst netip.Addr
	// HeaderLen is the length of the IP header, options and extension
	// headers included; TotalLen that of the packet. In bytes.
	HeaderLen, TotalLen int
	// TTL is the TTL or hop limit.
	TTL uint8
	// TOS is the TOS or traffic class byte: DSCP in the high six bits, ECN
	// in the low two.
	TOS uint8
	// ID is the IPv4 identification; 0 with IPv6.
	ID uint16
	// DontFragment is the IPv4 DF flag; false with IPv6.
	DontFragment bool
	// FlowLabel is the IPv6 flow label, 20 bits; 0 with IPv4.
	FlowLabel uint32
}

// DSCP returns the differentiated services code point, 6 bits.
func (o *Outer) DSCP() uint8 { return o.TOS >> 2 }

// CongestionExperienced reports whether the ECN field says CE (RFC 3168).
func (o *Outer) CongestionExperienced() bool { return o.TOS&3 == 3 }

// decode reads the IP header of packet, which is length bytes long on the
// wire, into an empty o, and leaves HeaderLen at the segment header. A verdict about a packet
// that is not STT is always [reason.NotSTT], so that a caller can tell it
// from broken STT. o must be reset.
func (o *Outer) decode(packet []byte, length int, ports []uint16) reason.Reason {
	if len(packet) == 0 {
		return short(length, 1)
	}
	switch packet[0] >> 4 {
	case 4:
		return o.decodeIPv4(packet, length, ports)
	case 6:
		return o.decodeIPv6(packet, length, ports)
	}
	return reason.NotSTT
}

// short says why fewer than want bytes are at hand of a packet of length bytes.
func short(length, want int) reason.Reason {
	if length >= want {
		return reason.CopyTooShort
	}
	return reason.OuterMalformed
}

func (o *Outer) decodeIPv4(packet []byte, length int, ports []uint16) reason.Reason {
	if len(packet) < ipv4HeaderLen {
		return short(length, ipv4HeaderLen)
	}
	b := (*[ipv4HeaderLen]byte)(packet)
	if b[9] != protocolTCP {
		return reason.NotSTT
	}
	o.Src, o.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	headerLen, total := int(b[0]&0x0f)*4, int(binary.BigEndian.Uint16(b[2:]))
	o.HeaderLen, o.TotalLen = headerLen, total
	o.TOS, o.TTL = b[1], b[8]
	o.ID = binary.BigEndian.Uint16(b[4:])
	fragment := binary.BigEndian.Uint16(b[6:])
	o.DontFragment = fragment&0x4000 != 0

	if fragment&0x1fff != 0 {
		// No port to know it by; a receiver could complete an STT packet with it.
		return reason.OuterFragment
	}
	if headerLen < ipv4HeaderLen || total < headerLen || total > length {
		return reason.OuterMalformed
	}
	if len(packet) < headerLen {
		return short(length, headerLen)
	}
	if r := toPort(packet[:min(len(packet), total)], headerLen, total, ports); r != reason.None {
		return r
	}
	switch {
	case fragment&0x2000 != 0:
		return reason.OuterFragment
	case headerLen != ipv4HeaderLen:
		return reason.OuterOptions
	case checksum.Sum20(b) != 0xffff:
		return reason.OuterIPChecksum
	}
	return reason.None
}

func (o *Outer) decodeIPv6(packet []byte, length int, ports []uint16) reason.Reason {
	if len(packet) < ipv6HeaderLen {
		return short(length, ipv6HeaderLen)
	}
	o.Src = netip.AddrFrom16([16]byte(packet[8:24]))
	o.Dst = netip.AddrFrom16([16]byte(packet[24:40]))
	o.HeaderLen = ipv6HeaderLen
	o.TotalLen = ipv6HeaderLen + int(binary.BigEndian.Uint16(packet[4:]))
	first := binary.BigEndian.Uint32(packet)
	o.TOS, o.FlowLabel = uint8(first>>20), first&0xfffff
	o.TTL = packet[7]

	if packet[6] != protocolTCP {
		return o.behindExtensions(packet, length, ports)
	}
	if o.TotalLen > length || o.TotalLen == ipv6HeaderLen {
		return reason.OuterMalformed
	}
	return toPort(packet[:min(len(packet), o.TotalLen)], ipv6HeaderLen, o.TotalLen, ports)
}

// behindExtensions tells whether STT hides behind IPv6 extension headers
// (RFC 8200 section 4). It never accepts.
func (o *Outer) behindExtensions(packet []byte, length int, ports []uint16) reason.Reason {
	next, at := packet[6], ipv6HeaderLen
	for range maxExtensions {
		switch next {
		case 0, 43, 60, 135, 139, 140, 51: // hop-by-hop, routing, destination, mobility, HIP, shim6, AH
			if len(packet) < at+8 {
				return unknowable(length, at+8)
			}
			size := (int(packet[at+1]) + 1) * 8
			if next == 51 {
				size = (int(packet[at+1]) + 2) * 4
			}
			next, at = packet[at], at+size
		case 44: // fragment
			if len(packet) < at+8 {
				return unknowable(length, at+8)
			}
			if packet[at] != protocolTCP && binary.BigEndian.Uint16(packet[at+2:])&0xfff8 == 0 && !extension(packet[at]) {
				return reason.NotSTT
			}
			return reason.OuterFragment
		case protocolTCP:
			if len(packet) < at+4 {
				return unknowable(length, at+4)
			}
			if r := toPort(packet, at, length, ports); r != reason.None {
				return r
			}
			return reason.OuterOptions
		default:
			return reason.NotSTT
		}
	}
	return reason.OuterOptions
}

func extension(next byte) bool {
	switch next {
	case 0, 43, 44, 51, 60, 135, 139, 140:
		return true
	}
	return false
}

// unknowable is the reason for a chain that ends before it shows what it holds.
func unknowable(length, want int) reason.Reason {
	if length >= want {
		return reason.CopyTooShort
	}
	return reason.OuterOptions
}

// toPort returns None if the TCP-like header at offset at goes to one of ports.
func toPort(packet []byte, at, length int, ports []uint16) reason.Reason {
	if len(packet) < at+4 {
		if length < at+4 {
			return reason.SegmentMalformed
		}
		return reason.CopyTooShort
	}
	port := binary.BigEndian.Uint16(packet[at+2:])
	for _, p := range ports {
		if p == port {
			return reason.None
		}
	}
	return reason.NotSTT
}
