package policy

import (
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

var actionWords = []string{"accept", "drop"}

// mistakenActions are the words that other firewalls have for ours.
var mistakenActions = map[string]string{
	"allow": "accept", "permit": "accept", "pass": "accept",
	"deny": "drop", "block": "drop", "discard": "drop",
}

// action compiles an action or default_action. What is wrong becomes a drop in
// a policy that nobody gets.
func (l *loader) action(a *hclsyntax.Attribute) Action {
	if v := l.value(a.Expr); v.kind == kindString && v.text == "reject" {
		l.errorf(v.at, "Not in this version",
			"Expected \"accept\" or \"drop\": \"reject\" is part of the rules language, but this version of sttwall sends no answers. Write \"drop\".")
		return Drop
	}
	if l.choice(a, actionWords, mistakenActions) == 0 {
		return Accept
	}
	return Drop
}

// truth compiles an attribute that is true or false.
func (l *loader) truth(a *hclsyntax.Attribute) bool {
	v := l.value(a.Expr)
	if v.kind != kindBool {
		l.errorf(v.at, "Invalid "+a.Name, "Expected true or false, without quotes; this is %s.", v.source)
	}
	return v.truth
}

func (l *loader) settings(b *hclsyntax.Block) {
	if len(b.Labels) > 0 {
		l.errorf(b.LabelRanges[0], "Unexpected name", "Expected settings without a name: settings { ... }.")
	}
	l.check(b.Body, b.DefRange(), &settingsSchema)
	s := &l.policy.settings
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "stt_ports":
			s.STTPorts = l.sttPorts(a)
		case "endpoints":
			s.Endpoints = l.endpoints(a)
		case "receivers":
			s.Receivers = Receivers(max(0, l.choice(a, []string{"any", "linux"}, map[string]string{"ovs": "linux", "windows": "any", "all": "any"})))
		case "default_action":
			s.DefaultAction = l.action(a)
		}
	}
}

// maxSTTPorts bounds a list that is searched for every packet.
const maxSTTPorts = 16

func (l *loader) sttPorts(a *hclsyntax.Attribute) []uint16 {
	const example = "[7471]"
	var ports []uint16
	for _, e := range l.list(a, example, "Leave stt_ports out for 7471.") {
		v := l.value(e)
		n, ok := v.uint(65535)
		switch {
		case !ok || n == 0:
			l.errorf(v.at, "Invalid STT port", "Expected a whole number from 1 to 65535, such as 7471; this is %s.", v.source)
		case slices.Contains(ports, uint16(n)):
			l.errorf(v.at, "Duplicate STT port", "Expected each port once; %d is in the list already.", n)
		case len(ports) == maxSTTPorts:
			l.errorf(v.at, "Too many STT ports", "Expected at most %d ports.", maxSTTPorts)
			return ports
		default:
			ports = append(ports, uint16(n))
		}
	}
	return ports
}

// endpoints compiles settings.endpoints. "any" alone is an empty list, and the
// one way to have that without a warning.
func (l *loader) endpoints(a *hclsyntax.Attribute) []netip.Prefix {
	const example = `["10.47.0.0/16"]`
	var prefixes []netip.Prefix
	items := l.list(a, example, `Write ["any"] if every host may send STT.`)
	for _, e := range items {
		v := l.value(e)
		if v.kind != kindString {
			l.errorf(v.at, "Invalid endpoint", "Expected an outer address or CIDR in quotes, such as %s; this is %s. Address groups are for inner addresses.", example, v.describe())
			continue
		}
		if v.text == "any" {
			if len(items) > 1 {
				l.errorf(v.at, "Not alone", `Expected "any" as the only entry, or none of it.`)
			}
			continue
		}
		r, problem := parseAddresses(v.text)
		switch {
		case problem != "":
			l.errorf(v.at, "Invalid endpoint", "%s", problem)
		case r.form == formRange:
			l.errorf(v.at, "Invalid endpoint", "Expected an outer address or CIDR, such as %s; ranges are for inner addresses.", example)
		case r.lo.Is4In6():
			l.errorf(v.at, "Invalid endpoint", "Expected an IPv4 or IPv6 address; %q is IPv4-mapped and on no wire. Write it as IPv4.", v.text)
		default:
			prefixes = append(prefixes, netip.PrefixFrom(r.lo, r.bits))
		}
	}
	return prefixes
}

func (l *loader) warnNoEndpoints(settings *hclsyntax.Block) {
	var at hcl.Range
	if at = *startOf(l.filename); settings != nil {
		at = settings.DefRange()
	}
	l.warnf(at, "Any host may send STT",
		`Expected settings.endpoints, the outer addresses of your tunnel endpoints; without it any host that reaches this one can send into every tenant. Write endpoints = ["any"] if that is meant.`)
}
