package firewall

import (
	"encoding/binary"
	"net/netip"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/internal/checksum"
	"sttwall/policy"
	"sttwall/stt"
)

// quickPacket is what the quick way has read of a packet.
type quickPacket struct {
	plain       bool  // the rest is valid
	verified    bool  // the outer checksum was nobody's word, and is right
	tenant      int32 // index: the route may lose its place to that of a packet behind this one
	frameLength int
	frameID     uint32    // of a super-segment, like to
	to          [2]uint64 // outer destination; an IPv4 address is mapped
	packet      conntrack.Plain
}

// src and dst return the outer addresses of a super-segment.
func (q *quickPacket) src() netip.Addr {
	return netip.AddrFrom16(q.packet.From).Unmap()
}
func (q *quickPacket) dst() netip.Addr { return addressOf(q.to[0], q.to[1]) }

// What there is of every plain packet, in bytes: headers as they are on the wire, up
// to those of UDP.
const (
	ipv4Len, ipv6Len   = 20, 40
	tcpLen, udpLen     = 20, 8
	quickHeaders       = stt.SegmentHeaderLen + stt.FrameHeaderLen + ethernetHeaderLen
	quickLeast         = ipv4Len + quickHeaders + ipv4Len + udpLen
	quickContextOffset = stt.SegmentHeaderLen + 8
	mappedIPv4         = 0xffff
)

// addressOf returns the address that two halves are; IPv4 is mapped in them.
func addressOf(high, low uint64) netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], high)
	binary.BigEndian.PutUint64(b[8:], low)
	return netip.AddrFrom16(b).Unmap()
}

// quickContext returns the context ID where a packet most likely has it.
func quickContext(p *Packet) (id uint64, ok bool) {
	at := ipv4Len + quickContextOffset
	if len(p.Data) > 0 && p.Data[0]>>4 == 6 {
		at = ipv6Len + quickContextOffset
	}
	if len(p.Data) < at+8 {
		return 0, false
	}
	return binary.BigEndian.Uint64(p.Data[at:]), true
}

