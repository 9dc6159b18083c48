package describe

import (
	"encoding/binary"
	"net/netip"

	"sttwall/inspect"
	"sttwall/internal/checksum"
)

type kind uint8

const (
	kindIP kind = iota
	kindARP
	kindOther
)

type fragment uint8

const (
	whole fragment = iota
	fragmentFirst
	fragmentLater
)

// laterOffset is where a later fragment begins, in bytes: behind what a packet
// of the usual MTU holds.
const laterOffset = 1480

const defaultSourcePort = 40000

// builder is a packet as it is described.
type builder struct {
	kind             kind
	ethSrc, ethDst   [6]byte
	macs             bool     // they are named
	tags             []uint16 // outermost first
	etherType        uint16
	arpOperation     uint16
	src, dst         netip.Addr
	protocol         uint8
	tos, ttl         uint8
	id               uint16
	fragment         fragment
	srcPort, dstPort uint16

	flags          uint16
	hasFlags       bool
	seq, ackNumber uint32
	numbers        bool // one of them is named
	window         uint16
	mss, scale     int // -1: no option

	icmpType, icmpCode uint8
	target             netip.Addr // of neighbour discovery, if the text names one
	solicited          bool       // answers a solicitation
	about              *builder
	payload            int
	from, to           netip.Addr
}

func (b *builder) defaults() {
	b.ethSrc, b.ethDst = [6]byte{2, 0, 0, 0, 0, 1}, [6]byte{2, 0, 0, 0, 0, 2}
	b.ttl, b.window, b.mss, b.scale, b.id = 64, 65535, -1, -1, 1
}

// build writes the frame.
func (b *builder) build() []byte {
	d := append(append([]byte{}, b.ethDst[:]...), b.ethSrc[:]...)
	for i, tci := range b.tags {
		etherType := uint16(inspect.EtherTypeVLAN)
		if i < len(b.tags)-1 {
			etherType = inspect.EtherTypeQinQ
		}
		d = binary.BigEndian.AppendUint16(d, etherType)
		d = binary.BigEndian.AppendUint16(d, tci)
	}
	switch b.kind {
	case kindARP:
		d = binary.BigEndian.AppendUint16(d, inspect.EtherTypeARP)
		d = append(d, 0, 1, 8, 0, 6, 4)
		d = binary.BigEndian.AppendUint16(d, b.arpOperation)
		sender, target := b.src.As4(), b.dst.As4()
		d = append(append(d, b.ethSrc[:]...), sender[:]...)
		targetMAC := b.ethDst
		if b.arpOperation == 1 {
			targetMAC = [6]byte{}
			if !b.macs {
				copy(d, []byte{255, 255, 255, 255, 255, 255})
			}
		}
		d = append(append(d, targetMAC[:]...), target[:]...)
	case kindOther:
		d = binary.BigEndian.AppendUint16(d, b.etherType)
	case kindIP:
		if b.src.Is4() {
			d = binary.BigEndian.AppendUint16(d, inspect.EtherTypeIPv4)
		} else {
			d = binary.BigEndian.AppendUint16(d, inspect.EtherTypeIPv6)
		}
		return b.appendIP(d)
	}
	return append(d, make([]byte, b.payload)...)
}

