package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/inspect"
	"sttwall/internal/nearest"
	"sttwall/policy/classify"
)

const (
	serviceExample = `["tcp/443", "udp/5000-5100", "icmp/echo-request", "protocol/89", service.NAME]`
	portExample    = `[443, "8443-8450"]`
)

// serviceList compiles a services list. A list that is one service block shares
// what that stands for.
func (l *loader) serviceList(a *hclsyntax.Attribute) []service {
	var out []service
	items := l.list(a, serviceExample, "Leave services out to match any IP packet.")
	if len(items) == 1 && items[0].kind == kindReference {
		return l.serviceReference(&items[0])
	}
	for i := range items {
		v := &items[i]
		if !l.holdsServices(v.at, len(out)) {
			return nil
		}
		switch v.kind {
		case kindReference:
			out = append(out, l.serviceReference(v)...)
		case kindString:
			s, problem := parseService(v.text)
			if problem != "" {
				l.errorf(v.at, "Invalid service", "%s", problem)
				continue
			}
			out = append(out, s...)
		default:
			hint := ""
			if n, ok := v.uint(65535); ok {
				hint = fmt.Sprintf(" Did you mean \"tcp/%d\" or \"udp/%d\"?", n, n)
			}
			l.errorf(v.at, "Invalid service", "Expected services as in %s; this is %s.%s", serviceExample, v.describe(), hint)
		}
	}
	l.held += len(out)
	return out
}

// holdsServices reports whether so many more boxes of services may be held, and
// says so if not.
func (l *loader) holdsServices(at hcl.Range, more int) bool {
	if l.held+more <= maxHeldServices {
		return true
	}
	l.errorf(at, "Too many services", "Expected lists of services that stand for at most %d protocols and ports together; a list that is one service.NAME takes no room.", maxHeldServices)
	return false
}

// serviceReference returns what the service block that v names stands for.
func (l *loader) serviceReference(v *value) []service {
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
		if near := nearest.Of(v.traversal.RootName(), []string{"service"}); ok && near != "" {
			hint = fmt.Sprintf(" Did you mean %s.%s?", near, clip(name))
		}
		l.errorf(v.at, "Invalid reference", "Expected service.NAME, or a service in quotes; this is %s.%s", v.source, hint)
		return nil
	}
	if l.serviceBlocks[name] == nil {
		l.errorf(v.at, "Unknown service", "Expected the name of a service block of this file; there is no %q.%s", clip(name), didYouMeanName(l, name, l.serviceBlocks))
		return nil
	}
	l.use("service", name)
	return l.service(name, v.at)
}

type serviceGroup struct {
	state    groupState
	services []service
}

const (
	// maxServices bounds what a service can stand for.
	maxServices = 4096
	// maxHeldServices bounds what the lists of all rules and services stand for
	// together.
	maxHeldServices = 2 << 20
)

// service returns what a declared service stands for, compiling it at its
// first use. at is where it is named.
func (l *loader) service(name string, at hcl.Range) []service {
	g := l.services[name]
	if g == nil {
		g = new(serviceGroup)
		l.services[name] = g
	}
	switch g.state {
	case groupDone:
		return g.services
	case groupUnderWay:
		l.errorf(at, "Service in itself", "Expected services without a circle; this one is %s.", circle(l.path, name))
		return nil
	}
	g.state = groupUnderWay
	l.path = append(l.path, name)
	g.services = l.compileService(l.serviceBlocks[name])
	l.path = l.path[:len(l.path)-1]
	if n := len(g.services); n > maxServices {
		l.tooManyServices(at, name, n)
		g.services = nil
	}
	g.state = groupDone
	return g.services
}

func (l *loader) tooManyServices(at hcl.Range, name string, n int) {
	l.errorf(at, "Too many services", "Expected a service that stands for at most %d protocols and ports; %q stands for %d.", maxServices, name, n)
}

