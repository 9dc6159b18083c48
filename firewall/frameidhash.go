package firewall

import (
	"crypto/rand"
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// idKey is what the hash of a frame-ID filter is keyed with: random numbers, which
// nobody outside has, so that nobody chooses frames that meet the bits of others. It
// goes to the next instance with the filter, which is of no use without it.
//
// Words go through NH and a folded product, as in package conntrack (hash.go there
// names the sources): for any two that somebody chooses without the key, all bits are
// the same with a probability of about 2^-64.
type idKey [8]uint64

func makeIDKey() (k idKey) {
	var b [8 * len(k)]byte
	_, _ = rand.Read(b[:]) // it never returns an error
	k.read(b[:])
	return k
}

func (k *idKey) read(b []byte) {
	for i := range k {
		k[i] = binary.LittleEndian.Uint64(b[8*i:])
	}
}

func (k *idKey) append(b []byte) []byte {
	for _, word := range k {
		b = binary.LittleEndian.AppendUint64(b, word)
	}
	return b
}

// hash hashes two outer addresses and the upper part of a frame ID.
func (k *idKey) hash(src, dst netip.Addr, part uint32) uint64 {
	var high, low uint64
	if src.Is4() && dst.Is4() {
		s, d := src.As4(), dst.As4()
		both := uint64(binary.BigEndian.Uint32(s[:]))<<32 | uint64(binary.BigEndian.Uint32(d[:]))
		high, low = bits.Mul64(both+k[0], uint64(part)+k[1])
	} else {
		s, d := src.As16(), dst.As16()
		be := binary.BigEndian
		high, low = bits.Mul64(be.Uint64(s[:])+k[0], be.Uint64(s[8:])+k[1])
		for _, pair := range [2][2]uint64{
			{be.Uint64(d[:]) + k[2], be.Uint64(d[8:]) + k[3]}, {uint64(part) + k[4], k[5]},
		} {
			h, l := bits.Mul64(pair[0], pair[1])
			var carry uint64
			low, carry = bits.Add64(low, l, 0)
			high, _ = bits.Add64(high, h, carry)
		}
	}
	high, low = bits.Mul64(high^k[6], low^k[7])
	return high ^ low
}
