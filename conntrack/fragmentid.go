package conntrack

import (
	"encoding/binary"
	"hash/maphash"
)

// FragmentID names the inner IP packet that a fragment is a part of, as receivers
// do (RFC 791 section 3.2, RFC 8200 section 4.5), within its tenant and network,
// and the outer source.
type FragmentID struct {
	key  packedFragment
	from [16]byte // outer source
	hash uint64
}

// packedFragment is an ID in the form that is hashed and compared.
type packedFragment [54]byte

const (
	fragmentIPv4        = 1 << iota
	fragmentAnyEndpoint // fragments may come from any outer endpoint
)

// ID returns the ID of a fragment.
func (t *Fragments) ID(p *Packet) (id FragmentID) {
	f := p.Frame
	k := &id.key
	src, dst := f.Src.As16(), f.Dst.As16()
	copy(k[0:], src[:])
	copy(k[16:], dst[:])
	binary.BigEndian.PutUint32(k[32:], f.Fragment.ID)
	binary.BigEndian.PutUint32(k[36:], uint32(p.Tenant))
	binary.BigEndian.PutUint32(k[40:], VLANOf(f))
	binary.BigEndian.PutUint64(k[44:], p.Context)
	if f.IP == 4 {
		// In IPv6 it is no part of the name: behind the fragment header there may
		// be more extension headers, which only the first fragment shows.
		k[52] = f.Protocol
		k[53] = fragmentIPv4
	}
	id.from = p.From.As16()
	if p.AnyEndpoint {
		k[53] |= fragmentAnyEndpoint
		id.hash = maphash.Bytes(t.seed, k[:])
		return id
	}
	var whole [len(id.key) + len(id.from)]byte
	copy(whole[:], k[:])
	copy(whole[len(k):], id.from[:])
	id.hash = maphash.Bytes(t.seed, whole[:])
	return id
}

// Same reports whether both are of one packet.
func (id *FragmentID) Same(o *FragmentID) bool {
	return id.hash == o.hash && id.key == o.key && (id.from == o.from || id.key[53]&fragmentAnyEndpoint != 0)
}
