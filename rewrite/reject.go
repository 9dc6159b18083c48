package rewrite

import (
	"encoding/binary"
	"net/netip"

	"sttwall/inspect"
	"sttwall/internal/checksum"
)

// Refusal says why a frame is not answered. The zero value says that it is.
type Refusal uint8

// The refusals. They keep answers from making more answers, and from going to
// those who asked nothing: RFC 1122 section 3.2.2, RFC 1812 section 4.3.2.7, RFC
// 4443 section 2.4(e), RFC 9293 section 3.10.7.1.
const (
	Answered        Refusal = iota
	RefuseNotIP             // no IP packet
	RefuseReset             // a TCP RST
	RefuseICMP              // ICMP other than an echo request
	RefuseGroup             // to or from a broadcast or multicast address
	RefuseFragment          // a later fragment
	RefuseSource            // a source that is no single host: unspecified, loopback
	RefuseTruncated         // not enough of the packet was copied
)

// MaxReject is how large an answer can be, in bytes: Ethernet with two tags, and
// the largest ICMPv6 error (RFC 4443 section 2.4(c)).
const MaxReject = 14 + 2*4 + 1280

const (
	answerTTL   = 64
	ip4Len      = 20
	ip6Len      = 40
	icmpLen     = 8
	maxICMPv4   = 576  // bytes of the whole IPv4 answer, RFC 1812 section 4.3.2.3
	maxICMPv6   = 1280 // and of the IPv6 one
	unreachable = 3    // ICMP type
	prohibited  = 13   // its code: communication administratively prohibited, RFC 1812 section 5.2.7.1
	unreachV6   = 1    // ICMPv6 type
	prohibitV6  = 1    // its code, RFC 4443 section 3.1
)

// AppendReject appends the Ethernet frame that answers a refused one: a RST for
// TCP, else ICMP destination unreachable, administratively prohibited. data is
// the refused frame that f was decoded from, at least its first f.HeaderBytes;
// both are borrowed. The answer comes from the address that the refused packet
// went to: the inner network knows no other that would be believed. Tags in data
// are kept. Nothing is appended unless the refusal is [Answered].
func AppendReject(dst, data []byte, f *inspect.Frame) ([]byte, Refusal) {
	if why := refusal(data, f); why != Answered {
		return dst, why
	}
	start := len(dst)
	dst = append(dst, f.EthSrc[:]...)
	dst = append(dst, f.EthDst[:]...)
	dst = append(dst, data[12:f.L3Offset]...) // tags, ethertype, SNAP
	l3 := len(dst)
	if f.HasTCP {
		dst = appendReset(dst, data, f)
	} else {
		dst = appendUnreachable(dst, data, f)
	}
	if f.SNAP {
		// The 802.3 length is right in front of the LLC header (8 bytes with SNAP).
		at := start + f.L3Offset - 8 - 2
		binary.BigEndian.PutUint16(dst[at:], uint16(len(dst)-at-2))
	}
	finishIP(dst[l3:], f.IP)
	return dst, Answered
}

func refusal(data []byte, f *inspect.Frame) Refusal {
	switch {
	case f.IP == 0:
		return RefuseNotIP
	case f.EthDst[0]&1 != 0 || f.EthSrc[0]&1 != 0:
		return RefuseGroup
	case isGroup(f.Dst) || isGroup(f.Src):
		return RefuseGroup
	case !isHost(f.Src):
		return RefuseSource
	case f.Fragmented && f.Fragment.Offset > 0:
		return RefuseFragment
	case f.HasTCP && f.TCPFlags&inspect.RST != 0:
		return RefuseReset
	case f.HasICMP && !isEchoRequest(f):
		return RefuseICMP
	case (f.Protocol == inspect.ProtocolICMP || f.Protocol == inspect.ProtocolICMPv6) && !f.HasICMP:
		return RefuseICMP
	case len(data) < f.HeaderBytes || f.HasTCP && len(data) < f.L4Offset+tcpHeaderLen:
		return RefuseTruncated
	}
	return Answered
}

// isGroup reports whether an address is that of more than one host. 240/4 holds
// the broadcast address and nothing that answers.
func isGroup(a netip.Addr) bool {
	return a.IsMulticast() || a.Is4() && a.As4()[0] >= 240
}

func isHost(a netip.Addr) bool {
	return !a.IsUnspecified() && !a.IsLoopback() && !(a.Is4() && a.As4()[0] == 0)
}

