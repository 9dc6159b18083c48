package rewrite

import (
	"encoding/binary"

	"sttwall/internal/checksum"
)

// update changes the checksum in field for one 16-bit word that changes from
// was to is: RFC 1624 equation 3, which is right where the older one makes
// 0xffff of 0.
func update(field []byte, was, is uint16) {
	old := binary.BigEndian.Uint16(field)
	binary.BigEndian.PutUint16(field, ^checksum.Fold(uint64(^old)+uint64(^was)+uint64(is)))
}

// pseudo is the sum of the pseudo-header over src and dst, which are in ip
// behind each other (RFC 9293 section 3.1, RFC 8200 section 8.1).
func pseudo(addresses []byte, protocol uint8, length int) uint64 {
	return uint64(protocol) + uint64(length) + uint64(checksum.Sum(addresses))
}

// transport returns the checksum of l4 between the addresses; see pseudo. Over
// what holds a right one it returns 0.
func transport(addresses []byte, protocol uint8, l4 []byte) uint16 {
	return ^checksum.Fold(pseudo(addresses, protocol, len(l4)) + uint64(checksum.Sum(l4)))
}
