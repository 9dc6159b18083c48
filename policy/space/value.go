package space

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// Value is an unsigned number of 128 bits.
type Value struct{ Hi, Lo uint64 }

// V returns a value below 1<<64.
func V(n uint64) Value { return Value{0, n} }

// Address returns an inner address as [Src] and [Dst] have it. An address that
// is not valid is 0.
func Address(a netip.Addr) Value {
	if a.Is4() {
		b := a.As4()
		return V(uint64(binary.BigEndian.Uint32(b[:])))
	}
	return Endpoint(a)
}

// Endpoint returns an outer address as [From] and [To] have it.
func Endpoint(a netip.Addr) Value {
	if !a.IsValid() {
		return Value{}
	}
	b := a.As16()
	return Value{binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])}
}

// IPv4 returns the value of a [Src] or [Dst] as an IPv4 address.
func (v Value) IPv4() netip.Addr {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(v.Lo))
	return netip.AddrFrom4(b)
}

// IPv6 returns the value as an IPv6 address; IPv4-mapped ones stay so.
func (v Value) IPv6() netip.Addr {
	var b [16]byte
	binary.BigEndian.PutUint64(b[:8], v.Hi)
	binary.BigEndian.PutUint64(b[8:], v.Lo)
	return netip.AddrFrom16(b)
}

// MAC returns a value of [EthSrc] or [EthDst] as it is on the wire.
func (v Value) MAC() [6]byte {
	var b [8]byte
	binary.BigEndian.PutUint64(b[:], v.Lo)
	return [6]byte(b[2:])
}

// Compare returns -1, 0 or 1.
func (v Value) Compare(w Value) int {
	switch {
	case v == w:
		return 0
	case v.less(w):
		return -1
	}
	return 1
}

func (v Value) less(w Value) bool { return v.Hi < w.Hi || v.Hi == w.Hi && v.Lo < w.Lo }

// next returns v+1; v must not be the largest number of 128 bits.
func (v Value) next() Value { return v.plus(1) }

// prev returns v-1; v must not be 0.
func (v Value) prev() Value {
	lo, borrow := bits.Sub64(v.Lo, 1, 0)
	return Value{v.Hi - borrow, lo}
}

func (v Value) plus(n uint64) Value {
	lo, carry := bits.Add64(v.Lo, n, 0)
	return Value{v.Hi + carry, lo}
}

func (v Value) minus(w Value) Value {
	lo, borrow := bits.Sub64(v.Lo, w.Lo, 0)
	return Value{v.Hi - w.Hi - borrow, lo}
}

// Range is the values from Lo to Hi, both inclusive; Lo is not above Hi.
type Range struct{ Lo, Hi Value }

// Prefix returns the inner addresses of a prefix, and its family, 4 or 6.
func Prefix(p netip.Prefix) (r Range, family uint64) {
	p = p.Masked()
	v, n := Address(p.Addr()), p.Bits()
	if p.Addr().Is4() {
		return Range{v, V(v.Lo | (1<<(32-n) - 1))}, 4
	}
	host := Value{0, ^uint64(0)}
	if n >= 64 {
		host.Lo = 1<<(128-n) - 1
	} else {
		host.Hi = 1<<(64-n) - 1
	}
	return Range{v, Value{v.Hi | host.Hi, v.Lo | host.Lo}}, 6
}