// compileService compiles a service block.
func (l *loader) compileService(b *hclsyntax.Block) []service {
	l.check(b.Body, b.DefRange(), serviceSchema)
	group, protocol := b.Body.Attributes["services"], b.Body.Attributes["protocol"]
	switch {
	case group != nil:
		for _, a := range sortedAttributes(b.Body) {
			if a.Name != "services" && serviceSchema.attribute(a.Name) {
				l.errorf(a.NameRange, "Not with services", "Expected no %s in a group of services; put it into a service of its own.", a.Name)
			}
		}
		return l.serviceList(group)
	case protocol == nil:
		l.errorf(b.DefRange(), "Missing argument", `Expected "protocol" or "services" in a service.`)
		return nil
	}
	number, anyProtocol, ok := l.protocol(protocol)
	if !ok {
		return nil // what the rest means hangs on the protocol
	}
	s := anyPacket()
	if !anyProtocol {
		s.box.KindLo, s.box.KindHi = uint32(number), uint32(number)
	}
	isPort := !anyProtocol && hasPorts(number)
	isICMP := !anyProtocol && icmpTypes[number] != nil
	var source, destination []portRange
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "ports", "source_ports":
			if !isPort {
				l.errorf(a.NameRange, "No ports", `Expected %s only where the protocol is "tcp", "udp" or "sctp"; other protocols have no ports.`, a.Name)
				continue
			}
			if ports := l.ports(a); a.Name == "ports" {
				destination = ports
			} else {
				source = ports
			}
		case "icmp_type", "icmp_code":
			if !isICMP {
				l.errorf(a.NameRange, "Not ICMP", `Expected %s only where the protocol is "icmp" or "icmpv6".`, a.Name)
				continue
			}
			if a.Name == "icmp_type" {
				l.icmpType(a, number, &s)
			}
		case "tcp_flags":
			if anyProtocol || number != inspect.ProtocolTCP {
				l.errorf(a.NameRange, "Not TCP", `Expected tcp_flags only where the protocol is "tcp".`)
				continue
			}
			s.flagMask, s.flagIs = l.tcpFlags(a)
		}
	}
	// The code's names hang on the type, so it comes after it.
	if a := b.Body.Attributes["icmp_code"]; a != nil && isICMP {
		l.icmpCode(a, b.Body.Attributes["icmp_type"] != nil, number, &s)
	}
	// Each source port is paired with each destination port.
	if n := max(1, len(source)) * max(1, len(destination)); n > maxServices {
		l.tooManyServices(b.DefRange(), b.Labels[0], n)
		return nil
	}
	return s.withPorts(source, destination)
}

// anyPacket is every IP packet.
func anyPacket() service {
	return service{box: classify.Service{KindHi: 255, SrcHi: classify.Absent, DstHi: classify.Absent}}
}

func ofProtocol(n uint8) service {
	s := anyPacket()
	s.box.KindLo, s.box.KindHi = uint32(n), uint32(n)
	return s
}

// ofEtherType is every frame that is not IP and has that ethertype.
func ofEtherType(n uint16) service {
	s := anyPacket()
	s.box.KindLo, s.box.KindHi = otherKind|uint32(n), otherKind|uint32(n)
	return s
}

// ofEtherTypes is every frame of those ethertypes. For either IP it is any
// packet: the rule's condition on ethertypes tells the two apart.
func ofEtherTypes(s spans) (out []service) {
	isIP := false
	other := func(lo, hi uint64) {
		if lo <= hi {
			o := ofEtherType(uint16(lo))
			o.box.KindHi = otherKind | uint32(hi)
			out = append(out, o)
		}
	}
	for _, r := range s {
		lo := max(r.lo, leastEtherType)
		for _, ip := range []uint64{inspect.EtherTypeIPv4, inspect.EtherTypeIPv6} {
			if lo <= ip && ip <= r.hi {
				isIP = true
				other(lo, ip-1)
				lo = ip + 1
			}
		}
		other(lo, r.hi)
	}
	if isIP {
		out = append(out, anyPacket())
	}
	return out
}

// leastEtherType is where ethertypes begin; below are lengths (IEEE 802.3 clause
// 3.2.6).
const leastEtherType = 0x0600

// ofICMP is the ICMP messages with types from lo to hi, or the one type with
// the code, unless that is negative.
func ofICMP(protocol, lo, hi uint8, code int) service {
	s := ofProtocol(protocol)
	s.box.DstLo, s.box.DstHi = uint32(lo)<<8, uint32(hi)<<8|0xff
	if code >= 0 {
		s.box.DstLo |= uint32(code)
		s.box.DstHi = s.box.DstLo
	}
	return s
}

// withPorts is s with each pair of source and destination ports; nil is any
// port, and no ports at all.
func (s service) withPorts(source, destination []portRange) []service {
	out := []service{s}
	for i, ranges := range [2][]portRange{source, destination} {
		if ranges == nil {
			continue
		}
		var next []service
		for _, o := range out {
			for _, r := range ranges {
				if i == 0 {
					o.box.SrcLo, o.box.SrcHi = uint32(r.lo), uint32(r.hi)
				} else {
					o.box.DstLo, o.box.DstHi = uint32(r.lo), uint32(r.hi)
				}
				next = append(next, o)
			}
		}
		out = next
	}
	return out
}

