package conntrack

import (
	"encoding/binary"
	"math/bits"
	"unsafe"

	"sttwall/inspect"
	"sttwall/internal/prefetch"
)

// Plain is a packet of the kind that most are: TCP or UDP, not in fragments, to one
// host. Whoever has read it so far fills in the fields and calls [Table.ReadPlain];
// what [Table.TrackPlain] says then is what [Table.Track] says of the packet. It is
// reusable.
type Plain struct {
	// As in [Packet].
	Tenant      int32
	VLAN        uint32 // see [VLANOf]
	OVN         bool
	Loose       bool
	AnyEndpoint bool
	Trusted     bool
	Context     uint64
	Bytes       int
	// From is the outer source; IPv4 addresses are mapped.
	From [16]byte

	// Of TCP: TCPFlags are as in [inspect.Frame], HeaderLen is the length of the
	// header with its options, and Payload how many bytes are behind it.
	TCPFlags           uint16
	HeaderLen, Payload int

	terms terms
	hash  uint64
}

const ipv4HeaderLen = 20

// ReadPlain reads the inner IP header, 20 bytes of IPv4 or 40 of IPv6, and the whole TCP
// or UDP header that l4 begins with. Both are borrowed until it returns.
// IPv4-mapped IPv6 addresses are not plain.
func (t *Table) ReadPlain(p *Plain, ip, l4 []byte) {
	l := &p.terms
	k := &l.packed
	l.expected = 0
	var protocol, flags byte
	ports := binary.BigEndian.Uint32(l4)
	var less, same bool // the destination than the source
	if len(ip) == ipv4HeaderLen {
		src, dst := binary.BigEndian.Uint32(ip[12:]), binary.BigEndian.Uint32(ip[16:])
		less, same = dst < src, dst == src
		protocol, flags = ip[9], nameIPv4
	} else {
		ip = ip[:40]
		src, dst := binary.BigEndian.Uint64(ip[8:]), binary.BigEndian.Uint64(ip[24:])
		less, same = dst < src, dst == src
		if same {
			src, dst = binary.BigEndian.Uint64(ip[16:]), binary.BigEndian.Uint64(ip[32:])
			less, same = dst < src, dst == src
		}
		protocol = ip[6]
	}
	swapped := bits.RotateLeft32(ports, 16)
	l.self = same && swapped == ports
	l.reversed = less || same && uint16(ports) < uint16(ports>>16)
	if l.reversed {
		ports = swapped
	}
	context := p.Context
	if p.OVN {
		context = 0
	}
	if context != 0 {
		flags |= nameContext
	}
	be := binary.BigEndian
	named := uint64(ports)<<32 | uint64(uint32(p.Tenant))
	kind := uint64(p.VLAN)<<16 | uint64(protocol)<<8 | uint64(flags)
	if len(ip) == ipv4HeaderLen {
		a, b := be.Uint32(ip[12:]), be.Uint32(ip[16:])
		if l.reversed {
			a, b = b, a
		}
		const mapped = 0xffff << 32
		be.PutUint64(k[0:], 0)
		be.PutUint64(k[8:], mapped|uint64(a))
		be.PutUint64(k[16:], 0)
		be.PutUint64(k[24:], mapped|uint64(b))
		p.hash = t.secret.ipv4(uint64(a)<<32|uint64(b), named, kind, context)
	} else {
		a := [2]uint64{be.Uint64(ip[8:]), be.Uint64(ip[16:])}
		b := [2]uint64{be.Uint64(ip[24:]), be.Uint64(ip[32:])}
		if l.reversed {
			a, b = b, a
		}
		be.PutUint64(k[0:], a[0])
		be.PutUint64(k[8:], a[1])
		be.PutUint64(k[16:], b[0])
		be.PutUint64(k[24:], b[1])
		p.hash = t.secret.ipv6(a, b, named, kind, context)
	}
	be.PutUint64(k[32:], named)
	be.PutUint32(k[40:], p.VLAN)
	be.PutUint16(k[44:], uint16(kind))
	be.PutUint64(k[nameLen:], context)

	l.from, l.context, l.bytes = p.From, p.Context, p.Bytes
	l.ovn, l.trusted, l.anyEndpoint = p.OVN, p.Trusted, p.AnyEndpoint
	l.startable, l.tcp = true, protocol == inspect.ProtocolTCP
	if l.tcp {
		l.segment.read(l4[:p.HeaderLen], p.TCPFlags, p.Payload)
		l.startable = l.segment.begins(p.Loose)
	}
}

// Key returns the key of the packet that was read.
func (p *Plain) Key() Key {
	return p.terms.packed.name().unpack(p.terms.reversed, p.terms.packed.context())
}

// TrackPlain says what the packet that was read is to the flows that are known, as
// [Table.Track] does.
func (t *Table) TrackPlain(now int64, generation uint32, p *Plain, out *Result) {
	*out = Result{}
	t.trackFlow(now, generation, &p.terms, p.hash, out)
}

// ExpectSlot and then, when other work was done, ExpectEntry ask for the memory of
// the flow of a packet that was read, and do not wait for it; see [Table.Expect].
func (t *Table) ExpectSlot(p *Plain) {
	s, _ := t.shardOf(p.hash)
	hash, _ := split(p.hash)
	prefetch.Line(unsafe.Pointer(&s.slots[s.home(hash)]))
}

// ExpectEntry: see ExpectSlot. It also remembers the entry, so that TrackPlain looks
// there first: whether that is still the flow, it finds out under the lock. It reports
// whether there most likely is one.
func (t *Table) ExpectEntry(p *Plain) bool {
	s, _ := t.shardOf(p.hash)
	p.terms.expected = s.expect(p.hash)
	return p.terms.expected != 0
}
