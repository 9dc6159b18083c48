package endpoint

import (
	"encoding/binary"
	"hash/maphash"

	"sttwall/stt"
)

const (
	// headroom is how many bytes in front of a tenant's frame a buffer keeps
	// free for the headers of the outer packet: virtio_net_hdr, Ethernet,
	// IPv6, segment and frame header, and a VLAN tag.
	headroom = 128

	// maxQueuePayload is how many bytes of a packet NFQUEUE can carry. Outer
	// packets stay below, so that a firewall on the way sees all of them.
	maxQueuePayload = 65531

	// maxRead is the longest frame that a kernel hands over: an IP packet of
	// 65,535 bytes, its Ethernet header and two tags.
	maxRead = 65535 + etherHeaderLen + 2*vlanTagLen
)

// vlanTag is a tag that the kernel took off a frame.
type vlanTag struct {
	present   bool
	etherType uint16
	tci       uint16
}

// outgoing is one STT frame on its way to the wire.
type outgoing struct {
	// buf[start:end] is the inner frame. At least [headroom] bytes less a
	// VLAN tag before it are free and may be written.
	buf        []byte
	start, end int
	// reused: buf is used again when emit returns; else it stays as it is
	// until the whole batch is sent.
	reused bool
	// header is the frame header, complete.
	header stt.FrameHeader
	// srcPort is the outer source port, ecn the outer ECN field.
	srcPort uint16
	ecn     uint8
}

// encapsulator turns what a tenant's kernel sent into STT frames, as
// stt_xmit does. One goroutine at a time.
type encapsulator struct {
	contextID uint64
	// tci is that of the port; with 0 the frame's own 802.1Q tag goes there.
	tci uint16
	// maxInner is the longest inner frame that fits one outer packet, in bytes.
	maxInner int
	seed     maphash.Seed
	// emit takes each frame; f is borrowed until it returns.
	emit func(f *outgoing)

	packet  innerPacket
	out     outgoing
	piece   outgoing // of cut
	scratch []byte   // of cut
}

func newEncapsulator(p *Port, maxInner int, seed maphash.Seed, emit func(*outgoing)) *encapsulator {
	return &encapsulator{
		contextID: p.ContextID, tci: p.TCI, maxInner: maxInner, seed: seed, emit: emit,
		scratch: make([]byte, headroom+maxRead),
	}
}

// encapsulate emits the STT frames for the inner frame buf[start:end], one as
// a rule, and returns [DropNone]; or says why there is none. It changes buf.
// start must be at least headroom.
func (c *encapsulator) encapsulate(buf []byte, start, end int, v vnetHeader, tag vlanTag) Drop {
	if end-start < etherHeaderLen {
		return DropTenantMalformed
	}
	c.out = outgoing{buf: buf, start: start, end: end}
	c.out.header.ContextID = c.contextID
	if !c.placeTag(&v, tag) {
		return DropTenantMalformed
	}
	frame := buf[c.out.start:end]
	c.packet.parse(frame)
	c.out.srcPort = 1 + uint16(c.packet.flowHash(c.seed, frame)%0xffff)
	c.out.ecn = outerECN(&c.packet)

	switch v.gsoType &^ gsoECN {
	case gsoNone:
		return c.whole(frame, &v)
	case gsoTCPv4, gsoTCPv6:
		return c.superSegment(frame, &v)
	case gsoUDPL4:
		return c.datagrams(frame, &v)
	}
	return DropTenantOffload
}