// quickRead reads a packet, and reports whether it is plain:
//
//   - all of a frame, by a canonical segment and frame header, that nothing has to be
//     changed in or around;
//   - from an endpoint and of a tenant that may send it, with no bindings to look at;
//   - TCP or UDP over IP without options or extension headers, not in fragments, to
//     one host, with or without a tag in the frame header;
//   - copied as far as the decision rests on it, and all of it where the outer
//     checksum has to be verified.
//
// What it refuses may be in order all the same, or be refused for a reason; the
// general way says which. It reads bytes and the policy alone, and changes nothing.
func (f *Firewall) quickRead(p *Packet, q *quickPacket) bool {
	q.plain, q.verified = false, false
	data := p.Data
	if f.quick.off || f.standing.rebuild || len(data) < quickLeast || p.Checksum == ChecksumPartial && !p.GSO || p.More && f.standing.sets {
		return false
	}

	// The outer IP header: see stt.Outer.
	var headerLen, total int
	var tos uint8
	var high, low uint64
	addresses := data[12:20]
	if data[0] == 0x45 {
		total = int(binary.BigEndian.Uint16(data[2:]))
		if data[9] != inspect.ProtocolTCP || binary.BigEndian.Uint16(data[6:])&^0x4000 != 0 ||
			checksum.Sum20((*[ipv4Len]byte)(data)) != 0xffff {
			return false
		}
		headerLen, tos = ipv4Len, data[1]
		low = mappedIPv4<<32 | uint64(binary.BigEndian.Uint32(data[12:]))
	} else {
		total = ipv6Len + int(binary.BigEndian.Uint16(data[4:]))
		if data[0]>>4 != 6 || data[6] != inspect.ProtocolTCP {
			return false
		}
		headerLen, tos = ipv6Len, data[0]<<4|data[1]>>4
		addresses = data[8:40]
		high, low = binary.BigEndian.Uint64(data[8:]), binary.BigEndian.Uint64(data[16:])
		if isMapped(addresses[:16]) || isMapped(addresses[16:]) {
			return false
		}
	}
	data = data[:min(len(data), total)]
	if total > p.Length || len(data) < headerLen+quickHeaders+ipv4Len+udpLen {
		return false
	}

	// The segment header: all of a frame, and canonical.
	h := data[headerLen : headerLen+stt.SegmentHeaderLen+stt.FrameHeaderLen]
	frameLength := total - headerLen - stt.SegmentHeaderLen
	const (
		lengthAndOffset = 4
		canonical       = 0x5010_ffff_0000_0000 // data offset, ACK, window, urgent pointer
		notLooked       = 0x0008_0000_ffff_0000 // PSH, checksum
	)
	if binary.BigEndian.Uint32(h[lengthAndOffset:]) != uint32(frameLength)<<16 ||
		binary.BigEndian.Uint64(h[12:])&^notLooked != canonical ||
		!isPort(f.standing.settings.STTPorts, binary.BigEndian.Uint16(h[2:])) {
		return false
	}
	h = h[stt.SegmentHeaderLen:]
	var o quickOffload
	if h[0] != 0 || h[3] != 0 || binary.BigEndian.Uint16(h[16:]) != 0 {
		return false // version, reserved, padding
	}
	o.flags, o.l4Offset, o.mss = h[1], h[2], binary.BigEndian.Uint16(h[4:])
	q.packet.VLAN = 0
	if tci := binary.BigEndian.Uint16(h[6:]); tci != 0 {
		if tci&stt.TagPresent == 0 || tci == stt.TagPresent {
			return false
		}
		if id := uint32(tci & 0xfff); id != 0 {
			q.packet.VLAN = 1<<24 | id
		}
	}
	q.packet.Context = binary.BigEndian.Uint64(h[8:])
	route := f.quick.routes.find(high, low, q.packet.Context, &f.packet)
	if route == nil {
		return false
	}

	inner := data[headerLen+stt.SegmentHeaderLen+stt.FrameHeaderLen:]
	ip, l4, size, ok := o.readInner(&q.packet, inner, frameLength-stt.FrameHeaderLen, f.standing.settings.MSSFloor)
	if !ok {
		return false
	}
	if tos>>2 != 0 && tos>>2 != o.tos>>2 && f.standing.settings.Receivers == policy.ReceiversAny {
		return false // see canonicalTOS
	}
	q.packet.Trusted = o.trusted
	if !f.quickSums(p, q, data, addresses, headerLen, total, ip, l4, size) {
		return false
	}
	if p.GSO {
		q.frameID = binary.BigEndian.Uint32(data[headerLen+8:])
		if len(addresses) == 8 {
			q.to = [2]uint64{0, mappedIPv4<<32 | uint64(binary.BigEndian.Uint32(addresses[4:]))}
		} else {
			q.to = [2]uint64{binary.BigEndian.Uint64(addresses[16:]), binary.BigEndian.Uint64(addresses[24:])}
		}
	}
	q.frameLength, q.tenant = frameLength, route.tenant
	c := &q.packet
	c.Tenant, c.OVN, c.AnyEndpoint, c.Loose = route.id, route.ovn, route.anyEndpoint, route.loose
	binary.BigEndian.PutUint64(c.From[:], high)
	binary.BigEndian.PutUint64(c.From[8:], low)
	c.Bytes = frameLength
	f.shared.flows.ReadPlain(c, ip, l4)
	q.plain = true
	return true
}

// quickSums verifies the outer checksum where nobody has, and looks whether the inner
// one of a packet that is to be trusted for it is right. l4 is the inner TCP or UDP
// header and what follows, size how long it is on the wire. false: the outer one is
// wrong, or cannot be looked at.
func (f *Firewall) quickSums(p *Packet, q *quickPacket, data, addresses []byte, headerLen, total int, ip, l4 []byte, size int) bool {
	sum := uint16(0)
	if p.Checksum == ChecksumUnverified {
		if len(data) < total {
			return false
		}
		sum = checksum.Sum(data[headerLen:])
		if checksum.Fold(uint64(sum)+sumOf(addresses)+uint64(inspect.ProtocolTCP)+uint64(total-headerLen)) != 0xffff {
			return false
		}
		q.verified = true
	}
	if q.packet.Trusted {
		return true
	}
	if p.More && len(data) < total {
		return false // the rest can be had, and is asked for before anything moves: see again.go
	}
	if len(l4) < size {
		return true
	}
	inner := uint16(0)
	if start := headerLen + quickHeaders + len(ip); q.verified && start+size == len(data) && start-headerLen < size {
		// What the outer sum has besides is not much. All headers are of even length.
		inner = checksum.Without(sum, checksum.Sum(data[headerLen:start]))
	} else {
		inner = checksum.Sum(l4[:size])
	}
	inner = checksum.Fold(uint64(inner) + sumOf(innerAddresses(ip)) + uint64(inspect.ProtocolTCP) + uint64(size))
	q.packet.Trusted = inner == 0xffff
	return true
}

// quickOffload is what a frame header says of the inner packet, and what was read of
// that.
type quickOffload struct {
	flags, l4Offset uint8
	mss             uint16
	tos             uint8 // of the inner packet
	trusted         bool  // whatever its checksum is
}