func isEchoRequest(f *inspect.Frame) bool {
	const echoRequest, echoRequestV6 = 8, 128
	return f.Protocol == inspect.ProtocolICMP && f.ICMPType == echoRequest ||
		f.Protocol == inspect.ProtocolICMPv6 && f.ICMPType == echoRequestV6
}

// appendIP appends an IP header from the refused packet's destination back to
// its source; lengths and checksum are finishIP's.
func appendIP(dst []byte, f *inspect.Frame, protocol uint8) []byte {
	if f.IP == 4 {
		dst = append(dst, 0x45, 0, 0, 0, 0, 0, 0, 0, answerTTL, protocol, 0, 0)
		from, to := f.Dst.As4(), f.Src.As4()
		return append(append(dst, from[:]...), to[:]...)
	}
	dst = append(dst, 0x60, 0, 0, 0, 0, 0, protocol, answerTTL)
	from, to := f.Dst.As16(), f.Src.As16()
	return append(append(dst, from[:]...), to[:]...)
}

// appendReset appends the RST that a closed port answers with: RFC 9293 section
// 3.10.7.1. A sender in SYN-SENT takes it because it acknowledges its SYN.
func appendReset(dst, data []byte, f *inspect.Frame) []byte {
	tcp := data[f.L4Offset:]
	var seq, ack uint32
	flags := uint16(inspect.RST)
	if f.TCPFlags&inspect.ACK != 0 {
		seq = binary.BigEndian.Uint32(tcp[8:])
	} else {
		flags |= inspect.ACK
		ack = binary.BigEndian.Uint32(tcp[4:]) + uint32(f.TCPPayload())
		if f.TCPFlags&inspect.SYN != 0 {
			ack++
		}
		if f.TCPFlags&inspect.FIN != 0 {
			ack++
		}
	}
	dst = appendIP(dst, f, inspect.ProtocolTCP)
	dst = binary.BigEndian.AppendUint16(dst, f.DstPort)
	dst = binary.BigEndian.AppendUint16(dst, f.SrcPort)
	dst = binary.BigEndian.AppendUint32(dst, seq)
	dst = binary.BigEndian.AppendUint32(dst, ack)
	dst = binary.BigEndian.AppendUint16(dst, 5<<12|flags)
	return append(dst, 0, 0, 0, 0, 0, 0) // window, checksum, urgent pointer
}

// appendUnreachable appends the ICMP error about the packet, with as much of it
// as the RFCs want.
func appendUnreachable(dst, data []byte, f *inspect.Frame) []byte {
	protocol, limit := uint8(inspect.ProtocolICMP), maxICMPv4-ip4Len-icmpLen
	kind, code := byte(unreachable), byte(prohibited)
	if f.IP == 6 {
		protocol, limit = inspect.ProtocolICMPv6, maxICMPv6-ip6Len-icmpLen
		kind, code = unreachV6, prohibitV6
	}
	dst = appendIP(dst, f, protocol)
	dst = append(dst, kind, code, 0, 0, 0, 0, 0, 0)
	quoted := data[f.L3Offset:min(f.IPEnd, len(data))]
	return append(dst, quoted[:min(len(quoted), limit)]...)
}

// finishIP writes the lengths and checksums of the packet that ip holds.
func finishIP(ip []byte, version uint8) {
	var l4, addresses []byte
	var protocol uint8
	if version == 4 {
		binary.BigEndian.PutUint16(ip[2:], uint16(len(ip)))
		binary.BigEndian.PutUint16(ip[10:], ^checksum.Sum(ip[:ip4Len]))
		l4, addresses, protocol = ip[ip4Len:], ip[12:20], ip[9]
	} else {
		binary.BigEndian.PutUint16(ip[4:], uint16(len(ip)-ip6Len))
		l4, addresses, protocol = ip[ip6Len:], ip[8:40], ip[6]
	}
	switch protocol {
	case inspect.ProtocolTCP:
		binary.BigEndian.PutUint16(l4[16:], transport(addresses, protocol, l4))
	case inspect.ProtocolICMP:
		binary.BigEndian.PutUint16(l4[2:], ^checksum.Sum(l4))
	case inspect.ProtocolICMPv6:
		binary.BigEndian.PutUint16(l4[2:], transport(addresses, protocol, l4))
	}
}
