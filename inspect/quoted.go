package inspect

import (
	"encoding/binary"
	"net/netip"

	"sttwall/reason"
)

// quotedLen is how much of the upper-layer header an ICMP error quotes at least
// (RFC 792): the ports and TCP's sequence number, or an ICMP identifier.
const quotedLen = 8

// Quoted is the packet that an ICMP error is about, as far as the error quotes
// it. It is reusable: [Quoted.Decode] resets all of it. Its lengths and
// checksums are not looked at: routers on the way have changed them, and stacks
// are known to quote them in the wrong byte order.
type Quoted struct {
	IP       uint8 // 4 or 6
	Src, Dst netip.Addr
	Protocol uint8 // behind the IPv6 extension headers

	// Fragment: a later fragment, of which nothing more is read.
	Fragment bool
	// HasPorts: TCP, UDP or SCTP.
	HasPorts         bool
	SrcPort, DstPort uint16
	// Sequence is the TCP sequence number. Valid iff HasPorts and Protocol is
	// TCP.
	Sequence uint32
	// HasICMP: ICMPType is valid, and ICMPID if HasICMPID.
	HasICMP   bool
	ICMPType  uint8
	HasICMPID bool
	ICMPID    uint16

	// HeaderBytes is how many bytes of the frame, from its start, all this
	// rests on.
	HeaderBytes int
}

// ICMPError reports whether the frame is an ICMP error, which quotes the packet
// that it is about: RFC 792 (destination unreachable, time exceeded, parameter
// problem), RFC 4443 section 2.1. Source quench is none any more (RFC 6633), and
// a redirect is an order to a host, not a message about a packet's fate.
func (f *Frame) ICMPError() bool {
	if !f.HasICMP {
		return false
	}
	if f.Protocol == ProtocolICMPv6 {
		return 1 <= f.ICMPType && f.ICMPType <= 4
	}
	return f.ICMPType == 3 || f.ICMPType == 11 || f.ICMPType == 12
}

// Decode reads the packet that the error quotes. f is the error, decoded from
// data, which may be a part of the frame. data is borrowed until the call
// returns.
//
// The reason is [reason.None], [reason.CopyTooShort] if data ends before what
// has to be read and the frame does not, [reason.InnerIPHeader] if no packet of
// the error's IP version is quoted, [reason.InnerExtension] if its extension
// headers cannot be walked, or [reason.InnerTruncated] if the error does not
// quote enough. After a refusal trust nothing of q.
func (q *Quoted) Decode(data []byte, f *Frame) reason.Reason {
	*q = Quoted{}
	if !f.ICMPError() || f.IPEnd-f.L4Offset < icmpLen {
		return reason.InnerIPHeader
	}
	r := reader{data: data, off: f.L4Offset + icmpLen, end: f.IPEnd}
	var why reason.Reason
	if f.IP == 4 {
		why = q.decodeIPv4(&r)
	} else {
		why = q.decodeIPv6(&r)
	}
	if why == reason.None && !q.Fragment {
		why = q.decodeL4(&r)
	}
	q.HeaderBytes = r.off
	return why
}

// reader takes bytes from a part of a packet that ends at end.
type reader struct {
	data     []byte
	off, end int
}

// next returns the next n bytes.
func (r *reader) next(n int) ([]byte, reason.Reason) {
	switch {
	case r.end-r.off < n:
		return nil, reason.InnerTruncated
	case len(r.data) < r.off+n:
		return nil, reason.CopyTooShort
	}
	r.off += n
	return r.data[r.off-n : r.off], reason.None
}

func (q *Quoted) decodeIPv4(r *reader) reason.Reason {
	b, why := r.next(ipv4Len)
	if why != reason.None {
		return why
	}
	headerLen := int(b[0]&0x0f) * 4
	if b[0]>>4 != 4 || headerLen < ipv4Len {
		return reason.InnerIPHeader
	}
	q.IP = 4
	q.Protocol = b[9]
	q.Src = netip.AddrFrom4([4]byte(b[12:16]))
	q.Dst = netip.AddrFrom4([4]byte(b[16:20]))
	q.Fragment = binary.BigEndian.Uint16(b[6:])&0x1fff != 0
	_, why = r.next(headerLen - ipv4Len)
	return why
}

func (q *Quoted) decodeIPv6(r *reader) reason.Reason {
	b, why := r.next(ipv6Len)
	if why != reason.None {
		return why
	}
	if b[0]>>4 != 6 {
		return reason.InnerIPHeader
	}
	q.IP = 6
	q.Protocol = b[6]
	q.Src = netip.AddrFrom16([16]byte(b[8:24]))
	q.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	for n := 0; isExtension(q.Protocol); n++ {
		if n == maxExtensions {
			return reason.InnerExtension
		}
		header := q.Protocol
		if b, why = r.next(8); why != reason.None {
			return why
		}
		q.Protocol = b[0]
		size := (int(b[1]) + 1) * 8
		switch header {
		case headerFragment:
			if binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				q.Fragment = true
				return reason.None
			}
			size = 8
		case headerAH:
			if size = (int(b[1]) + 2) * 4; size < 12 {
				return reason.InnerExtension
			}
		}
		if _, why = r.next(size - 8); why != reason.None {
			return why
		}
	}
	return reason.None
}

// decodeL4 reads the front of the upper-layer header, where the protocol has one
// that is known.
func (q *Quoted) decodeL4(r *reader) reason.Reason {
	switch q.Protocol {
	case ProtocolTCP, ProtocolUDP, ProtocolSCTP, ProtocolICMP, ProtocolICMPv6:
	default:
		return reason.None
	}
	b, why := r.next(quotedLen)
	if why != reason.None {
		return why
	}
	if q.Protocol == ProtocolICMP || q.Protocol == ProtocolICMPv6 {
		q.HasICMP, q.ICMPType = true, b[0]
		if hasIdentifier(q.Protocol, q.ICMPType) {
			q.HasICMPID, q.ICMPID = true, binary.BigEndian.Uint16(b[4:])
		}
		return reason.None
	}
	q.HasPorts = true
	q.SrcPort = binary.BigEndian.Uint16(b[0:])
	q.DstPort = binary.BigEndian.Uint16(b[2:])
	if q.Protocol == ProtocolTCP {
		q.Sequence = binary.BigEndian.Uint32(b[4:])
	}
	return reason.None
}
