package checksum

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Sum returns the one's complement sum of the 16-bit words of b, which are in
// network byte order: folded, not complemented. An odd last byte is the high half
// of a word. It is 0 only where all of b is.
func Sum(b []byte) uint16 {
	// Words are added in the order in which this processor most likely has them:
	// the sum of swapped words is the swapped sum (RFC 1071 section 2 (B)).
	return bits.ReverseBytes16(Fold(sum(b)))
}

// Sum20 is [Sum] for the length of the headers of IPv4 and TCP without options.
func Sum20(h *[20]byte) uint16 {
	acc, carry := bits.Add64(binary.LittleEndian.Uint64(h[:]), binary.LittleEndian.Uint64(h[8:]), 0)
	acc, carry = bits.Add64(acc, uint64(binary.LittleEndian.Uint32(h[16:])), carry)
	return bits.ReverseBytes16(Fold(acc + carry))
}

// sumGo adds the little-endian words of b to acc, 64 bits at a time: the width of
// the addition does not matter (RFC 1071 section 2 (C)).
func sumGo(acc uint64, b []byte) uint64 {
	var carry uint64
	for len(b) >= 64 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[8:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[16:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[24:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[32:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[40:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[48:]), carry)
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b[56:]), carry)
		b = b[64:]
	}
	for len(b) >= 8 {
		acc, carry = bits.Add64(acc, binary.LittleEndian.Uint64(b), carry)
		b = b[8:]
	}
	if len(b) >= 4 {
		acc, carry = bits.Add64(acc, uint64(binary.LittleEndian.Uint32(b)), carry)
		b = b[4:]
	}
	var rest uint64
	if len(b) >= 2 {
		rest = uint64(binary.LittleEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) == 1 {
		rest += uint64(b[0])
	}
	acc, carry = bits.Add64(acc, rest, carry)
	acc, carry = bits.Add64(acc, 0, carry)
	return acc + carry
}

// Fold brings a sum of 16-bit words down to 16 bits.
func Fold(acc uint64) uint16 {
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>32 + acc&0xffffffff
	acc = acc>>16 + acc&0xffff
	acc = acc>>16 + acc&0xffff
	return uint16(acc>>16 + acc&0xffff)
}

// Part returns what bytes with the given sum add to that of a whole in which they
// begin at offset, in bytes: at an odd one they are the other halves of words.
func Part(sum uint16, offset int) uint16 {
	if offset%2 != 0 {
		return bits.ReverseBytes16(sum)
	}
	return sum
}

// Without returns the sum of a whole less one of its parts. Where nothing but
// zeros is left it can be 0xffff, the other zero of one's complement.
func Without(sum, part uint16) uint16 { return Fold(uint64(sum) + uint64(^part)) }

// Pseudo returns the sum of the pseudo-header of RFC 9293 section 3.1 or RFC 8200
// section 8.1, not folded. length is that of the transport header and its payload,
// in bytes.
func Pseudo(src, dst netip.Addr, protocol uint8, length int) uint64 {
	if src.Is4() {
		s, d := src.As4(), dst.As4()
		return uint64(binary.BigEndian.Uint32(s[:])) + uint64(binary.BigEndian.Uint32(d[:])) +
			uint64(protocol) + uint64(length)
	}
	s, d := src.As16(), dst.As16()
	return uint64(Sum(s[:])) + uint64(Sum(d[:])) + uint64(protocol) + uint64(length)
}
