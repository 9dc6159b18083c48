package suggest

import (
	"cmp"
	"fmt"

	"sttwall/describe"
	"sttwall/inspect"
)

const (
	protocolVRRP = 112
	portDNS      = 53
	portBFD      = 3784
)

// Match is one entry of a rule's services, as the rules language has them. It
// is comparable.
type Match struct {
	// Builtin is "dns", "dhcp", "bfd", "vrrp", "arp" or "nd"; nothing else is set
	// then.
	Builtin string
	// EtherType of frames that are not IP; nothing else is set then.
	EtherType uint16
	// Protocol is the IP protocol.
	Protocol uint8
	// HasPorts: destination ports First to Last.
	HasPorts    bool
	First, Last uint16
	// HasICMP: messages of ICMPType, whatever their code.
	HasICMP  bool
	ICMPType uint8
}

// ndFirst to ndLast are the ICMPv6 types of neighbour discovery (RFC 4861
// section 4).
const (
	ndFirst = 133
	ndLast  = 137
)

// matchOf returns the narrowest service that a frame shows as the first of its
// flow; false if rules cannot name it by itself: later fragments, and ICMP
// errors, which pass with the flow that they are about.
func matchOf(f *inspect.Frame) (Match, bool) {
	switch {
	case f.IP == 0 && f.EtherType == inspect.EtherTypeARP:
		return Match{Builtin: "arp"}, true
	case f.IP == 0:
		return Match{EtherType: f.EtherType}, true
	case f.Fragmented && f.Fragment.Offset > 0, f.ICMPError():
		return Match{}, false
	case isDHCP(f):
		return Match{Builtin: "dhcp"}, true
	case f.Protocol == protocolVRRP:
		return Match{Builtin: "vrrp"}, true
	case f.HasPorts && f.Protocol == inspect.ProtocolUDP && f.DstPort == portBFD:
		return Match{Builtin: "bfd"}, true
	case f.HasPorts && f.Protocol != inspect.ProtocolSCTP && f.DstPort == portDNS:
		return Match{Builtin: "dns"}, true
	case f.HasPorts:
		return Match{Protocol: f.Protocol, HasPorts: true, First: f.DstPort, Last: f.DstPort}, true
	case f.HasICMP && f.Protocol == inspect.ProtocolICMPv6 && ndFirst <= f.ICMPType && f.ICMPType <= ndLast:
		return Match{Builtin: "nd"}, true
	case f.HasICMP:
		return Match{Protocol: f.Protocol, HasICMP: true, ICMPType: f.ICMPType}, true
	}
	return Match{Protocol: f.Protocol}, true
}

// isDHCP: the port pairs that "dhcp" has (RFC 2131 section 4.1, RFC 8415
// section 7.2, relays included).
func isDHCP(f *inspect.Frame) bool {
	if !f.HasPorts || f.Protocol != inspect.ProtocolUDP {
		return false
	}
	switch [2]uint16{f.SrcPort, f.DstPort} {
	case [2]uint16{68, 67}, [2]uint16{67, 68}, [2]uint16{67, 67},
		[2]uint16{546, 547}, [2]uint16{547, 546}, [2]uint16{547, 547}:
		return true
	}
	return false
}

// anywhere reports whether addresses are no condition: there are none, or they
// are about to change.
func (m Match) anywhere() bool {
	return m.EtherType != 0 || m.Builtin == "arp" || m.Builtin == "nd" || m.Builtin == "dhcp"
}

// String writes the entry as it stands in a services list.
func (m Match) String() string {
	switch {
	case m.Builtin != "":
		return m.Builtin
	case m.EtherType != 0:
		return fmt.Sprintf("ethertype/0x%04x", m.EtherType)
	case m.HasPorts && m.First == m.Last:
		return fmt.Sprintf("%s/%d", protocolName(m.Protocol), m.First)
	case m.HasPorts:
		return fmt.Sprintf("%s/%d-%d", protocolName(m.Protocol), m.First, m.Last)
	case m.HasICMP:
		for name, n := range describe.ICMPTypes(m.Protocol) {
			if n == m.ICMPType {
				return protocolName(m.Protocol) + "/" + name
			}
		}
		return fmt.Sprintf("%s/%d", protocolName(m.Protocol), m.ICMPType)
	}
	return protocolName(m.Protocol)
}

func protocolName(p uint8) string {
	switch p {
	case inspect.ProtocolICMP:
		return "icmp"
	case inspect.ProtocolTCP:
		return "tcp"
	case inspect.ProtocolUDP:
		return "udp"
	case inspect.ProtocolICMPv6:
		return "icmpv6"
	case inspect.ProtocolSCTP:
		return "sctp"
	}
	return fmt.Sprintf("protocol/%d", p)
}

// compareMatches puts services into the order in which they are written.
func compareMatches(a, b Match) int {
	return cmp.Or(cmp.Compare(a.EtherType, b.EtherType), cmp.Compare(a.Builtin, b.Builtin),
		cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.First, b.First), cmp.Compare(a.Last, b.Last),
		cmp.Compare(a.ICMPType, b.ICMPType))
}
