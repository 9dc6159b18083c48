package endpoint

import (
	"encoding/binary"

	"sttwall/stt"
)

// delivery is an inner frame as it is written to a tenant's interface. Its
// parts alias what decapsulate was given.
type delivery struct {
	// vnet is the virtio_net_hdr.
	vnet vnetHeader
	// header is the frame header.
	header stt.FrameHeader
	// frame is the inner frame without the tag of the frame header.
	frame []byte
	// tagged: the tag of the frame header goes between the MAC addresses and
	// the rest of frame, and vnet counts it in.
	tagged bool

	packet innerPacket
}

// vlan returns the VLAN ID of the frame header's tag, 0 without one.
func (d *delivery) vlan() uint16 { return d.header.TCI & 0x0fff }

// decapsulate reads a whole STT frame as stt_rcv and set_offloads do, and
// resets all of d. congestion says that a segment of the frame came with CE;
// the mark is then written into data, in place. Nothing else of data changes.
func (d *delivery) decapsulate(data []byte, congestion congestion) Drop {
	*d = delivery{}
	if !d.header.Decode(data) || len(data) < stt.FrameHeaderLen+etherHeaderLen {
		return DropFrameShort
	}
	if d.header.Version != 0 {
		return DropFrameVersion
	}
	d.frame = data[stt.FrameHeaderLen:]
	if d.header.ChecksumPartial() && !d.offload() {
		return DropFrameOffload
	}
	if congestion {
		d.packet.parse(d.frame)
		if !markCE(d.frame, &d.packet) {
			return DropCongestion
		}
	}
	return DropNone
}

// offload hands what the sender left undone to the tenant's kernel. Like the
// Linux receiver it checks only that the headers are inside the frame.
func (d *delivery) offload() bool {
	l3Len, l4Len, at := 40, udpHeaderLen, checksumAtUDP
	gso := uint8(gsoUDP)
	ipv4, tcp := d.header.Flags&stt.FlagIPv4 != 0, d.header.Flags&stt.FlagTCP != 0
	if ipv4 {
		l3Len = 20
	}
	if tcp {
		l4Len, at, gso = tcpHeaderLen, checksumAtTCP, gsoTCPv6
		if ipv4 {
			gso = gsoTCPv4
		}
	}
	l4 := int(d.header.L4Offset)
	if l4 < etherHeaderLen+l3Len || l4+l4Len > len(d.frame) {
		return false
	}
	d.vnet.flags = vnetNeedsChecksum
	d.vnet.checksumStart, d.vnet.checksumOffset = uint16(l4), uint16(at)
	if d.header.MSS == 0 {
		return true
	}
	headers := l4 + l4Len
	if tcp {
		headers = l4 + int(d.frame[l4+12]>>4)*4
		if d.frame[l4+13]&stt.FlagCWR != 0 {
			gso |= gsoECN
		}
	}
	d.vnet.gsoType, d.vnet.gsoSize = gso, d.header.MSS
	d.vnet.headerLen = uint16(min(max(headers, l4+l4Len), len(d.frame)))
	return true
}

// tag makes the tag of the frame header part of the frame that is written.
func (d *delivery) tag() {
	d.tagged = true
	if d.vnet.partial() {
		d.vnet.checksumStart += vlanTagLen
	}
	if d.vnet.headerLen != 0 {
		d.vnet.headerLen += vlanTagLen
	}
}

// congestion says whether a frame met congestion on the underlay.
type congestion bool

// markCE carries the outer CE mark over to the inner packet (RFC 6040 section
// 4.2). It returns false if the inner packet cannot bear one: it is dropped.
func markCE(frame []byte, p *innerPacket) bool {
	h := frame[p.l3:]
	switch {
	case p.ip == 0:
		return true
	case p.tos&3 == 0:
		return false
	case p.ip == 4:
		h[1] |= 3
		h[10], h[11] = 0, 0
		binary.BigEndian.PutUint16(h[10:], stt.Checksum(h[:int(h[0]&0x0f)*4]))
	default:
		h[1] |= 3 << 4
	}
	return true
}