// placeTag moves the outermost 802.1Q tag into the frame header if the port
// has no TCI of its own, as Open vSwitch does with a trunk; every other tag
// goes, or stays, in the frame.
func (c *encapsulator) placeTag(v *vnetHeader, tag vlanTag) bool {
	o := &c.out
	trunk := c.tci == 0
	if !trunk {
		o.header.TCI = c.tci
	}
	switch {
	case tag.present && trunk && tag.etherType == etherTypeVLAN:
		o.header.TCI = tag.tci | stt.TagPresent
	case tag.present:
		o.start -= vlanTagLen
		frame := o.buf[o.start:o.end]
		copy(frame, frame[vlanTagLen:vlanTagLen+12])
		binary.BigEndian.PutUint16(frame[12:], tag.etherType)
		binary.BigEndian.PutUint16(frame[14:], tag.tci)
		v.checksumStart += vlanTagLen
	case trunk && binary.BigEndian.Uint16(o.buf[o.start+12:]) == etherTypeVLAN:
		frame := o.buf[o.start:o.end]
		if len(frame) < etherHeaderLen+vlanTagLen || v.partial() && v.checksumStart < etherHeaderLen+vlanTagLen {
			return false
		}
		o.header.TCI = binary.BigEndian.Uint16(frame[14:]) | stt.TagPresent
		copy(frame[vlanTagLen:], frame[:12])
		o.start += vlanTagLen
		v.checksumStart -= vlanTagLen
	}
	return true
}

// outerECN is the ECN field of the outer header for p (RFC 6040 section 4.1,
// with CE sent as ECT(0) as the kernel's INET_ECN_encapsulate does).
func outerECN(p *innerPacket) uint8 {
	if p.ip == 0 {
		return 0
	}
	if ecn := p.tos & 3; ecn != 3 {
		return ecn
	}
	return 2
}

// whole emits a frame that is one packet.
func (c *encapsulator) whole(frame []byte, v *vnetHeader) Drop {
	if len(frame) > c.maxInner {
		return DropTooLong
	}
	if v.partial() {
		if c.packet.canonical(frame, v) {
			c.markPartial(&c.out.header, 0)
		} else {
			start, offset := int(v.checksumStart), int(v.checksumOffset)
			if start+offset+2 > len(frame) {
				return DropTenantMalformed
			}
			finishChecksum(frame, start, offset)
		}
	}
	c.emit(&c.out)
	return DropNone
}

// markPartial says in h that the receiver finishes the checksum, and with
// which MSS it cuts the frame.
func (c *encapsulator) markPartial(h *stt.FrameHeader, mss uint16) {
	h.Flags = stt.FlagChecksumPartial
	if c.packet.ip == 4 {
		h.Flags |= stt.FlagIPv4
	}
	if c.packet.protocol == protocolTCP {
		h.Flags |= stt.FlagTCP
	}
	h.L4Offset = uint8(c.packet.l4)
	h.MSS = mss
}

// superSegment emits a TCP packet that a network card was to cut into
// segments of gsoSize bytes. The receiver does that now, unless the frame
// does not fit or has tags that keep the receiver from reading it.
func (c *encapsulator) superSegment(frame []byte, v *vnetHeader) Drop {
	p := &c.packet
	if !v.partial() || v.gsoSize == 0 || p.protocol != protocolTCP || p.l4 < 0 ||
		p.l4 != int(v.checksumStart) || v.checksumOffset != checksumAtTCP || p.end != len(frame) {
		return DropTenantOffload
	}
	headers := p.l4 + int(frame[p.l4+12]>>4)*4
	if headers < p.l4+tcpHeaderLen || headers > len(frame) {
		return DropTenantMalformed
	}
	size := int(v.gsoSize)
	if !p.canonical(frame, v) {
		return c.cut(frame, cutting{headers: headers, size: size, segment: size})
	}
	if len(frame) > c.maxInner {
		fit := (c.maxInner - headers) / size * size
		return c.cut(frame, cutting{headers: headers, size: fit, segment: size, partial: true})
	}
	mss := v.gsoSize
	if len(frame)-headers <= size {
		mss = 0
	}
	c.markPartial(&c.out.header, mss)
	c.emit(&c.out)
	return DropNone
}

// datagrams emits a UDP packet that a network card was to cut into many: STT
// has no word for that, so they are cut here.
func (c *encapsulator) datagrams(frame []byte, v *vnetHeader) Drop {
	p := &c.packet
	if !v.partial() || v.gsoSize == 0 || p.protocol != protocolUDP || p.l4 < 0 ||
		p.l4 != int(v.checksumStart) || v.checksumOffset != checksumAtUDP || p.end != len(frame) {
		return DropTenantOffload
	}
	size := int(v.gsoSize)
	return c.cut(frame, cutting{
		headers: p.l4 + udpHeaderLen, size: size, segment: size, partial: p.canonical(frame, v),
	})
}
