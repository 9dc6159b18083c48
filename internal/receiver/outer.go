package receiver

import (
	"net/netip"
	"slices"
)

// datagram is an outer packet to the port of STT, as a receiver's module gets it.
type datagram struct {
	src, dst netip.Addr
	tos      uint8
	// segment is the TCP-like header and what follows, to the end of the IP packet.
	segment []byte
}

// outerReader is what stands in front of a receiver's module: the IP stack.
type outerReader struct {
	port      uint16
	ipv6      bool
	checkIP   bool // bad IPv4 header checksums are dropped
	fragments map[fragmentKey]*fragments
}

type fragmentKey struct {
	src, dst [4]byte
	id       uint16
}

type fragments struct {
	total  int // -1: the last one has not come
	pieces []piece
	tos    uint8
}

// piece is a part of something at an offset.
type piece struct {
	offset int
	data   []byte
	tos    uint8
}

// read returns the datagram that a packet is or completes; nil if it is none for STT.
func (o *outerReader) read(packet []byte) *datagram {
	if len(packet) == 0 {
		return nil
	}
	var d *datagram
	switch packet[0] >> 4 {
	case 4:
		d = o.readIPv4(packet)
	case 6:
		d = o.readIPv6(packet)
	}
	// Flags are not looked at, only the port.
	if d == nil || len(d.segment) < tcpHeaderLen || be16(d.segment[2:]) != o.port {
		return nil
	}
	return d
}

func (o *outerReader) readIPv4(packet []byte) *datagram {
	if len(packet) < 20 {
		return nil
	}
	headerLen, total := int(packet[0]&15)*4, int(be16(packet[2:]))
	if headerLen < 20 || total < headerLen || total > len(packet) {
		return nil
	}
	if packet[9] != 6 || o.checkIP && sum(packet[:headerLen]) != 0xffff {
		return nil
	}
	d := &datagram{
		src: netip.AddrFrom4([4]byte(packet[12:16])), dst: netip.AddrFrom4([4]byte(packet[16:20])),
		tos: packet[1], segment: slices.Clone(packet[headerLen:total]),
	}
	place := be16(packet[6:])
	if place&0x3fff == 0 {
		return d
	}
	key := fragmentKey{src: [4]byte(packet[12:16]), dst: [4]byte(packet[16:20]), id: be16(packet[4:])}
	return o.defragment(key, d, int(place&0x1fff)*8, place&0x2000 != 0)
}

// defragment returns the whole datagram once all fragments of it are there. What
// overlaps drops the datagram, as RFC 5722 wants and Linux does for IPv4 too.
func (o *outerReader) defragment(key fragmentKey, d *datagram, offset int, more bool) *datagram {
	if o.fragments == nil {
		o.fragments = map[fragmentKey]*fragments{}
	}
	f := o.fragments[key]
	if f == nil {
		f = &fragments{total: -1}
		o.fragments[key] = f
	}
	for _, p := range f.pieces {
		if offset < p.offset+len(p.data) && p.offset < offset+len(d.segment) {
			delete(o.fragments, key)
			return nil
		}
	}
	f.pieces = append(f.pieces, piece{offset: offset, data: d.segment})
	f.tos |= d.tos
	if !more {
		f.total = offset + len(d.segment)
	}
	slices.SortFunc(f.pieces, func(a, b piece) int { return a.offset - b.offset })
	var whole []byte
	for _, p := range f.pieces {
		if p.offset != len(whole) {
			return nil
		}
		whole = append(whole, p.data...)
	}
	if f.total != len(whole) {
		return nil
	}
	delete(o.fragments, key)
	d.segment, d.tos = whole, f.tos
	return d
}

// readIPv6 is an extra: neither of the originals takes IPv6 outside. It is here for
// receivers that do, which would put frames together in the same way.
func (o *outerReader) readIPv6(packet []byte) *datagram {
	if !o.ipv6 || len(packet) < 40 || packet[6] != 6 {
		return nil
	}
	end := 40 + int(be16(packet[4:]))
	if end > len(packet) {
		return nil
	}
	return &datagram{
		src: netip.AddrFrom16([16]byte(packet[8:24])), dst: netip.AddrFrom16([16]byte(packet[24:40])),
		tos: packet[0]<<4 | packet[1]>>4, segment: slices.Clone(packet[40:end]),
	}
}

// checksumGood verifies the TCP checksum of all of the segment.
func (d *datagram) checksumGood() bool {
	return sum(d.src.AsSlice(), d.dst.AsSlice(), []byte{0, 6}, length32(len(d.segment)), d.segment) == 0xffff
}

func length32(n int) []byte { return []byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)} }

// total and offset are the halves of the sequence number, frameID the acknowledgment
// number.
func (d *datagram) total() int      { return int(be16(d.segment[4:])) }
func (d *datagram) offset() int     { return int(be16(d.segment[6:])) }
func (d *datagram) frameID() uint32 { return be32(d.segment[8:]) }

func (d *datagram) ce() bool { return d.tos&3 == 3 }

// key is what pieces of one frame have in common for both receivers. The source port
// is not in it.
type key struct {
	src, dst netip.Addr
	frameID  uint32
}

func (d *datagram) key() key { return key{d.src, d.dst, d.frameID()} }
