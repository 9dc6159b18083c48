package inspect

import (
	"encoding/binary"
	"net/netip"

	"sttwall/reason"
)

const (
	tcpLen    = 20 // without options
	udpLen    = 8
	sctpLen   = 12
	icmpLen   = 8
	icmpv6Len = 4 // RFC 4443 section 2.1; all known messages have eight or more

	advertisementLen = 24 // neighbour advertisement without options, RFC 4861 section 4.4
)

// typeAdvertisement is the ICMPv6 type of a neighbour advertisement.
const typeAdvertisement = 136

// decodeL4 reads the upper-layer header at off: that of a whole packet or of a
// first fragment, which must hold all of it. end is where the packet ends.
func (f *Frame) decodeL4(data []byte, protocol uint8, off, end int) reason.Reason {
	if protocol == ProtocolTCP {
		return f.decodeTCP(data, off, end)
	}
	size := end - off
	var need int
	switch protocol {
	case ProtocolUDP:
		need = udpLen
	case ProtocolSCTP:
		need = sctpLen
	case ProtocolICMP:
		need = icmpLen
	case ProtocolICMPv6:
		// The four bytes behind a short header belong to it if they are there.
		need = min(max(size, icmpv6Len), icmpLen)
	case protocolESP, protocolNoNextHeader:
		return reason.None
	default:
		if size > 0 {
			f.L4Offset = off
		}
		return reason.None
	}
	if size < need {
		return f.headerCut()
	}
	if len(data) < off+need {
		return reason.CopyTooShort
	}
	f.L4Offset = off
	f.PayloadOffset = off + need
	f.HeaderBytes = off + need
	b := data[off : off+need]
	switch protocol {
	case ProtocolICMP, ProtocolICMPv6:
		f.HasICMP = true
		f.ICMPType, f.ICMPCode = b[0], b[1]
		if need == icmpLen && hasIdentifier(protocol, b[0]) {
			f.HasICMPID = true
			f.ICMPID = binary.BigEndian.Uint16(b[4:])
		}
		if protocol == ProtocolICMPv6 && f.IP == 6 && b[0] == typeAdvertisement {
			return f.decodeAdvertisement(data)
		}
		return reason.None
	}
	f.HasPorts = true
	f.SrcPort = binary.BigEndian.Uint16(b[0:])
	f.DstPort = binary.BigEndian.Uint16(b[2:])
	if protocol == ProtocolUDP {
		// A first fragment has the length of the whole datagram.
		length := int(binary.BigEndian.Uint16(b[4:]))
		if length < udpLen || length > size && !f.Fragmented {
			return reason.InnerLength
		}
	}
	return reason.None
}

// decodeAdvertisement reads the target of a neighbour advertisement: the address
// that its sender says it has.
func (f *Frame) decodeAdvertisement(data []byte) reason.Reason {
	end := f.L4Offset + advertisementLen
	if f.IPEnd < end {
		if f.Fragmented {
			return reason.InnerFragment // receivers that put it together would find one
		}
		return reason.None
	}
	if len(data) < end {
		return reason.CopyTooShort
	}
	b := data[f.L4Offset:end]
	f.HasTarget, f.Solicited = true, b[4]&0x40 != 0
	f.Target = netip.AddrFrom16([16]byte(b[8:24]))
	f.PayloadOffset, f.HeaderBytes = end, end
	return reason.None
}

// hasIdentifier reports whether ICMP messages of a type have an identifier
// behind the checksum: queries and the replies to them.
func hasIdentifier(protocol, kind uint8) bool {
	if protocol == ProtocolICMPv6 {
		return kind == 128 || kind == 129 // echo
	}
	// Echo, timestamp, information, address mask.
	return kind == 0 || kind == 8 || 13 <= kind && kind <= 18
}

// headerCut is the reason for a packet that ends inside its L4 header.
func (f *Frame) headerCut() reason.Reason {
	if f.Fragmented {
		return reason.InnerFragment
	}
	return reason.InnerTruncated
}

// decodeTCP is decodeL4 for TCP.
func (f *Frame) decodeTCP(data []byte, off, end int) reason.Reason {
	if end-off < tcpLen {
		return f.headerCut()
	}
	if len(data) < off+tcpLen {
		return reason.CopyTooShort
	}
	b := (*[tcpLen]byte)(data[off:])
	f.L4Offset = off
	f.HasPorts = true
	f.SrcPort = binary.BigEndian.Uint16(b[0:])
	f.DstPort = binary.BigEndian.Uint16(b[2:])
	headerLen := int(b[12]>>4) * 4
	// Until the whole header is known to be there, it is as long as it must be.
	f.PayloadOffset, f.HeaderBytes = off+tcpLen, off+tcpLen
	if headerLen < tcpLen {
		return reason.InnerTCPOffset
	}
	if headerLen > end-off {
		if f.Fragmented {
			return reason.InnerFragment
		}
		return reason.InnerTCPOffset
	}
	if len(data) < off+headerLen {
		return reason.CopyTooShort
	}
	flags := (uint16(b[12])<<8 | uint16(b[13])) & 0x1ff
	f.HasTCP, f.TCPFlags = true, flags
	f.PayloadOffset, f.HeaderBytes = off+headerLen, off+headerLen
	if ImpossibleFlags(flags) {
		return reason.InnerTCPFlags
	}
	return reason.None
}

// ImpossibleFlags reports a combination that no stack sends: neither SYN, RST
// nor ACK (RFC 9293 section 3.10.7.4 drops it; scans without any flag, with FIN
// alone and with FIN, PSH and URG are such), or two of SYN, FIN and RST.
func ImpossibleFlags(flags uint16) bool {
	if flags&(SYN|RST|ACK) == 0 {
		return true
	}
	three := flags & (SYN | FIN | RST)
	return three&(three-1) != 0
}
