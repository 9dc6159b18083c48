package inspect

import (
	"encoding/binary"
	"net/netip"

	"sttwall/reason"
)

// Nearly all frames are plain: at most one tag, the tunnel's included, IPv4 without
// options or IPv6 without extension headers, no fragment, TCP, UDP or ICMP. Decode reads
// these with few loads and compares, and writes each field once. Any doubt sends it to
// decode, which begins anew: only there a frame is refused, and only there a reason has
// its place.
//
// Fields that stand side by side in Frame are assigned in one go, and runs that meet in
// memory are kept apart, so that the compiler makes one store of each run.

// Tags, TOS and TagCount in one word, as they stand in Frame: the TCIs from the lowest
// bit on, outermost first.
const (
	tosBits = 0xff << 48
	oneTag  = 1 << 56 // in TagCount
)

// What has to be in the first eight bytes of an IPv4 header: version 4, 20 bytes, no
// fragment. The reserved flag and "don't fragment" may be set.
const (
	plainIPv4Mask = 0xff00_0000_0000_3fff
	plainIPv4     = 0x4500_0000_0000_0000
)

// possibleFlags has a bit for each value of the lowest six TCP flags: is it one that
// ImpossibleFlags lets pass? The flags above say nothing about it, nor does URG.
const possibleFlags = 0x1717_1414_1717_1414

