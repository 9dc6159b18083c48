package stt

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// protocolTCP is the IP protocol number under which STT travels (draft
// section 3.2).
const protocolTCP = 6

// sum adds b to acc in one's complement arithmetic, 64 bits at a time (RFC
// 1071 section 2: the width of the addition does not matter). An odd last
// byte counts as the high half of a word.
func sum(acc uint64, b []byte) uint64 {
	var carry uint64
	for len(b) >= 32 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b[24:]), carry)
		b = b[32:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(b), carry)
		b = b[8:]
	}
	var rest [8]byte
	copy(rest[:], b)
	acc, carry = bits.Add64(acc, binary.BigEndian.Uint64(rest[:]), carry)
	return addCarry(acc, carry)
}

func addCarry(acc, carry uint64) uint64 {
	acc, carry = bits.Add64(acc, 0, carry)
	return acc + carry
}

// fold brings a sum down to 16 bits.
func fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc>>16 + acc&0xffff)
}

// Checksum returns the Internet checksum of b (RFC 1071), complemented, ready
// to be written big-endian into a header whose checksum field was zero. Over
// a header that holds a right checksum it returns 0.
func Checksum(b []byte) uint16 { return ^fold(sum(0, b)) }

// pseudo adds the pseudo-header of RFC 9293 section 3.1 or RFC 8200 section 8.1.
func pseudo(src, dst netip.Addr, protocol uint8, length int) uint64 {
	var acc uint64
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		acc = uint64(binary.BigEndian.Uint32(s[:])) + uint64(binary.BigEndian.Uint32(d[:]))
	} else {
		s, d := src.As16(), dst.As16()
		acc = sum(sum(0, s[:]), d[:])
	}
	low, carry := bits.Add64(acc, uint64(protocol)+uint64(length), 0)
	return addCarry(low, carry)
}

// PseudoSum returns the pseudo-header sum, folded and not complemented: what
// a checksum field holds while an offload still has to finish it. length is
// that of the transport header and its payload in bytes.
func PseudoSum(src, dst netip.Addr, protocol uint8, length int) uint16 {
	return fold(pseudo(src, dst, protocol, length))
}

// transportChecksum returns the checksum of a whole TCP segment b.
func transportChecksum(src, dst netip.Addr, b []byte) uint16 {
	return ^fold(sum(pseudo(src, dst, protocolTCP, len(b)), b))
}
