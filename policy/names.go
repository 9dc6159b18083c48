package policy

import (
	"sttwall/describe"
	"sttwall/inspect"
)

// portProtocols have ports at the start of their header.
var portProtocols = map[string]uint8{"tcp": inspect.ProtocolTCP, "udp": inspect.ProtocolUDP, "sctp": inspect.ProtocolSCTP}

// icmpProtocols have a type and a code there.
var icmpProtocols = map[string]uint8{"icmp": inspect.ProtocolICMP, "icmpv6": inspect.ProtocolICMPv6}

// numberedProtocols have a name elsewhere, but none in the rules language; for
// suggestions (IANA, Assigned Internet Protocol Numbers).
var numberedProtocols = map[string]uint8{
	"igmp": 2, "ipip": 4, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "eigrp": 88, "ospf": 89, "pim": 103, "udplite": 136,
}

// namedServices are services that operators write by name; for suggestions.
var namedServices = map[string]string{
	"dhcpv6": `"dhcp", which is both`, "mdns": `"udp/5353"`,
	"ntp": `"udp/123"`, "ssh": `"tcp/22"`, "http": `"tcp/80"`, "https": `"tcp/443"`, "bgp": `"tcp/179"`,
	"ping": `"icmp/echo-request", "icmpv6/echo-request"`, "ipv4": `"any" and source = ["0.0.0.0/0"]`, "ipv6": `"any" and source = ["::/0"]`,
}

// icmpTypes and icmpCodes are the names of ICMP types, and of the codes of
// destination-unreachable.
var (
	icmpTypes = map[uint8]map[string]uint8{
		inspect.ProtocolICMP:   describe.ICMPTypes(inspect.ProtocolICMP),
		inspect.ProtocolICMPv6: describe.ICMPTypes(inspect.ProtocolICMPv6),
	}
	icmpCodes = map[uint8]map[string]uint8{
		inspect.ProtocolICMP:   describe.UnreachableCodes(inspect.ProtocolICMP),
		inspect.ProtocolICMPv6: describe.UnreachableCodes(inspect.ProtocolICMPv6),
	}
)

const (
	ndFirst = 133
	ndLast  = 137
)
