package receiver

import "net/netip"

// Port is the TCP port of STT.
const Port = 7471

// Lengths in bytes.
const (
	tcpHeaderLen   = 20
	frameHeaderLen = 18 // STT's, with the padding
	ethernetLen    = 14
)

// Receiver is one of the two models.
type Receiver interface {
	// Receive takes one outer packet from its IP header on, at a time in ns on a clock
	// that never goes back, on a CPU counted from 0. It returns what is delivered to
	// the tenant because of it, or nil. The packet is borrowed until it returns.
	Receive(now int64, cpu int, packet []byte) *Delivered
	// Faults returns what went wrong until now.
	Faults() Faults
}

// Faults counts what the original would have done to its own memory.
type Faults struct {
	// WritesOutside counts writes outside of the buffer of a frame.
	WritesOutside int
}

// Delivered is a frame as it reaches the tenant's switch.
type Delivered struct {
	// Src and Dst are the outer addresses that the switch is told.
	Src, Dst netip.Addr
	// Context is the Context ID, 64 bits.
	Context uint64
	// Tagged: the switch sees a VLAN tag in front of those in the frame. TCI is
	// its PCP and VLAN ID, bit 0x1000 clear; valid iff Tagged.
	Tagged bool
	TCI    uint16
	// Frame is the inner Ethernet frame as it was put together, before the receiver
	// wrote into it.
	Frame []byte
	// Undefined are the ranges of Frame that hold memory that nobody sent.
	Undefined []Range
	// Gaps: bytes of the frame are missing, and what follows them moved up.
	Gaps bool
	// Trusted: the inner checksum will not be looked at.
	Trusted bool
	// Written are the ranges of Frame that the receiver writes: checksums, and what
	// changes in the headers of pieces.
	Written []Range
	// Packets are what leaves for the tenant: one frame, with what was written, or
	// the pieces that a large one was cut into.
	Packets [][]byte
	// CE: congestion was experienced outside.
	CE bool
}

// Range is a range of bytes; To is behind it.
type Range struct{ From, To int }

// header is the frame header.
type header struct {
	version, flags, l4Offset uint8
	mss, tci                 uint16
	context                  uint64
}

// Flags of the frame header.
const (
	flagVerified = 1 << iota
	flagPartial
	flagIPv4
	flagTCP
)

func readHeader(b []byte) header {
	h := header{version: b[0], flags: b[1], l4Offset: b[2], mss: be16(b[4:]), tci: be16(b[6:])}
	for _, v := range b[8:16] {
		h.context = h.context<<8 | uint64(v)
	}
	return h
}

func be16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

func put16(b []byte, v uint16) { b[0], b[1] = byte(v>>8), byte(v) }

func be32(b []byte) uint32 { return uint32(be16(b))<<16 | uint32(be16(b[2:])) }

func put32(b []byte, v uint32) { put16(b, uint16(v>>16)); put16(b[2:], uint16(v)) }

// sum adds the 16-bit words of all parts, each padded with a zero byte to an even
// length, as RFC 1071 does.
func sum(parts ...[]byte) uint16 {
	var acc uint64
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			acc += uint64(be16(b))
		}
		if len(b) == 1 {
			acc += uint64(b[0]) << 8
		}
	}
	for acc > 0xffff {
		acc = acc>>16 + acc&0xffff
	}
	return uint16(acc)
}
