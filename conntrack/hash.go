package conntrack

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
)

// secret is what the hash of a table is keyed with: random numbers that leave the
// process nowhere. So nobody outside can tell which keys share a place.
//
// A key is at most 7 words of 64 bits. They go through NH (Black, Halevi, Krawczyk,
// Krovetz and Rogaway, "UMAC: Fast and Secure Message Authentication", CRYPTO 1999),
// products of pairs of words, each with a secret added: for any two keys that somebody
// chooses without the secret, both have the same 128 bits with a probability of at most
// 2^-64. A product folded with two more secrets spreads these over 64 bits, in which
// keys that make a pattern make none; Go's own maps hash so on processors without
// instructions for AES (runtime/hash64.go).
//
// Words are handed over in registers. To write a key to memory in small parts, and have
// it read in larger ones at once, as the instructions for AES do, costs more than the
// hash.
type secret [10]uint64

func makeSecret() *secret {
	var b [8 * len(secret{})]byte
	_, _ = rand.Read(b[:]) // it never returns an error
	var s secret
	for i := range s {
		s[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
	return &s
}

// sum is a number of 128 bits.
type sum struct{ high, low uint64 }

// plus adds a product.
func (s sum) plus(a, b uint64) sum {
	high, low := bits.Mul64(a, b)
	low, carry := bits.Add64(s.low, low, 0)
	high, _ = bits.Add64(s.high, high, carry)
	return sum{high, low}
}

// ipv4 hashes a key whose addresses are a and b, in the upper and the lower half of
// addresses.
func (s *secret) ipv4(addresses, ports, kind, context uint64) uint64 {
	return s.fold(s.rest(ports, kind).plus(addresses+s[2], context+s[3]))
}

// ipv6 hashes any other key. That it is another one is in its kind.
func (s *secret) ipv6(a, b [2]uint64, ports, kind, context uint64) uint64 {
	return s.fold(s.rest(ports, kind).plus(a[0]+s[2], context+s[3]).plus(a[1]+s[4], b[0]+s[5]).plus(b[1]+s[6], s[7]))
}

// rest is the part of both: ports and tenant; VLAN IDs, protocol and flags.
func (s *secret) rest(ports, kind uint64) sum { return sum{}.plus(ports+s[0], kind+s[1]) }

func (s *secret) fold(of sum) uint64 {
	high, low := bits.Mul64(of.high^s[8], of.low^s[9])
	return high ^ low
}

// hash hashes a key that was packed.
func (t *Table) hash(p *packed) uint64 {
	be := binary.BigEndian
	a, b := [2]uint64{be.Uint64(p[0:]), be.Uint64(p[8:])}, [2]uint64{be.Uint64(p[16:]), be.Uint64(p[24:])}
	ports, kind := be.Uint64(p[32:]), uint64(be.Uint32(p[40:]))<<16|uint64(be.Uint16(p[44:]))
	if p[nameLen-1]&nameIPv4 != 0 {
		return t.secret.ipv4(a[1]<<32|b[1]&0xffffffff, ports, kind, p.context())
	}
	return t.secret.ipv6(a, b, ports, kind, p.context())
}
