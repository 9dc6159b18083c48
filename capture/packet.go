package capture

import "fmt"

// LinkType says which header stands in front of the network packet: a
// LINKTYPE_ number of the registry at www.tcpdump.org/linktypes.html.
type LinkType uint16

// The link types whose packets are taken apart. Packets of all others are
// handed out too, with [Packet.IP] false.
const (
	// LinkNull is BSD loopback: the address family in the byte order of
	// the machine that captured.
	LinkNull LinkType = 0
	// LinkEthernet is Ethernet, VLAN tags included.
	LinkEthernet LinkType = 1
	// LinkRawBSD and LinkRawOpenBSD are LinkRaw as some systems number it.
	LinkRawBSD     LinkType = 12
	LinkRawOpenBSD LinkType = 14
	// LinkRaw is IPv4 or IPv6 without a link header.
	LinkRaw LinkType = 101
	// LinkLoop is OpenBSD loopback: LinkNull in network byte order.
	LinkLoop LinkType = 108
	// LinkLinuxSLL and LinkLinuxSLL2 are what Linux gives for "any" interface.
	LinkLinuxSLL  LinkType = 113
	LinkLinuxSLL2 LinkType = 276
	// LinkIPv4 and LinkIPv6 are raw packets of one family.
	LinkIPv4 LinkType = 228
	LinkIPv6 LinkType = 229
)

// String returns the name from the registry, without its prefix.
func (l LinkType) String() string {
	switch l {
	case LinkNull:
		return "NULL"
	case LinkEthernet:
		return "ETHERNET"
	case LinkRawBSD, LinkRawOpenBSD, LinkRaw:
		return "RAW"
	case LinkLoop:
		return "LOOP"
	case LinkLinuxSLL:
		return "LINUX_SLL"
	case LinkLinuxSLL2:
		return "LINUX_SLL2"
	case LinkIPv4:
		return "IPV4"
	case LinkIPv6:
		return "IPV6"
	}
	return fmt.Sprintf("link type %d", uint16(l))
}

// MaxPacketLen is the most bytes that one packet of a capture may hold: what
// libpcap and Wireshark take (MAXIMUM_SNAPLEN). A packet that claims more is
// damage.
const MaxPacketLen = 262144

// MaxTags is how many VLAN tags of a link header are walked over. A packet
// with more is not taken for IP.
const MaxTags = 4

// Packet is one packet of a capture. [Reader.Next] resets all of it; its
// slices are valid until the next call of Next.
type Packet struct {
	// Number is the packet's place in its file, from 1.
	Number int
	// Time is when it was captured, in nanoseconds since 1970 UTC. 0 where
	// the file does not tell (pcapng simple packets).
	Time int64
	// Link is the link type.
	Link LinkType
	// Data is all that was captured, link header included.
	Data []byte
	// WireLen is how long the packet was on the wire in bytes, link header
	// included; more than len(Data) if the capture cut it short.
	WireLen int
	// HeaderLen is the length of the link header in bytes, VLAN tags
	// included. Valid iff IP.
	HeaderLen int
	// Tags are the TCIs of the link header's VLAN tags (802.1Q and
	// 802.1ad), outermost first. Empty if there are none.
	Tags []uint16
	// IP reports whether the link header says that IPv4 or IPv6 follows.
	IP bool
	// Comment is the packet's first comment in a pcapng file; nil if none.
	Comment []byte

	tags [MaxTags]uint16
}

// Header returns the link header, VLAN tags included; nil if the packet is not IP.
func (p *Packet) Header() []byte {
	if !p.IP {
		return nil
	}
	return p.Data[:p.HeaderLen:p.HeaderLen]
}

// IPPacket returns the packet from its IP header on, as far as it was
// captured, with whatever padding the link put behind it; nil if it is not IP.
func (p *Packet) IPPacket() []byte {
	if !p.IP {
		return nil
	}
	return p.Data[p.HeaderLen:]
}

// IPLength returns how many bytes there were on the wire behind the link
// header, padding included; 0 if the packet is not IP.
func (p *Packet) IPLength() int {
	if !p.IP {
		return 0
	}
	return p.WireLen - p.HeaderLen
}

// Cut reports whether the capture holds only the packet's first bytes.
func (p *Packet) Cut() bool { return len(p.Data) < p.WireLen }