// portRange is a range of ports, both ends inclusive.
type portRange struct{ lo, hi uint16 }

// protocol compiles a service's protocol: a name, a number, or "any".
func (l *loader) protocol(a *hclsyntax.Attribute) (number uint8, anyProtocol, ok bool) {
	v := l.value(a.Expr)
	if v.failed {
		return 0, false, false
	}
	text := v.text
	if n, ok := v.uint(255); ok {
		return uint8(n), false, true
	}
	if v.kind == kindString {
		if n, ok := protocolByName(text); ok {
			return n, false, true
		}
		if text == "any" {
			return 0, true, true
		}
	}
	hint := ""
	if n, ok := numberedProtocols[strings.ToLower(text)]; ok {
		hint = fmt.Sprintf(" Write %d for %q.", n, text)
	} else if text != "" {
		hint = didYouMean(text, []string{"tcp", "udp", "sctp", "icmp", "icmpv6", "any"})
	}
	l.errorf(v.at, "Invalid protocol", `Expected "tcp", "udp", "sctp", "icmp", "icmpv6", "any", or a number from 0 to 255; this is %s.%s`, v.source, hint)
	return 0, false, false
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
	for _, v := range l.list(a, portExample, "Leave "+a.Name+" out to match any port.") {
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
		if v.kind == kindNumber && strings.Contains(strings.TrimPrefix(v.source, "-"), "-") {
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

func (l *loader) icmpType(a *hclsyntax.Attribute, protocol uint8, s *service) {
	v := l.value(a.Expr)
	if n, ok := v.uint(255); ok {
		*s = ofICMP(protocol, uint8(n), uint8(n), -1)
		return
	}
	if v.kind != kindString {
		l.errorf(v.at, "Invalid ICMP type", `Expected a number from 0 to 255 or a name such as "echo-request"; this is %s.`, v.source)
		return
	}
	n, problem := parseICMP(v.text, icmpTypes[protocol])
	if problem != "" {
		l.errorf(v.at, "Invalid ICMP type", "%s", problem)
		return
	}
	*s = ofICMP(protocol, n, n, -1)
}

func (l *loader) icmpCode(a *hclsyntax.Attribute, hasType bool, protocol uint8, s *service) {
	v := l.value(a.Expr)
	if !hasType {
		l.errorf(a.NameRange, "Code without type", "Expected icmp_type beside icmp_code; a code means something only with its type.")
		return
	}
	if s.box.DstHi == classify.Absent {
		return // the type is wrong, which is said already
	}
	icmpType := uint8(s.box.DstLo >> 8)
	if n, ok := v.uint(255); ok {
		*s = ofICMP(protocol, icmpType, icmpType, int(n))
		return
	}
	if v.kind != kindString {
		l.errorf(v.at, "Invalid ICMP code", `Expected a number from 0 to 255 or a name such as "port-unreachable"; this is %s.`, v.source)
		return
	}
	n, problem := parseICMP(v.text, codesOf(protocol, icmpType))
	if problem != "" {
		l.errorf(v.at, "Invalid ICMP code", "%s", problem)
		return
	}
	*s = ofICMP(protocol, icmpType, icmpType, int(n))
}

// codesOf returns the names of an ICMP type's codes.
func codesOf(protocol, icmpType uint8) map[string]uint8 {
	if icmpTypes[protocol]["destination-unreachable"] == icmpType {
		return icmpCodes[protocol]
	}
	return nil
}

// refusedEtherTypes are matched in another way.
var refusedEtherTypes = map[uint16]string{
	inspect.EtherTypeIPv4: `IPv4 is matched by its addresses: source = ["0.0.0.0/0"]`,
	inspect.EtherTypeIPv6: `IPv6 is matched by its addresses: source = ["::/0"]`,
	inspect.EtherTypeARP:  `write "arp"`,
	inspect.EtherTypeVLAN: "VLAN tags are looked through, to the ethertype behind them",
	inspect.EtherTypeQinQ: "VLAN tags are looked through, to the ethertype behind them",
	inspect.EtherTypeVMAN: "VLAN tags are looked through, to the ethertype behind them",
}
