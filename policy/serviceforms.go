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
//	any   arp   nd   PROTOCOL   PROTOCOL/PORT   PROTOCOL/PORT-PORT
//	icmp/TYPE   icmp/TYPE/CODE   protocol/NUMBER   ethertype/0xHEX
func parseService(s string) (out service, problem string) {
	out.code = -1
	head, rest, hasRest := strings.Cut(s, "/")
	if n, ok := portProtocols[head]; ok {
		out.kind, out.protocol = serviceProtocol, n
		if hasRest {
			var r portRange
			r, problem = parsePorts(rest)
			out.kind, out.destination = servicePorts, []portRange{r}
		}
		return out, problem
	}
	if n, ok := icmpProtocols[head]; ok {
		out.kind, out.protocol = serviceProtocol, n
		if hasRest {
			problem = parseICMPService(rest, &out)
		}
		return out, problem
	}
	switch head {
	case "any", "arp", "nd":
		if hasRest {
			return out, fmt.Sprintf("Expected %q alone, without what follows it in %q.", head, clip(s))
		}
		switch head {
		case "any":
			out.kind = serviceAny
		case "arp":
			out.kind = serviceARP
		case "nd":
			out.kind, out.protocol, out.typeLo, out.typeHi = serviceICMP, inspect.ProtocolICMPv6, ndFirst, ndLast
		}
		return out, ""
	case "protocol":
		n, ok := parseDecimal(rest, 255)
		if !ok {
			return out, fmt.Sprintf("Expected a number from 0 to 255 behind \"protocol/\", such as \"protocol/89\"; this is %q.", clip(s))
		}
		out.kind, out.protocol = serviceProtocol, uint8(n)
		return out, ""
	case "ethertype":
		out.kind = serviceEtherType
		out.etherType, problem = parseEtherType(rest)
		return out, problem
	}
	return out, badService(s, head, rest)
}

// parseEtherType reads an ethertype of four hexadecimal digits.
func parseEtherType(s string) (uint16, string) {
	digits, ok := strings.CutPrefix(s, "0x")
	n, err := strconv.ParseUint(digits, 16, 16)
	switch {
	case !ok || err != nil:
		return 0, fmt.Sprintf("Expected a hexadecimal number behind \"ethertype/\", such as \"ethertype/0x88cc\"; this is %q.", clip(s))
	case n < 0x0600: // IEEE 802.3 clause 3.2.6
		return 0, fmt.Sprintf("Expected an ethertype from 0x0600; 0x%04x is an 802.3 length.", n)
	}
	if why, refused := refusedEtherTypes[uint16(n)]; refused {
		return 0, fmt.Sprintf("Expected an ethertype of neither IP, ARP nor VLAN tags: %s.", why)
	}
	return uint16(n), ""
}

// parseICMPService reads TYPE or TYPE/CODE.
func parseICMPService(s string, out *service) (problem string) {
	icmpType, code, hasCode := strings.Cut(s, "/")
	out.kind = serviceICMP
	if out.typeLo, problem = parseICMP(icmpType, icmpTypes[out.protocol]); problem != "" {
		return problem
	}
	out.typeHi = out.typeLo
	if hasCode {
		n, problem := parseICMP(code, codesOf(out.protocol, out.typeLo))
		if problem != "" {
			return problem
		}
		out.code = int16(n)
	}
	return ""
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
	if name, ok := strings.CutPrefix(s, "service."); ok && validName(name) {
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
	return problem + didYouMean(head, []string{"any", "arp", "nd", "tcp", "udp", "sctp", "icmp", "icmpv6", "protocol", "ethertype"})
}
