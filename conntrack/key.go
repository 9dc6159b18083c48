package conntrack

import (
	"encoding/binary"
	"net/netip"

	"sttwall/inspect"
)

// Key names a flow as one of its packets shows it.
type Key struct {
	Tenant   int32  // the caller's number for the tenant
	Context  uint64 // context ID; 0 where the two directions have different ones
	VLAN     uint32 // see [VLANOf]
	Src, Dst netip.Addr
	Protocol uint8
	// SrcPort and DstPort are 0 for protocols without ports. ICMP queries have
	// their identifier in SrcPort and the type of the request in DstPort.
	SrcPort, DstPort uint16
	// Reply: an ICMP query's answer, so that Dst has asked. Two hosts that ask each
	// other have two flows, even with one identifier: some stacks know no other.
	Reply bool
}

// ICMP and ICMPv6 queries: the type of the request for each type that belongs
// to one, and whether it is the reply. RFC 792, RFC 950, RFC 4443.
func icmpQuery(protocol, kind uint8) (request uint8, reply, ok bool) {
	if protocol == inspect.ProtocolICMPv6 {
		switch kind {
		case 128:
			return 128, false, true
		case 129:
			return 128, true, true
		}
		return 0, false, false
	}
	switch kind {
	case 8, 13, 15, 17:
		return kind, false, true
	case 0:
		return 8, true, true
	case 14, 16, 18:
		return kind - 1, true, true
	}
	return 0, false, false
}

// VLANOf packs the VLAN IDs of a frame's tags into a number. Priorities do not
// make another network: nor does a tag with ID 0, which has nothing else (IEEE
// 802.1Q section 6.9), and which the answer need not have.
func VLANOf(f *inspect.Frame) uint32 {
	count, v := uint32(0), uint32(0)
	for i := range min(int(f.TagCount), inspect.MaxTags) {
		if id := uint32(f.Tags[i] & 0xfff); id != 0 {
			count, v = count+1, v<<12|id
		}
	}
	return count<<24 | v
}

// VLANs returns the VLAN IDs of the flow's tags, the outermost first; nil if there
// are none.
func (k *Key) VLANs() []uint16 {
	switch tags := k.VLAN; tags >> 24 {
	case 0:
		return nil
	case 1:
		return []uint16{uint16(tags & 0xfff)}
	default:
		return []uint16{uint16(tags >> 12 & 0xfff), uint16(tags & 0xfff)}
	}
}

// nameLen and packedLen are the sizes of a [name] and a [packed] in bytes.
const nameLen, packedLen = 46, 54

// name is a key but for its context ID, the lower address and port first, so that
// both directions have the same.
type name [nameLen]byte

// packed is a key in the form that is hashed: its name, then the context ID.
type packed [packedLen]byte

// Bits of the last byte of a name.
const (
	nameIPv4    = 4  // an IPv4-mapped IPv6 address is another one
	nameContext = 8  // the context ID is part of the key: it is not 0
	nameAsked   = 16 // an ICMP query by the second address
)

func (p *packed) name() *name { return (*name)(p[:nameLen]) }

func (p *packed) context() uint64 { return binary.BigEndian.Uint64(p[nameLen:]) }

// pack returns the packed key and whether the packet goes from the second
// address in it to the first.
func (k *Key) pack() (p packed, reversed bool) {
	reversed = k.Dst.Less(k.Src) || k.Dst == k.Src && k.DstPort < k.SrcPort && !k.isICMP()
	a, b, ap, bp := k.Src, k.Dst, k.SrcPort, k.DstPort
	if reversed {
		a, b = b, a
		if !k.isICMP() {
			ap, bp = bp, ap
		}
	}
	a16, b16 := a.As16(), b.As16()
	copy(p[0:], a16[:])
	copy(p[16:], b16[:])
	binary.BigEndian.PutUint16(p[32:], ap)
	binary.BigEndian.PutUint16(p[34:], bp)
	binary.BigEndian.PutUint32(p[36:], uint32(k.Tenant))
	binary.BigEndian.PutUint32(p[40:], k.VLAN)
	p[44] = k.Protocol
	if k.Src.Is4() {
		p[45] = nameIPv4
	}
	if k.isICMP() && k.Src != k.Dst && reversed != k.Reply {
		p[45] |= nameAsked
	}
	if k.Context != 0 {
		p[45] |= nameContext
	}
	binary.BigEndian.PutUint64(p[nameLen:], k.Context)
	return p, reversed
}

func (k *Key) isICMP() bool {
	return k.Protocol == inspect.ProtocolICMP || k.Protocol == inspect.ProtocolICMPv6
}

// unpack is the inverse of pack, for a key whose context ID is context if it has
// any.
func (p *name) unpack(reversed bool, context uint64) Key {
	k := Key{
		Tenant:   int32(binary.BigEndian.Uint32(p[36:])),
		VLAN:     binary.BigEndian.Uint32(p[40:]),
		Protocol: p[44],
		SrcPort:  binary.BigEndian.Uint16(p[32:]),
		DstPort:  binary.BigEndian.Uint16(p[34:]),
	}
	k.Src, k.Dst = netip.AddrFrom16([16]byte(p[0:16])), netip.AddrFrom16([16]byte(p[16:32]))
	if p[45]&nameContext != 0 {
		k.Context = context
	}
	if p[45]&nameIPv4 != 0 {
		k.Src, k.Dst = k.Src.Unmap(), k.Dst.Unmap()
	}
	if reversed {
		k.Src, k.Dst = k.Dst, k.Src
		if !k.isICMP() {
			k.SrcPort, k.DstPort = k.DstPort, k.SrcPort
		}
	}
	return k
}