// Decode parses data, the first len(data) bytes of a frame that is length bytes
// long; data is shorter where the kernel copied only a part, and what it holds
// beyond length is not looked at. tunnelTCI is the tunnel header's 802.1Q TCI,
// and counts as the outermost tag if tagged says so. data is borrowed until the
// call returns; nothing of it is kept.
//
// The reason is [reason.None], one of the Inner reasons, or
// [reason.CopyTooShort] if data ends before the headers do and the frame does
// not. What a shorter copy decodes to is what the whole frame decodes to, or
// CopyTooShort.
func (f *Frame) Decode(data []byte, length int, tunnelTCI uint16, tagged Tagged) reason.Reason {
	data = data[:len(data):len(data)] // the capacity would keep a register to itself
	var outer uint64
	if tagged {
		outer = oneTag | uint64(tunnelTCI)
	}
	if len(data) > length || len(data) < ethernetLen+ipv4Len+udpLen {
		return f.decode(data, length, outer)
	}

	var packet []byte // from the IP header on
	var total, headerLen int
	var protocol uint64
	var ipv6 *[ipv6Len]byte
	tags, l3, etherType := outer, ethernetLen, binary.BigEndian.Uint16(data[12:])
network:
	switch etherType {
	case EtherTypeIPv4:
		packet = data[l3:]
		first := binary.BigEndian.Uint64(packet)
		if first&plainIPv4Mask != plainIPv4 || len(packet) < ipv4Len+udpLen {
			return f.decode(data, length, outer)
		}
		total, headerLen = int(uint16(first>>32)), ipv4Len
		protocol = uint64(packet[9])
		tags |= first & tosBits
		f.EtherType, f.IP, f.SNAP = EtherTypeIPv4, 4, false
		f.Fragmented, f.Atomic, f.HasTarget, f.Solicited = false, false, false, false
	case EtherTypeIPv6:
		packet = data[l3:]
		first := binary.BigEndian.Uint64(packet)
		if first>>60 != 6 || len(packet) < ipv6Len+udpLen {
			return f.decode(data, length, outer)
		}
		total, headerLen = ipv6Len+int(uint16(first>>16)), ipv6Len
		protocol = first >> 8 & 0xff
		tags |= first >> 4 & tosBits
		ipv6 = (*[ipv6Len]byte)(packet)
		f.EtherType, f.IP, f.SNAP = EtherTypeIPv6, 6, false
		f.Fragmented, f.Atomic, f.HasTarget, f.Solicited = false, false, false, false
	case EtherTypeVLAN, EtherTypeQinQ, EtherTypeVMAN:
		if tags != 0 {
			return f.decode(data, length, outer)
		}
		tag := uint64(binary.BigEndian.Uint32(data[14:]))
		tags = oneTag | tag>>16
		l3, etherType = ethernetLen+4, uint16(tag)
		goto network
	default:
		return f.decode(data, length, outer)
	}
	if total > length-l3 {
		return f.decode(data, length, outer)
	}

	// rest is what the IP packet has behind its header, copied what of it is at hand.
	rest, copied, size := total-headerLen, packet[headerLen:], udpLen
	switch protocol {
	case ProtocolTCP:
		if len(copied) < tcpLen {
			return f.decode(data, length, outer)
		}
		b := (*[tcpLen]byte)(copied)
		word := binary.BigEndian.Uint64(b[12:]) // offset and flags are the top 16 bits
		size = int(word>>58) &^ 3
		if size < tcpLen || size > len(copied) || size > rest || possibleFlags>>(word>>48&63)&1 == 0 {
			return f.decode(data, length, outer)
		}
		ports := binary.BigEndian.Uint32(b[:])
		f.DstPort, f.SrcPort = uint16(ports), uint16(ports>>16)
		f.Protocol, f.HasPorts, f.HasTCP, f.HasICMP = ProtocolTCP, true, true, false
		f.ICMPType, f.ICMPCode, f.ICMPID = 0, 0, 0
		f.TCPFlags, f.HasICMPID = uint16(word>>48)&0x1ff, false
	case ProtocolUDP:
		word := binary.BigEndian.Uint64(copied)
		if datagram := int(uint16(word >> 16)); datagram < udpLen || datagram > rest {
			return f.decode(data, length, outer)
		}
		f.DstPort, f.SrcPort = uint16(word>>32), uint16(word>>48)
		f.Protocol, f.HasPorts, f.HasTCP, f.HasICMP = ProtocolUDP, true, false, false
		f.ICMPType, f.ICMPCode, f.ICMPID = 0, 0, 0
		f.TCPFlags, f.HasICMPID = 0, false
	case ProtocolICMP:
		if rest < icmpLen {
			return f.decode(data, length, outer)
		}
		f.DstPort, f.SrcPort = 0, 0
		f.Protocol, f.HasPorts, f.HasTCP, f.HasICMP = ProtocolICMP, false, false, true
		f.TCPFlags = 0
		f.ICMPType, f.ICMPCode = copied[0], copied[1]
		f.HasICMPID, f.ICMPID = false, 0
		if hasIdentifier(ProtocolICMP, copied[0]) {
			f.HasICMPID, f.ICMPID = true, binary.BigEndian.Uint16(copied[4:])
		}
	default:
		return f.decode(data, length, outer)
	}

	f.setTags(tags)
	// The MACs as runs of four and eight bytes.
	m, n := binary.LittleEndian.Uint64(data), binary.LittleEndian.Uint32(data[8:])
	f.EthSrc[2], f.EthSrc[3], f.EthSrc[4], f.EthSrc[5] = byte(n), byte(n>>8), byte(n>>16), byte(n>>24)
	f.EthDst[0], f.EthDst[1], f.EthDst[2], f.EthDst[3] = byte(m), byte(m>>8), byte(m>>16), byte(m>>24)
	f.EthDst[4], f.EthDst[5], f.EthSrc[0], f.EthSrc[1] = byte(m>>32), byte(m>>40), byte(m>>48), byte(m>>56)
	l4 := l3 + headerLen
	f.L3Offset, f.L4Offset, f.IPEnd = l3, l4, l3+total
	f.PayloadOffset, f.HeaderBytes = l4+size, l4+size
	f.ARPOperation = 0
	f.ARPSender[0], f.ARPSender[1], f.ARPSender[2] = 0, 0, 0
	f.ARPSender[3], f.ARPSender[4], f.ARPSender[5] = 0, 0, 0
	f.Fragment = Fragment{}
	if ipv6 != nil {
		f.Src, f.Dst, f.Target = netip.AddrFrom16([16]byte(ipv6[8:24])), netip.AddrFrom16([16]byte(ipv6[24:40])), netip.Addr{}
	} else {
		f.Src, f.Dst, f.Target = netip.AddrFrom4([4]byte(packet[12:16])), netip.AddrFrom4([4]byte(packet[16:20])), netip.Addr{}
	}
	return reason.None
}

// setTags takes a word as tosBits and oneTag divide it.
func (f *Frame) setTags(word uint64) {
	f.Tags[0], f.Tags[1], f.Tags[2] = uint16(word), uint16(word>>16), uint16(word>>32)
	f.TOS, f.TagCount = uint8(word>>48), uint8(word>>56)
}
