package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/inspect"
)

const (
	serviceExample = `["tcp/443", "udp/5000-5100", "icmp/echo-request", "protocol/89", service.NAME]`
	portExample    = `[443, "8443-8450"]`
)

// serviceList compiles the services list of a rule.
func (l *loader) serviceList(a *hclsyntax.Attribute) []service {
	var out []service
	for _, e := range l.list(a, serviceExample, "Leave services out to match any IP packet.") {
		v := l.value(e)
		switch v.kind {
		case kindReference:
			if s := l.serviceReference(&v); s != nil {
				out = append(out, *s)
			}
		case kindString:
			s, problem := parseService(v.text)
			if problem != "" {
				l.errorf(v.at, "Invalid service", "%s", problem)
				continue
			}
			out = append(out, s)
		default:
			hint := ""
			if n, ok := v.uint(65535); ok {
				hint = fmt.Sprintf(" Did you mean \"tcp/%d\" or \"udp/%d\"?", n, n)
			}
			l.errorf(v.at, "Invalid service", "Expected services as in %s; this is %s.%s", serviceExample, v.describe(), hint)
		}
	}
	return out
}

// serviceReference returns the service block that v names, or nil.
func (l *loader) serviceReference(v *value) *service {
	kind, name, ok := v.reference()
	switch root := v.traversal.RootName(); {
	case v.negated:
		l.errorf(v.at, "Negated service", `Expected a service without "!"; only addresses can be negated. Put a rule with action = "drop" before this one.`)
		return nil
	case ok && kind == "address_group":
		l.errorf(v.at, "Addresses among services", "Expected a service, as in %s; address groups belong into source or destination.", serviceExample)
		return nil
	case len(v.traversal) == 1:
		if _, problem := parseService(root); problem == "" {
			l.errorf(v.at, "Missing quotes", "Expected %q, in quotes.", root)
			return nil
		}
	}
	if !ok || kind != "service" {
		hint := ""
		if near := nearest(v.traversal.RootName(), []string{"service"}); ok && near != "" {
			hint = fmt.Sprintf(" Did you mean %s.%s?", near, clip(name))
		}
		l.errorf(v.at, "Invalid reference", "Expected service.NAME, or a service in quotes; this is %s.%s", v.source, hint)
		return nil
	}
	s := l.services[name]
	if s == nil {
		l.errorf(v.at, "Unknown service", "Expected the name of a service block of this file; there is no %q.%s", clip(name), didYouMean(name, names(l.services)))
	}
	return s
}

// service compiles a service block.
func (l *loader) service(b *hclsyntax.Block) *service {
	l.check(b.Body, b.DefRange(), &serviceSchema)
	s := &service{code: -1}
	a := b.Body.Attributes["protocol"]
	if a == nil || !l.protocol(a, s) {
		return s // what the rest means hangs on the protocol
	}
	isPort := s.kind != serviceAny && hasPorts(s.protocol)
	isICMP := s.kind != serviceAny && icmpTypes[s.protocol] != nil
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "ports", "source_ports":
			if !isPort {
				l.errorf(a.NameRange, "No ports", `Expected %s only where the protocol is "tcp", "udp" or "sctp"; other protocols have no ports.`, a.Name)
				continue
			}
			s.kind = servicePorts
			if ports := l.ports(a); a.Name == "ports" {
				s.destination = ports
			} else {
				s.source = ports
			}
		case "icmp_type", "icmp_code":
			if !isICMP {
				l.errorf(a.NameRange, "Not ICMP", `Expected %s only where the protocol is "icmp" or "icmpv6".`, a.Name)
				continue
			}
			if a.Name == "icmp_type" {
				l.icmpType(a, s)
			}
		}
	}
	// The code's names hang on the type, so it comes after it.
	if a := b.Body.Attributes["icmp_code"]; a != nil && isICMP {
		l.icmpCode(a, b.Body.Attributes["icmp_type"] != nil, s)
	}
	return s
}

// protocol compiles a service's protocol: a name, a number, or "any".
func (l *loader) protocol(a *hclsyntax.Attribute, s *service) bool {
	v := l.value(a.Expr)
	s.kind = serviceProtocol
	text := v.text
	if n, ok := v.uint(255); ok {
		s.protocol = uint8(n)
		return true
	}
	if v.kind == kindString {
		if n, ok := protocolByName(text); ok {
			s.protocol = n
			return true
		}
		if text == "any" {
			s.kind = serviceAny
			return true
		}
	}
	hint := ""
	if n, ok := numberedProtocols[strings.ToLower(text)]; ok {
		hint = fmt.Sprintf(" Write %d for %q.", n, text)
	} else if text != "" {
		hint = didYouMean(text, []string{"tcp", "udp", "sctp", "icmp", "icmpv6", "any"})
	}
	l.errorf(v.at, "Invalid protocol", `Expected "tcp", "udp", "sctp", "icmp", "icmpv6", "any", or a number from 0 to 255; this is %s.%s`, v.source, hint)
	return false
}