// appendIP appends the IP packet.
func (b *builder) appendIP(d []byte) []byte {
	l4 := b.l4()
	offset, more := 0, false
	switch b.fragment {
	case fragmentFirst:
		more = true
		l4 = append(l4, make([]byte, (8-len(l4)%8)%8)...) // all but the last end on 8 bytes
	case fragmentLater:
		offset = laterOffset
		l4 = make([]byte, max(8, b.payload))
	}
	fragmentWord := uint16(offset / 8)
	if b.src.Is4() {
		if more {
			fragmentWord |= 0x2000
		}
		start := len(d)
		d = append(d, 0x45, b.tos)
		d = binary.BigEndian.AppendUint16(d, uint16(20+len(l4)))
		d = binary.BigEndian.AppendUint16(d, b.id)
		d = binary.BigEndian.AppendUint16(d, fragmentWord)
		d = append(d, b.ttl, b.protocol, 0, 0)
		src, dst := b.src.As4(), b.dst.As4()
		d = append(append(d, src[:]...), dst[:]...)
		binary.BigEndian.PutUint16(d[start+10:], ^checksum.Sum(d[start:]))
		return append(d, l4...)
	}
	next, length := b.protocol, len(l4)
	if b.fragment != whole {
		next, length = 44, length+8
	}
	d = append(d, 0x60|b.tos>>4, b.tos<<4, 0, 0)
	d = binary.BigEndian.AppendUint16(d, uint16(length))
	d = append(d, next, b.ttl)
	src, dst := b.src.As16(), b.dst.As16()
	d = append(append(d, src[:]...), dst[:]...)
	if b.fragment != whole {
		fragmentWord <<= 3
		if more {
			fragmentWord |= 1
		}
		d = append(d, b.protocol, 0)
		d = binary.BigEndian.AppendUint16(d, fragmentWord)
		d = binary.BigEndian.AppendUint32(d, uint32(b.id))
	}
	return append(d, l4...)
}

// l4 returns what follows the IP header, with its checksum.
func (b *builder) l4() []byte {
	var d []byte
	at := -1 // of the checksum
	ports := func() {
		d = binary.BigEndian.AppendUint16(d, b.srcPort)
		d = binary.BigEndian.AppendUint16(d, b.dstPort)
	}
	switch b.protocol {
	case inspect.ProtocolTCP:
		ports()
		d = b.appendTCP(d)
		at = 16
	case inspect.ProtocolUDP:
		ports()
		d = binary.BigEndian.AppendUint16(d, uint16(8+b.payload))
		d = append(d, 0, 0)
		at = 6
	case inspect.ProtocolSCTP:
		ports()
		d = append(d, make([]byte, 8)...) // tag and CRC32c; nothing here looks at them
	case inspect.ProtocolICMP, inspect.ProtocolICMPv6:
		d = append(d, b.icmpType, b.icmpCode, 0, 0)
		d = binary.BigEndian.AppendUint16(d, b.id)
		d = append(d, 0, 1)
		if b.target.IsValid() {
			d[4], d[5], d[7] = 0x20, 0, 0 // override: RFC 4861 section 4.4
			if b.solicited {
				d[4] |= 0x40
			}
			d = append(d, b.target.AsSlice()...)
		}
		if b.about != nil {
			quoted := b.about.appendIP(nil)
			d = append(d, quoted[:min(len(quoted), 500)]...)
		}
		at = 2
	}
	d = append(d, make([]byte, b.payload)...)
	if at >= 0 && b.protocol == inspect.ProtocolICMP {
		binary.BigEndian.PutUint16(d[at:], ^checksum.Sum(d))
	} else if at >= 0 {
		c := ^checksum.Fold(checksum.Pseudo(b.src, b.dst, b.protocol, len(d)) + uint64(checksum.Sum(d)))
		if c == 0 && b.protocol == inspect.ProtocolUDP {
			c = 0xffff // 0 means none: RFC 768
		}
		binary.BigEndian.PutUint16(d[at:], c)
	}
	return d
}

func (b *builder) appendTCP(d []byte) []byte {
	if !b.hasFlags {
		b.flags = inspect.ACK
	}
	d = binary.BigEndian.AppendUint32(d, b.seq)
	d = binary.BigEndian.AppendUint32(d, b.ackNumber)
	var options []byte
	if b.mss >= 0 {
		options = append(options, 2, 4, byte(b.mss>>8), byte(b.mss))
	}
	if b.scale >= 0 {
		options = append(options, 1, 3, 3, byte(b.scale))
	}
	d = binary.BigEndian.AppendUint16(d, uint16(20+len(options))/4<<12|b.flags)
	d = binary.BigEndian.AppendUint16(d, b.window)
	d = append(d, 0, 0, 0, 0) // checksum, urgent pointer
	return append(d, options...)
}