// readInner reads an inner frame that is length bytes long. ip is its IP header, l4
// what is behind it, as far as it was copied, size how long that is on the wire. ok
// is false where it is not plain.
func (o *quickOffload) readInner(c *conntrack.Plain, inner []byte, length int, mssFloor uint16) (ip, l4 []byte, size int, ok bool) {
	var protocol uint8
	at := ethernetHeaderLen + ipv4Len
	switch binary.BigEndian.Uint16(inner[12:]) {
	case inspect.EtherTypeIPv4:
		ip = inner[ethernetHeaderLen:at]
		// Multicast begins at 224; behind it nothing is one host's.
		if ip[0] != 0x45 || binary.BigEndian.Uint16(ip[6:])&0x3fff != 0 || ip[16] >= 224 {
			return
		}
		size = int(binary.BigEndian.Uint16(ip[2:])) - ipv4Len
		o.tos, protocol = ip[1], ip[9]
	case inspect.EtherTypeIPv6:
		at = ethernetHeaderLen + ipv6Len
		if len(inner) < at+udpLen {
			return
		}
		ip = inner[ethernetHeaderLen:at]
		if ip[0]>>4 != 6 || ip[24] == 0xff || isMapped(ip[8:24]) || isMapped(ip[24:40]) {
			return
		}
		size = int(binary.BigEndian.Uint16(ip[4:]))
		o.tos, protocol = ip[0]<<4|ip[1]>>4, ip[6]
	default:
		return
	}
	if size < udpLen || at+size > length {
		return
	}
	l4 = inner[at:min(len(inner), at+size)]
	var payload int
	var field uint16 // the checksum
	switch protocol {
	case inspect.ProtocolUDP:
		is := int(binary.BigEndian.Uint16(l4[4:]))
		if is < udpLen || is > size || o.partial() && is != size {
			return
		}
		field, o.trusted = binary.BigEndian.Uint16(l4[6:]), true
	case inspect.ProtocolTCP:
		if len(l4) < tcpLen {
			return
		}
		headerLen := int(l4[12]>>4) * 4
		c.TCPFlags = binary.BigEndian.Uint16(l4[12:]) & 0x1ff
		if headerLen < tcpLen || headerLen > len(l4) || inspect.ImpossibleFlags(c.TCPFlags) {
			return
		}
		payload = size - headerLen
		c.Payload, c.HeaderLen = payload, headerLen
		field, o.trusted = binary.BigEndian.Uint16(l4[16:]), o.flags != 0
	default:
		return
	}
	if !o.partial() {
		// See canonicalHeader: what means nothing without the flag is 0.
		return ip, l4, size, o.flags&^stt.FlagChecksumVerified == 0 && o.l4Offset == 0 && o.mss == 0
	}
	// See inspect.Frame.Verify.
	want := uint8(stt.FlagChecksumPartial)
	if len(ip) == ipv4Len {
		want |= stt.FlagIPv4
	}
	if protocol == inspect.ProtocolTCP {
		want |= stt.FlagTCP
	}
	pseudo := checksum.Fold(sumOf(innerAddresses(ip)) + uint64(protocol) + uint64(size))
	ok = o.flags == want && int(o.l4Offset) == at && at+size == length && field == pseudo &&
		(o.mss == 0 || protocol == inspect.ProtocolTCP && o.mss >= mssFloor && int(o.mss) < payload)
	return ip, l4, size, ok
}

func (o *quickOffload) partial() bool { return o.flags&stt.FlagChecksumPartial != 0 }

// innerAddresses returns the addresses of an IP header.
func innerAddresses(ip []byte) []byte {
	if len(ip) == ipv4Len {
		return ip[12:20]
	}
	return ip[8:40]
}

// sumOf returns the sum of the addresses of an IP header, 8 bytes of IPv4 or 32 of
// IPv6; it is not folded.
func sumOf(addresses []byte) uint64 {
	if len(addresses) == 8 {
		return uint64(binary.BigEndian.Uint32(addresses)) + uint64(binary.BigEndian.Uint32(addresses[4:]))
	}
	return uint64(checksum.Sum(addresses))
}

// isMapped reports whether an IPv6 address is a mapped IPv4 one.
func isMapped(a []byte) bool {
	return binary.BigEndian.Uint64(a) == 0 && binary.BigEndian.Uint32(a[8:]) == mappedIPv4
}

func isPort(ports []uint16, port uint16) bool {
	for _, p := range ports {
		if p == port {
			return true
		}
	}
	return false
}