func protocolByName(name string) (uint8, bool) {
	if n, ok := portProtocols[name]; ok {
		return n, true
	}
	n, ok := icmpProtocols[name]
	return n, ok
}

func hasPorts(protocol uint8) bool {
	for _, n := range portProtocols {
		if n == protocol {
			return true
		}
	}
	return false
}

// ports compiles a list of ports into sorted ranges.
func (l *loader) ports(a *hclsyntax.Attribute) []portRange {
	var out []portRange
	for _, e := range l.list(a, portExample, "Leave "+a.Name+" out to match any port.") {
		v := l.value(e)
		if n, ok := v.uint(65535); ok {
			out = append(out, portRange{uint16(n), uint16(n)})
			continue
		}
		if v.kind == kindString {
			r, problem := parsePorts(v.text)
			if problem != "" {
				l.errorf(v.at, "Invalid port", "%s", problem)
				continue
			}
			out = append(out, r)
			continue
		}
		hint := ""
		if _, isBinary := e.(*hclsyntax.BinaryOpExpr); isBinary {
			hint = " Ranges are written in quotes."
		}
		l.errorf(v.at, "Invalid port", "Expected ports from 0 to 65535 and ranges of them, as in %s; this is %s.%s", portExample, v.source, hint)
	}
	return joinPorts(out)
}

// joinPorts sorts ranges and joins those that overlap or touch.
func joinPorts(ranges []portRange) []portRange {
	slices.SortFunc(ranges, func(a, b portRange) int { return cmp.Compare(a.lo, b.lo) })
	out := ranges[:0]
	for _, r := range ranges {
		if n := len(out); n > 0 && int(r.lo) <= int(out[n-1].hi)+1 {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return slices.Clip(out)
}

func (l *loader) icmpType(a *hclsyntax.Attribute, s *service) {
	v := l.value(a.Expr)
	if n, ok := v.uint(255); ok {
		s.kind, s.typeLo, s.typeHi = serviceICMP, uint8(n), uint8(n)
		return
	}
	if v.kind != kindString {
		l.errorf(v.at, "Invalid ICMP type", `Expected a number from 0 to 255 or a name such as "echo-request"; this is %s.`, v.source)
		return
	}
	n, problem := parseICMP(v.text, icmpTypes[s.protocol])
	if problem != "" {
		l.errorf(v.at, "Invalid ICMP type", "%s", problem)
		return
	}
	s.kind, s.typeLo, s.typeHi = serviceICMP, n, n
}

func (l *loader) icmpCode(a *hclsyntax.Attribute, hasType bool, s *service) {
	v := l.value(a.Expr)
	if !hasType {
		l.errorf(a.NameRange, "Code without type", "Expected icmp_type beside icmp_code; a code means something only with its type.")
		return
	}
	if s.kind != serviceICMP {
		return // the type is wrong, which is said already
	}
	if n, ok := v.uint(255); ok {
		s.code = int16(n)
		return
	}
	if v.kind != kindString {
		l.errorf(v.at, "Invalid ICMP code", `Expected a number from 0 to 255 or a name such as "port-unreachable"; this is %s.`, v.source)
		return
	}
	n, problem := parseICMP(v.text, codesOf(s.protocol, s.typeLo))
	if problem != "" {
		l.errorf(v.at, "Invalid ICMP code", "%s", problem)
		return
	}
	s.code = int16(n)
}

// codesOf returns the names of an ICMP type's codes.
func codesOf(protocol, icmpType uint8) map[string]uint8 {
	if icmpTypes[protocol]["destination-unreachable"] == icmpType {
		return icmpCodes[protocol]
	}
	return nil
}

// etherTypeName is how the rules language writes an ethertype service.
func (s *service) etherTypeName() string { return fmt.Sprintf("\"ethertype/0x%04x\"", s.etherType) }

// refusedEtherTypes are matched in another way.
var refusedEtherTypes = map[uint16]string{
	inspect.EtherTypeIPv4: `IPv4 is matched by its addresses: source = ["0.0.0.0/0"]`,
	inspect.EtherTypeIPv6: `IPv6 is matched by its addresses: source = ["::/0"]`,
	inspect.EtherTypeARP:  `write "arp"`,
	inspect.EtherTypeVLAN: "VLAN tags are looked through, to the ethertype behind them",
	inspect.EtherTypeQinQ: "VLAN tags are looked through, to the ethertype behind them",
	inspect.EtherTypeVMAN: "VLAN tags are looked through, to the ethertype behind them",
}
