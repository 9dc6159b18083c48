package stt

import (
	"net/netip"

	"sttwall/internal/checksum"
)

// protocolTCP is the IP protocol number under which STT travels (draft
// section 3.2).
const protocolTCP = 6

// Checksum returns the Internet checksum of b (RFC 1071), complemented, ready
// to be written big-endian into a header whose checksum field was zero. Over
// a header that holds a right checksum it returns 0.
func Checksum(b []byte) uint16 {
	if len(b) == ipv4HeaderLen {
		return ^checksum.Sum20((*[ipv4HeaderLen]byte)(b))
	}
	return ^checksum.Sum(b)
}

// PseudoSum returns the pseudo-header sum, folded and not complemented: what
// a checksum field holds while an offload still has to finish it. length is
// that of the transport header and its payload in bytes.
func PseudoSum(src, dst netip.Addr, protocol uint8, length int) uint16 {
	return checksum.Fold(checksum.Pseudo(src, dst, protocol, length))
}

// transportChecksum returns the checksum of a whole TCP segment b.
func transportChecksum(src, dst netip.Addr, b []byte) uint16 {
	return ^checksum.Fold(checksum.Pseudo(src, dst, protocolTCP, len(b)) + uint64(checksum.Sum(b)))
}
