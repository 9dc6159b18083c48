package policy

import "sttwall/inspect"

// portProtocols have ports at the start of their header.
var portProtocols = map[string]uint8{"tcp": inspect.ProtocolTCP, "udp": inspect.ProtocolUDP, "sctp": inspect.ProtocolSCTP}

// icmpProtocols have a type and a code there.
var icmpProtocols = map[string]uint8{"icmp": inspect.ProtocolICMP, "icmpv6": inspect.ProtocolICMPv6}

// numberedProtocols have a name elsewhere, but none in the rules language; for
// suggestions (IANA, Assigned Internet Protocol Numbers).
var numberedProtocols = map[string]uint8{
	"igmp": 2, "ipip": 4, "dccp": 33, "gre": 47, "esp": 50, "ah": 51, "eigrp": 88, "ospf": 89, "pim": 103, "vrrp": 112, "udplite": 136,
}

// namedServices are services that operators write by name; for suggestions.
var namedServices = map[string]string{
	"dhcp": `"udp/67", "udp/68"`, "dhcpv6": `"udp/546", "udp/547"`, "bfd": `"udp/3784"`, "dns": `"udp/53", "tcp/53"`,
	"ntp": `"udp/123"`, "ssh": `"tcp/22"`, "http": `"tcp/80"`, "https": `"tcp/443"`, "bgp": `"tcp/179"`,
	"ping": `"icmp/echo-request", "icmpv6/echo-request"`, "ipv4": `"any" and source = ["0.0.0.0/0"]`, "ipv6": `"any" and source = ["::/0"]`,
}

// icmpTypes are the names that nft has for them (IANA, ICMP Parameters).
var icmpTypes = map[uint8]map[string]uint8{
	inspect.ProtocolICMP: {
		"echo-reply":              0,
		"destination-unreachable": 3,
		"source-quench":           4,
		"redirect":                5,
		"echo-request":            8,
		"router-advertisement":    9,
		"router-solicitation":     10,
		"time-exceeded":           11,
		"parameter-problem":       12,
		"timestamp-request":       13,
		"timestamp-reply":         14,
		"info-request":            15,
		"info-reply":              16,
		"address-mask-request":    17,
		"address-mask-reply":      18,
	},
	inspect.ProtocolICMPv6: {
		"destination-unreachable": 1,
		"packet-too-big":          2,
		"time-exceeded":           3,
		"parameter-problem":       4,
		"echo-request":            128,
		"echo-reply":              129,
		"mld-listener-query":      130,
		"mld-listener-report":     131,
		"mld-listener-done":       132,
		"nd-router-solicit":       133,
		"nd-router-advert":        134,
		"nd-neighbor-solicit":     135,
		"nd-neighbor-advert":      136,
		"nd-redirect":             137,
		"router-renumbering":      138,
		"mld2-listener-report":    143,
	},
}

// icmpCodes are the codes of destination-unreachable, as nft names them.
var icmpCodes = map[uint8]map[string]uint8{
	inspect.ProtocolICMP: {
		"net-unreachable":  0,
		"host-unreachable": 1,
		"prot-unreachable": 2,
		"port-unreachable": 3,
		"frag-needed":      4,
		"net-prohibited":   9,
		"host-prohibited":  10,
		"admin-prohibited": 13,
	},
	inspect.ProtocolICMPv6: {
		"no-route":         0,
		"admin-prohibited": 1,
		"addr-unreachable": 3,
		"port-unreachable": 4,
		"policy-fail":      5,
		"reject-route":     6,
	},
}

// Neighbour discovery is ICMPv6 types 133 to 137 (RFC 4861 section 4).
const (
	ndFirst = 133
	ndLast  = 137
)
