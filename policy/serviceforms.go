package policy

import (
	"fmt"
	"strconv"
	"strings"

	"sttwall/inspect"
)

// parseService reads one entry of a services list, or says what is wrong and
// what was expected:
//
//	any   arp   nd   dhcp   bfd   vrrp   dns   PROTOCOL   PROTOCOL/PORT   PROTOCOL/PORT-PORT
//	icmp/TYPE   icmp/TYPE/CODE   protocol/NUMBER   ethertype/0xHEX
func parseService(s string) (out []service, problem string) {
	head, rest, hasRest := strings.Cut(s, "/")
	if n, ok := portProtocols[head]; ok {
		if !hasRest {
			return []service{ofProtocol(n)}, ""
		}
		r, problem := parsePorts(rest)
		return ofProtocol(n).withPorts(nil, []portRange{r}), problem
	}
	if n, ok := icmpProtocols[head]; ok {
		if !hasRest {
			return []service{ofProtocol(n)}, ""
		}
		s, problem := parseICMPService(rest, n)
		return []service{s}, problem
	}
	if builtin, ok := builtinServices[head]; ok {
		if hasRest {
			return nil, fmt.Sprintf("Expected %q alone, without what follows it in %q.", head, clip(s))
		}
		return builtin(), ""
	}
	switch head {
	case "protocol":
		n, ok := parseDecimal(rest, 255)
		if !ok {
			return nil, fmt.Sprintf("Expected a number from 0 to 255 behind \"protocol/\", such as \"protocol/89\"; this is %q.", clip(s))
		}
		return []service{ofProtocol(uint8(n))}, ""
	case "ethertype":
		n, problem := parseEtherType(rest)
		return []service{ofEtherType(n)}, problem
	}
	return nil, badService(s, head, rest)
}

// builtinServices have a name because overlays need them to live.
var builtinServices = map[string]func() []service{
	"any": func() []service { return []service{anyPacket()} },
	"arp": func() []service { return []service{ofEtherType(inspect.EtherTypeARP)} },
	"nd":  func() []service { return []service{ofICMP(inspect.ProtocolICMPv6, ndFirst, ndLast, -1)} },
	// RFC 2131 section 4.1 and RFC 8415 section 7.2, relays included.
	"dhcp": func() []service {
		return []service{
			udp(68, 67), udp(67, 68), udp(67, 67),
			udp(546, 547), udp(547, 546), udp(547, 547),
		}
	},
	"bfd":  func() []service { return []service{udpTo(3784)} },     // RFC 5881 section 4
	"vrrp": func() []service { return []service{ofProtocol(112)} }, // RFC 9568 section 5.1.1.4
	"dns": func() []service {
		return []service{udpTo(53), ofProtocol(inspect.ProtocolTCP).withPorts(nil, []portRange{{53, 53}})[0]}
	},
}

func udp(source, destination uint16) service {
	return ofProtocol(inspect.ProtocolUDP).withPorts([]portRange{{source, source}}, []portRange{{destination, destination}})[0]
}

func udpTo(port uint16) service {
	return ofProtocol(inspect.ProtocolUDP).withPorts(nil, []portRange{{port, port}})[0]
}

// parseEtherType reads an ethertype of four hexadecimal digits.
func parseEtherType(s string) (uint16, string) {
	digits, ok := strings.CutPrefix(s, "0x")
	n, err := strconv.ParseUint(digits, 16, 16)
	switch {
	case !ok || err != nil:
		return 0, fmt.Sprintf("Expected a hexadecimal number behind \"ethertype/\", such as \"ethertype/0x88cc\"; this is %q.", clip(s))
	case n < leastEtherType:
		return 0, fmt.Sprintf("Expected an ethertype from 0x0600; 0x%04x is an 802.3 length.", n)
	}
	if why, refused := refusedEtherTypes[uint16(n)]; refused {
		return 0, fmt.Sprintf("Expected an ethertype of neither IP, ARP nor VLAN tags: %s.", why)
	}
	return uint16(n), ""
}

// parseICMPService reads TYPE or TYPE/CODE.
func parseICMPService(s string, protocol uint8) (out service, problem string) {
	icmpType, code, hasCode := strings.Cut(s, "/")
	n, problem := parseICMP(icmpType, icmpTypes[protocol])
	if problem != "" || !hasCode {
		return ofICMP(protocol, n, n, -1), problem
	}
	c, problem := parseICMP(code, codesOf(protocol, n))
	return ofICMP(protocol, n, n, int(c)), problem
}

// parseICMP reads a type or code, a number or one of names.
func parseICMP(s string, table map[string]uint8) (uint8, string) {
	if n, ok := table[s]; ok {
		return n, ""
	}
	if n, ok := parseDecimal(s, 255); ok {
		return uint8(n), ""
	}
	if len(table) == 0 {
		return 0, fmt.Sprintf("Expected a code from 0 to 255; this is %q, and codes of this type have no names.", clip(s))
	}
	hint := didYouMean(s, names(table))
	if hint == "" {
		hint = " The names here are " + strings.Join(names(table), ", ") + "."
	}
	return 0, fmt.Sprintf("Expected a number from 0 to 255 or a name; this is %q.%s", clip(s), hint)
}

// parsePorts reads "443" or "8443-8450". Port 0 is a port like others: packets
// can have it, so a rule can name it.
func parsePorts(s string) (portRange, string) {
	first, last, isRange := strings.Cut(s, "-")
	lo, ok := parseDecimal(first, 65535)
	hi := lo
	if isRange && ok {
		hi, ok = parseDecimal(last, 65535)
	}
	switch {
	case !ok:
		problem := fmt.Sprintf("Expected a port from 0 to 65535, or a range such as \"8443-8450\"; this is %q.", clip(s))
		switch {
		case strings.ContainsAny(s, " \t"):
			problem += " Write it without spaces."
		case strings.ContainsAny(s, ",:"):
			problem += " Several ports are several entries of the list; a range has \"-\"."
		}
		return portRange{}, problem
	case lo > hi:
		return portRange{}, fmt.Sprintf("Expected the smaller port first: \"%d-%d\".", hi, lo)
	}
	return portRange{uint16(lo), uint16(hi)}, ""
}

// badService says what was probably meant by an entry that is none.
func badService(s, head, rest string) string {
	problem := fmt.Sprintf("Expected a service as in %s; this is %q.", serviceExample, clip(s))
	if strings.HasPrefix(s, "!") {
		return problem + ` Only addresses can be negated; put a rule with action = "drop" before this one.`
	}
	if name, ok := strings.CutPrefix(s, "service."); ok && ValidName(name) {
		return problem + fmt.Sprintf(" References are written without quotes: service.%s.", name)
	}
	if _, ok := parseDecimal(head, 65535); ok {
		if _, known := portProtocols[rest]; known {
			return problem + fmt.Sprintf(" Did you mean \"%s/%s\"?", rest, head)
		}
		return problem + fmt.Sprintf(" Did you mean \"tcp/%s\" or \"udp/%s\"?", head, head)
	}
	lower := strings.ToLower(head)
	if n, ok := numberedProtocols[lower]; ok {
		return problem + fmt.Sprintf(" Write \"protocol/%d\" for %q.", n, clip(head))
	}
	if write, ok := namedServices[lower]; ok {
		return problem + fmt.Sprintf(" This version has no %q; write %s.", clip(head), write)
	}
	return problem + didYouMean(head, []string{"any", "arp", "nd", "dhcp", "bfd", "vrrp", "dns", "tcp", "udp", "sctp", "icmp", "icmpv6", "protocol", "ethertype"})
}
