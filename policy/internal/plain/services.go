package plain

// carries is the condition of `services`, and what holds where it is left out.
//
// > What a rule leaves out is no condition, but a rule that names neither
// > `services` nor `ethertype` nor `arp_operation` is about IP packets only.
func (r *Rule) carries(k *Packet) bool {
	if r.Services == nil {
		return r.EtherType != nil || r.ARPOperation != nil || k.IP != 0
	}
	return inServices(r.Services, k)
}

func inServices(list []Service, k *Packet) bool {
	for _, s := range list {
		if s.matches(k) {
			return true
		}
	}
	return false
}

func (s *Service) matches(k *Packet) bool {
	switch s.Word {
	case "any":
		// > "any" means any IP packet.
		return k.IP != 0
	case "arp":
		// > | `"arp"` | ARP (ethertype 0x0806) |
		return k.EtherType == 0x0806
	case "nd":
		// > | `"nd"` | IPv6 neighbour discovery: ICMPv6 types 133 to 137 |
		return isProtocol(k, 58) && k.HasICMP && 133 <= k.Type && k.Type <= 137
	case "dhcp":
		// > UDP 68 to 67, 67 to 68, 67 to 67; 546 to 547, 547 to 546, 547 to 547
		for _, p := range [][2]uint16{{68, 67}, {67, 68}, {67, 67}, {546, 547}, {547, 546}, {547, 547}} {
			if isProtocol(k, 17) && k.HasPorts && k.SrcPort == p[0] && k.DstPort == p[1] {
				return true
			}
		}
		return false
	case "bfd":
		// > UDP to port 3784; protocol 112; UDP and TCP to port 53
		return isProtocol(k, 17) && k.HasPorts && k.DstPort == 3784
	case "vrrp":
		return isProtocol(k, 112)
	case "dns":
		return (isProtocol(k, 17) || isProtocol(k, 6)) && k.HasPorts && k.DstPort == 53
	case "tcp", "udp", "sctp":
		// > | `"tcp/443"`, `"udp/5000-5100"`, `"sctp/2905"` | a destination port or a range of them |
		// > the protocol, whatever the ports or types
		return isProtocol(k, protocolNumbers[s.Word]) &&
			(s.Ports == nil || k.HasPorts && s.Ports.Lo <= k.DstPort && k.DstPort <= s.Ports.Hi)
	case "icmp", "icmpv6":
		// > an ICMP type, by name or number
		// > a type and a code
		return isProtocol(k, protocolNumbers[s.Word]) && isICMP(s.Type, s.Code, k)
	case "protocol":
		// > | `"protocol/89"` | an IP protocol by number |
		return isProtocol(k, uint8(s.Number))
	case "ethertype":
		// > frames of that ethertype, behind VLAN tags and SNAP.
		return k.EtherType == s.Number
	case "service":
		// > | `service.NAME` | what the service block says; no quotes |
		return s.Named.matches(k)
	}
	panic("no service is called " + s.Word)
}

var protocolNumbers = map[string]uint8{"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58}

// > For IPv6 the protocol is what follows the extension headers.
// > A protocol is its number, in IPv4 as in IPv6 packets.
func isProtocol(k *Packet, n uint8) bool { return k.IP != 0 && k.Protocol == n }

func isICMP(kind, code int, k *Packet) bool {
	if kind < 0 {
		return true
	}
	return k.HasICMP && int(k.Type) == kind && (code < 0 || int(k.Code) == code)
}

func (s *NamedService) matches(k *Packet) bool {
	// > A group of services, instead of the other attributes.
	if s.Services != nil {
		return inServices(s.Services, k)
	}
	if k.IP == 0 || s.Protocol >= 0 && int(k.Protocol) != s.Protocol {
		return false
	}
	// > Destination ports; for tcp, udp and sctp.
	if s.Ports != nil && !(k.HasPorts && inPorts(s.Ports, k.DstPort)) {
		return false
	}
	// > Source ports.
	if s.SourcePorts != nil && !(k.HasPorts && inPorts(s.SourcePorts, k.SrcPort)) {
		return false
	}
	if !isICMP(s.Type, s.Code, k) {
		return false
	}
	// > Flags that must be set, or with "!" must not be; for tcp.
	return s.Flags == nil || hasFlags(s.Flags, k)
}

func inPorts(list []PortRange, port uint16) bool {
	for _, r := range list {
		if r.Lo <= port && port <= r.Hi {
			return true
		}
	}
	return false
}
