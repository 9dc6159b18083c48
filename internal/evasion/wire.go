package evasion

// The builders here write bytes by themselves: what they make is to test the encoders
// of the firewall, and most of it no encoder would write.

func put16(b []byte, v uint16) { b[0], b[1] = byte(v>>8), byte(v) }

func put32(b []byte, v uint32) { put16(b, uint16(v>>16)); put16(b[2:], uint16(v)) }

func get16(b []byte) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }

func get32(b []byte) uint32 { return uint32(get16(b))<<16 | uint32(get16(b[2:])) }

// sum adds the 16-bit words of all parts, each filled up to an even length (RFC 1071).
func sum(parts ...[]byte) uint16 {
	var acc uint64
	for _, b := range parts {
		for ; len(b) > 1; b = b[2:] {
			acc += uint64(get16(b))
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

func word(n int) []byte { return []byte{byte(n >> 8), byte(n)} }

// segment is an outer packet to be made. The zero values are those of an ordinary one.
type segment struct {
	total, offset int
	id            uint32
	payload       []byte

	src, dst   byte // last byte of the outer addresses; 0: 1 and 2
	v6         bool
	srcPort    uint16 // 0: 40000
	noPort     bool   // the source port is 0 indeed
	port       uint16 // 0: 7471
	flags      uint8  // 0: ACK and PSH
	noFlags    bool
	dataOffset uint8 // 0: 5
	reserved   uint8
	window     uint16 // 0: 65535
	urgent     uint16
	badSum     bool

	tos        uint8
	options    []byte // IPv4 options
	place      uint16 // IPv4 flags and fragment offset
	ipID       uint16
	badIPSum   bool
	extension  uint8 // IPv6: number of an extension header of 8 bytes
	hopByHop   bool  // IPv6: hop-by-hop options
	fragmentV6 bool  // IPv6: an atomic fragment header
	foreign    bool  // from an address that is no endpoint
	protocol   uint8 // 0: TCP
}

// bytes makes the packet. pseudo leaves the checksum to an offload.
func (s segment) bytes(pseudo bool) []byte {
	tcp := make([]byte, 20, 20+len(s.payload))
	srcPort := or(s.srcPort, 40000)
	if s.noPort {
		srcPort = 0
	}
	put16(tcp, srcPort)
	put16(tcp[2:], or(s.port, 7471))
	put16(tcp[4:], uint16(s.total))
	put16(tcp[6:], uint16(s.offset))
	put32(tcp[8:], s.id)
	tcp[12], tcp[13] = or(s.dataOffset, 5)<<4|s.reserved, or(s.flags, 0x18)
	if s.noFlags {
		tcp[13] = 0
	}
	put16(tcp[14:], or(s.window, 0xffff))
	put16(tcp[18:], s.urgent)
	tcp = append(tcp, s.payload...)
	src, dst := s.addresses()
	ends := sum(src, dst, []byte{0, 6}, word(len(tcp)))
	put16(tcp[16:], ends)
	if !pseudo {
		put16(tcp[16:], ^sum(tcp))
	}
	if s.badSum {
		tcp[17] ^= 1
	}
	if s.v6 {
		return s.ipv6(src, dst, tcp)
	}
	return s.ipv4(src, dst, tcp)
}

func (s segment) addresses() (src, dst []byte) {
	if s.v6 {
		src = []byte{0x20, 1, 0xd, 0xb8, 0, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, or(s.src, 1)}
		dst = []byte{0x20, 1, 0xd, 0xb8, 0, 0x47, 0, 0, 0, 0, 0, 0, 0, 0, 0, or(s.dst, 2)}
	} else {
		src, dst = []byte{192, 0, 2, or(s.src, 1)}, []byte{192, 0, 2, or(s.dst, 2)}
	}
	if s.foreign {
		src[1] ^= 0x80
	}
	return src, dst
}

func (s segment) ipv4(src, dst, body []byte) []byte {
	h := make([]byte, 20, 20+len(s.options)+len(body))
	h[0], h[1], h[8], h[9] = 0x45+byte(len(s.options)/4), s.tos, 63, or(s.protocol, 6)
	put16(h[2:], uint16(20+len(s.options)+len(body)))
	put16(h[4:], s.ipID)
	put16(h[6:], s.place)
	copy(h[12:], src)
	copy(h[16:], dst)
	h = append(h, s.options...)
	put16(h[10:], ^sum(h))
	if s.badIPSum {
		h[11] ^= 1
	}
	return append(h, body...)
}

func (s segment) ipv6(src, dst, body []byte) []byte {
	h := make([]byte, 40)
	h[0], h[1], h[6], h[7] = 0x60|s.tos>>4, s.tos<<4, or(s.protocol, 6), 63
	if s.extension != 0 || s.hopByHop || s.fragmentV6 {
		ext := make([]byte, 8)
		ext[0], h[6] = h[6], s.extension
		if s.fragmentV6 {
			h[6] = 44
		} else {
			ext[2] = 1 // PadN over the rest
			ext[3] = 4
		}
		body = append(ext, body...)
	}
	put16(h[4:], uint16(len(body)))
	copy(h[8:], src)
	copy(h[24:], dst)
	return append(h, body...)
}

func or[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}

// cut makes the segments of a frame, cut at the given offsets.
func cut(id uint32, frame []byte, at ...int) []segment {
	var list []segment
	for from := 0; from < len(frame); {
		to := len(frame)
		if len(at) > 0 {
			to, at = at[0], at[1:]
		}
		list = append(list, segment{total: len(frame), offset: from, id: id, payload: frame[from:to]})
		from = to
	}
	return list
}
