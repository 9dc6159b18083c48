package rewrite

import "encoding/binary"

// sum adds the 16-bit words of b to s, in network byte order; an odd byte is
// the high half of the last word (RFC 1071).
func sum(s uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		s += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) == 1 {
		s += uint32(b[0]) << 8
	}
	return s
}

func fold(s uint32) uint16 {
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return uint16(s)
}

// update changes the checksum in field for one 16-bit word that changes from
// was to is: RFC 1624 equation 3, which is right where the older one makes
// 0xffff of 0.
func update(field []byte, was, is uint16) {
	old := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, ^fold(uint32(^old)+uint32(^was)+uint32(is)))
}

// pseudo is the sum of the pseudo-header over src and dst, which are in ip
// behind each other (RFC 9293 section 3.1, RFC 8200 section 8.1).
func pseudo(addresses []byte, protocol uint8, length int) uint32 {
	return sum(uint32(protocol)+uint32(length), addresses)
}
