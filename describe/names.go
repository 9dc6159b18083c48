package describe

import (
	"strconv"

	"sttwall/inspect"
)

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
// ICMPTypes returns the names of the types of ICMP or ICMPv6. The map must not
// be changed.
func ICMPTypes(protocol uint8) map[string]uint8 { return icmpTypes[protocol] }

// UnreachableCodes returns the names of the codes of destination unreachable.
// The map must not be changed.
func UnreachableCodes(protocol uint8) map[string]uint8 { return icmpCodes[protocol] }

// ICMPType reads the name or number of a type.
func ICMPType(protocol uint8, s string) (uint8, bool) { return named(icmpTypes[protocol], s) }

// ICMPCode reads the name or number of a code of that type.
func ICMPCode(protocol, icmpType uint8, s string) (uint8, bool) {
	if icmpType == icmpTypes[protocol]["destination-unreachable"] {
		return named(icmpCodes[protocol], s)
	}
	return named(nil, s)
}

func named(names map[string]uint8, s string) (uint8, bool) {
	if n, ok := names[s]; ok {
		return n, true
	}
	n, err := strconv.ParseUint(s, 10, 8)
	return uint8(n), err == nil
}
