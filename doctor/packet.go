package doctor

import (
	"encoding/binary"
	"net/netip"
)

// tri is an answer of which not all is known.
type tri uint8

const (
	no tri = iota
	maybe
	yes
)

func sure(b bool) tri {
	if b {
		return yes
	}
	return no
}

func (t tri) not() tri { return yes - t }

// tracking is what connection tracking has made of a packet: a set of the bits of
// NF_CT_STATE_BIT (linux/netfilter/nf_conntrack_common.h) of which one is set.
type tracking uint32

const (
	ctInvalid     tracking = 1
	ctEstablished tracking = 2
	ctRelated     tracking = 4
	ctNew         tracking = 8
	ctUntracked   tracking = 64

	// midStream: STT looks like TCP out of the blue, which conntrack takes for a
	// connection that it has missed the start of, or for invalid.
	midStream = ctInvalid | ctNew | ctEstablished
)

// packet is an STT packet of which some is known.
type packet struct {
	v4       bool
	src, dst netip.Addr // not valid: any
	iif, oif string     // "": any
	port     uint16
	ct       tracking
	tagged   bool // it has a VLAN tag yet, where that is looked at
}

// partly is bytes of which those bits are known that are set in known.
type partly struct{ data, known []byte }

func nothingKnown(n int) partly { return partly{make([]byte, n), make([]byte, n)} }

func allKnown(b ...byte) partly {
	p := nothingKnown(len(b))
	copy(p.data, b)
	for i := range p.known {
		p.known[i] = 0xff
	}
	return p
}

// put says that bytes are known from an offset on.
func (p partly) put(at int, b ...byte) {
	copy(p.data[at:], b)
	for i := range b {
		p.known[at+i] = 0xff
	}
}

// slice is a part of it; what is behind its end is not known.
func (p partly) slice(at, n int) partly {
	s := nothingKnown(n)
	if at < len(p.data) {
		copy(s.data, p.data[at:])
		copy(s.known, p.known[at:])
	}
	return s
}

// whole returns the bytes if all are known.
func (p partly) whole() ([]byte, bool) {
	for _, k := range p.known {
		if k != 0xff {
			return nil, false
		}
	}
	return p.data, true
}

// equals compares with bytes of the same length.
func (p partly) equals(b []byte) tri {
	all := yes
	for i, k := range p.known {
		if i >= len(b) {
			break
		}
		if (p.data[i]^b[i])&k != 0 {
			return no
		}
		if k != 0xff {
			all = maybe
		}
	}
	return all
}

// frame is its Ethernet header, without a tag.
func (p *packet) frame() partly {
	h := nothingKnown(14)
	h.put(12, ethertype(p.v4)...)
	return h
}

// network is the packet's IP header.
func (p *packet) network() partly {
	if p.v4 {
		h := nothingKnown(20)
		h.put(0, 0x45)
		h.put(9, protocolTCP)
		if p.src.IsValid() {
			h.put(12, p.src.AsSlice()...)
		}
		if p.dst.IsValid() {
			h.put(16, p.dst.AsSlice()...)
		}
		return h
	}
	h := nothingKnown(40)
	h.put(6, protocolTCP)
	if p.src.IsValid() {
		h.put(8, p.src.AsSlice()...)
	}
	if p.dst.IsValid() {
		h.put(24, p.dst.AsSlice()...)
	}
	return h
}

// transport is its TCP-like header: the destination port, the data offset, and of the
// flags all but PSH.
func (p *packet) transport() partly {
	h := nothingKnown(20)
	h.put(2, binary.BigEndian.AppendUint16(nil, p.port)...)
	h.put(12, 0x50)
	const ack, psh = 0x10, 0x08
	h.data[13], h.known[13] = ack, ^byte(psh)
	return h
}

// state is what nft's `ct state` loads, in the machine's byte order.
func (p *packet) state() partly {
	s := nothingKnown(4)
	known := ^uint32(p.ct)
	if p.ct&(p.ct-1) == 0 { // one bit
		known = ^uint32(0)
		binary.NativeEndian.PutUint32(s.data, uint32(p.ct))
	}
	binary.NativeEndian.PutUint32(s.known, known)
	return s
}

// hasConnection reports whether the packet belongs to a connection that is tracked.
func (p *packet) hasConnection() tri {
	switch {
	case p.ct&(ctInvalid|ctUntracked) == p.ct:
		return no
	case p.ct&(ctInvalid|ctUntracked) == 0:
		return yes
	}
	return maybe
}

const protocolTCP = 6
