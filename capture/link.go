package capture

import "encoding/binary"

const (
	etherTypeIPv4 = 0x0800
	etherTypeIPv6 = 0x86dd
	// Tag protocol identifiers: IEEE 802.1Q, 802.1ad, and the number that
	// stacked tags had before 802.1ad.
	etherTypeVLAN    = 0x8100
	etherTypeQinQ    = 0x88a8
	etherTypeOldQinQ = 0x9100
)

// walk reads the link header of p.Data and fills HeaderLen, Tags and IP.
func (p *Packet) walk() {
	p.HeaderLen, p.Tags, p.IP = 0, nil, false
	switch p.Link {
	case LinkEthernet:
		p.walkTags(12, 14)
	case LinkLinuxSLL:
		p.walkTags(14, 16)
	case LinkLinuxSLL2:
		p.walkTags(0, 20)
	case LinkRawBSD, LinkRawOpenBSD, LinkRaw:
		p.IP = len(p.Data) > 0 && (p.Data[0]>>4 == 4 || p.Data[0]>>4 == 6)
	case LinkIPv4, LinkIPv6:
		p.IP = len(p.Data) > 0
	case LinkNull, LinkLoop:
		p.walkFamily()
	}
}

// walkTags walks over VLAN tags. typeAt is where the EtherType stands, next is
// where the header without tags ends; each tag adds a TCI and the EtherType
// behind it there.
func (p *Packet) walkTags(typeAt, next int) {
	for n := 0; len(p.Data) >= next; n++ {
		switch binary.BigEndian.Uint16(p.Data[typeAt:]) {
		case etherTypeIPv4, etherTypeIPv6:
			p.HeaderLen, p.IP = next, true
			return
		case etherTypeVLAN, etherTypeQinQ, etherTypeOldQinQ:
			if n == MaxTags || len(p.Data) < next+4 {
				return
			}
			p.tags[n] = binary.BigEndian.Uint16(p.Data[next:])
			p.Tags = p.tags[:n+1]
			typeAt, next = next+2, next+4
		default:
			return
		}
	}
}

// walkFamily reads the four bytes of a loopback header. AF_INET is 2
// everywhere, AF_INET6 differs from system to system.
func (p *Packet) walkFamily() {
	if len(p.Data) < 4 {
		return
	}
	family := binary.BigEndian.Uint32(p.Data)
	if p.Link == LinkNull && family > 0xffff {
		// Written by a little-endian machine.
		family = binary.LittleEndian.Uint32(p.Data)
	}
	switch family {
	case 2, // AF_INET
		10, // Linux
		24, // NetBSD, OpenBSD
		28, // FreeBSD
		30: // Darwin
		p.HeaderLen, p.IP = 4, true
	}
}
