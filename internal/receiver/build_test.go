package receiver

import (
	"bytes"
	"slices"
)

// segment is an outer packet to be.
type segment struct {
	total, offset int
	id            uint32
	payload       []byte

	srcPort    uint16
	flags      uint8
	dataOffset uint8 // 0: 5
	options    []byte
	tos        uint8
	place      uint16 // IPv4 flags and fragment offset
	ipID       uint16
	protocol   uint8 // 0: 6
	port       uint16
	badSum     bool
}

var ends = []byte{192, 0, 2, 1, 192, 0, 2, 2}

// bytes makes the packet, with its checksums.
func (s segment) bytes() []byte {
	tcp := make([]byte, 20, 20+len(s.payload))
	put16(tcp, s.srcPort)
	put16(tcp[2:], cmpOr(s.port, Port))
	put16(tcp[4:], uint16(s.total))
	put16(tcp[6:], uint16(s.offset))
	put32(tcp[8:], s.id)
	tcp[12], tcp[13] = cmpOr(s.dataOffset, 5)<<4, s.flags
	tcp = append(tcp, s.options...)
	tcp = append(tcp, s.payload...)
	put16(tcp[16:], ^sum(ends, []byte{0, 6}, length32(len(tcp)), tcp))
	if s.badSum {
		tcp[16] ^= 1
	}
	return s.around(tcp)
}

// around puts the IPv4 header in front.
func (s segment) around(b []byte) []byte {
	ip := make([]byte, 20)
	ip[0], ip[1], ip[8], ip[9] = 0x45, s.tos, 64, cmpOr(s.protocol, 6)
	put16(ip[2:], uint16(20+len(b)))
	put16(ip[4:], s.ipID)
	put16(ip[6:], s.place)
	copy(ip[12:], ends)
	put16(ip[10:], ^sum(ip))
	return append(ip, b...)
}

func cmpOr[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// frameOf makes an STT frame around an inner one.
func frameOf(h header, inner []byte) []byte {
	b := make([]byte, 18)
	b[0], b[1], b[2] = h.version, h.flags, h.l4Offset
	put16(b[4:], h.mss)
	put16(b[6:], h.tci)
	put32(b[12:], uint32(h.context))
	return append(b, inner...)
}

// innerTCP is an IPv4 frame with the pseudo-header sum in its checksum field.
func innerTCP(payload int) []byte {
	b := make([]byte, 14+20+20, 54+payload)
	b[12] = 8
	ip := b[14:]
	ip[0], ip[8], ip[9] = 0x45, 64, 6
	put16(ip[2:], uint16(40+payload))
	copy(ip[12:], []byte{10, 0, 0, 1, 10, 0, 0, 2})
	put16(ip[10:], ^sum(ip[:20]))
	tcp := b[34:]
	put16(tcp, 40000)
	put16(tcp[2:], 80)
	put32(tcp[4:], 1000)
	tcp[12], tcp[13] = 0x50, 0x99 // CWR, ACK, PSH, FIN
	put16(tcp[16:], sum(ip[12:20], []byte{0, 6}, length32(20+payload)))
	for i := range payload {
		b = append(b, byte(i*7))
	}
	return b
}

// pieces cuts a frame at the given places.
func pieces(id uint32, frame []byte, at ...int) []segment {
	var list []segment
	from := 0
	for _, to := range append(slices.Clone(at), len(frame)) {
		list = append(list, segment{total: len(frame), offset: from, id: id, payload: frame[from:to]})
		from = to
	}
	return list
}

// both hands the same packets to both receivers, a nanosecond apart.
func both(segments ...segment) (l, w []*Delivered, faults Faults) {
	linux, windows := NewLinux(LinuxConfig{}), NewWindows(WindowsConfig{})
	for i, s := range segments {
		b := s.bytes()
		kept := bytes.Clone(b)
		if d := linux.Receive(int64(i), 0, b); d != nil {
			l = append(l, d)
		}
		if d := windows.Receive(int64(i), 0, b); d != nil {
			w = append(w, d)
		}
		if !bytes.Equal(b, kept) {
			panic("a receiver wrote into a packet that it had borrowed")
		}
	}
	return l, w, windows.Faults()
}
