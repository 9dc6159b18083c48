package endpoint

import (
	"encoding/binary"
	"hash/maphash"
	"net/netip"

	"sttwall/stt"
)

const (
	etherHeaderLen = 14
	vlanTagLen     = 4

	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
	etherTypeVLAN = 0x8100 // 802.1Q
	etherTypeQinQ = 0x88a8 // 802.1ad

	protocolTCP  = 6
	protocolUDP  = 17
	protocolSCTP = 132

	// checksumAtTCP and checksumAtUDP are where the checksums are in the
	// transport headers, in bytes.
	checksumAtTCP = 16
	checksumAtUDP = 6

	tcpHeaderLen = 20
	udpHeaderLen = 8

	// maxTags and maxExtensions bound the walk over an inner frame.
	maxTags       = 3
	maxExtensions = 8
)

// innerPacket is what the endpoint needs to know of a tenant's frame. It is
// the endpoint's own look: the frame comes from a kernel, or goes to one, and
// nothing is decided on it but how it travels.
type innerPacket struct {
	// tags is the number of VLAN tags in the frame itself.
	tags int
	// ip is 4 or 6, or 0 if there is no readable IP packet.
	ip uint8
	// l3 is where the IP header starts, l4 where the transport header does,
	// -1 if that is not readable or this is a fragment; end is where the IP
	// packet ends. In bytes from the start of the frame.
	l3, l4, end int
	// protocol is behind IPv6 extension headers; valid iff ip is not 0.
	protocol uint8
	// tos is the TOS or traffic class byte; valid iff ip is not 0.
	tos uint8
}

// parse reads frame and resets all of p.
func (p *innerPacket) parse(frame []byte) {
	*p = innerPacket{l4: -1}
	if len(frame) < etherHeaderLen {
		return
	}
	at := 12
	for p.tags < maxTags && isTag(binary.BigEndian.Uint16(frame[at:])) {
		if len(frame) < at+vlanTagLen+2 {
			return
		}
		at += vlanTagLen
		p.tags++
	}
	p.l3 = at + 2
	switch binary.BigEndian.Uint16(frame[at:]) {
	case etherTypeIPv4:
		p.parseIPv4(frame)
	case etherTypeIPv6:
		p.parseIPv6(frame)
	}
}

func isTag(etherType uint16) bool { return etherType == etherTypeVLAN || etherType == etherTypeQinQ }

func (p *innerPacket) parseIPv4(frame []byte) {
	h := frame[p.l3:]
	if len(h) < 20 || h[0]>>4 != 4 {
		return
	}
	headerLen, total := int(h[0]&0x0f)*4, int(binary.BigEndian.Uint16(h[2:]))
	if headerLen < 20 || total < headerLen || total > len(h) {
		return
	}
	p.ip, p.tos, p.protocol = 4, h[1], h[9]
	p.end = p.l3 + total
	if binary.BigEndian.Uint16(h[6:])&0x3fff == 0 { // neither an offset nor more fragments
		p.setL4(p.l3 + headerLen)
	}
}

func (p *innerPacket) parseIPv6(frame []byte) {
	h := frame[p.l3:]
	if len(h) < 40 || h[0]>>4 != 6 {
		return
	}
	payload := int(binary.BigEndian.Uint16(h[4:]))
	if payload > len(h)-40 {
		return
	}
	p.ip, p.tos, p.protocol = 6, h[0]<<4|h[1]>>4, h[6]
	at := p.l3 + 40
	p.end = at + payload
	for range maxExtensions {
		switch p.protocol {
		case 0, 43, 60: // hop-by-hop, routing, destination options
			if at+8 > p.end {
				return
			}
			p.protocol, at = frame[at], at+(int(frame[at+1])+1)*8
		case 44: // fragment: like in IPv4, no transport header to speak of
			return
		default:
			p.setL4(at)
			return
		}
	}
}

// setL4 notes a transport header at offset at if the whole of it is there.
func (p *innerPacket) setL4(at int) {
	need := 0
	switch p.protocol {
	case protocolTCP:
		need = tcpHeaderLen
	case protocolUDP:
		need = udpHeaderLen
	}
	if at+need <= p.end {
		p.l4 = at
	}
}

// checksumAt returns where a TCP or UDP header has its checksum, in bytes from
// its own start, and -1 for other protocols.
func (p *innerPacket) checksumAt() int {
	switch p.protocol {
	case protocolTCP:
		return checksumAtTCP
	case protocolUDP:
		return checksumAtUDP
	}
	return -1
}

// canonical reports whether a partial checksum can be left partial in STT: the
// receiver reads no tags, and writes the checksum at L4 offset + 16 or + 6
// (stt.c, set_offloads).
func (p *innerPacket) canonical(frame []byte, v *vnetHeader) bool {
	return p.tags == 0 && p.l4 == int(v.checksumStart) && p.l4 <= 255 &&
		p.checksumAt() == int(v.checksumOffset) && p.end == len(frame)
}

// pseudoSum returns the pseudo-header sum of a transport packet of length bytes.
func (p *innerPacket) pseudoSum(frame []byte, length int) uint16 {
	var src, dst netip.Addr
	if h := frame[p.l3:]; p.ip == 4 {
		src, dst = netip.AddrFrom4([4]byte(h[12:16])), netip.AddrFrom4([4]byte(h[16:20]))
	} else {
		src, dst = netip.AddrFrom16([16]byte(h[8:24])), netip.AddrFrom16([16]byte(h[24:40]))
	}
	return stt.PseudoSum(src, dst, p.protocol, length)
}

// flowHash returns a hash of the inner flow: addresses, protocol and ports, or
// of the Ethernet header where there is no IP. Fragments of one packet hash alike.
func (p *innerPacket) flowHash(seed maphash.Seed, frame []byte) uint64 {
	if p.ip == 0 {
		return maphash.Bytes(seed, frame[:min(len(frame), etherHeaderLen)])
	}
	var key [37]byte
	h := frame[p.l3:]
	if p.ip == 4 {
		copy(key[:8], h[12:20])
	} else {
		copy(key[:32], h[8:40])
	}
	key[32] = p.protocol
	switch p.protocol {
	case protocolTCP, protocolUDP, protocolSCTP:
		if p.l4 >= 0 && p.l4+4 <= p.end {
			copy(key[33:], frame[p.l4:p.l4+4])
		}
	}
	return maphash.Bytes(seed, key[:])
}

// finishChecksum turns the pseudo-header sum at start+offset into the checksum
// of all that follows start, as skb_checksum_help does: a sum of 0 is written
// as 0xffff, which UDP needs and no other protocol minds.
func finishChecksum(frame []byte, start, offset int) {
	sum := stt.Checksum(frame[start:])
	if sum == 0 {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(frame[start+offset:], sum)
}
