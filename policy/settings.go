package policy

import (
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/binding"
)

var actionWords = []string{"accept", "drop", "reject"}

// mistakenActions are the words that other firewalls have for ours.
var mistakenActions = map[string]string{
	"allow": "accept", "permit": "accept", "pass": "accept",
	"deny": "drop", "block": "drop", "discard": "drop", "refuse": "reject",
}

// action compiles an action or default_action. What is wrong becomes a drop in
// a policy that nobody gets.
func (l *loader) action(a *hclsyntax.Attribute) Action {
	switch l.choice(a, actionWords, mistakenActions) {
	case 0:
		return Accept
	case 2:
		return Reject
	}
	return Drop
}

// truth compiles an attribute that is true or false.
func (l *loader) truth(a *hclsyntax.Attribute) bool {
	v := l.value(a.Expr)
	if v.kind != kindBool && !v.failed {
		l.errorf(v.at, "Invalid "+a.Name, "Expected true or false, without quotes; this is %s.", v.source)
	}
	return v.truth
}

func (l *loader) settings(b *hclsyntax.Block) {
	l.check(b.Body, b.DefRange(), settingsSchema)
	s := &l.policy.settings
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "stt_ports":
			s.STTPorts = l.sttPorts(a)
		case "endpoints":
			s.Endpoints, s.BoundEndpoints = l.endpoints(a)
		case "other_tunnels":
			s.OtherTunnels = l.choice(a, []string{"drop", "pass"}, map[string]string{"accept": "pass", "allow": "pass", "deny": "drop", "block": "drop"}) == 1
		case "only_stt":
			s.OnlySTT = l.truth(a)
		case "receivers":
			s.Receivers = Receivers(max(0, l.choice(a, []string{"any", "linux"}, map[string]string{"ovs": "linux", "windows": "any", "all": "any"})))
		case "forward":
			s.Forward = Forward(max(0, l.choice(a, []string{"canonical", "rebuild"}, map[string]string{"as-is": "canonical", "reencode": "rebuild"})))
		case "mss_floor":
			s.MSSFloor = uint16(l.number(a, 1, maxMSSFloor))
		case "default_action":
			s.DefaultAction = l.action(a)
		case "tcp_loose":
			s.TCPLoose = l.truth(a)
		case "flows":
			s.Flows = int(l.number(a, 1, maxFlows))
		case "bindings":
			s.Bindings = int(l.number(a, 1, binding.MaxBindings))
		case "reject_rate":
			s.RejectRate = l.rate(a)
		case "endpoint_rate":
			s.EndpointRate = l.rate(a)
		}
	}
	if a := b.Body.Attributes["only_stt"]; s.OnlySTT {
		if len(s.Endpoints) == 0 {
			l.errorf(a.NameRange, "Missing endpoints", `Expected endpoints beside only_stt, which is about what passes between them; ["any"] names none.`)
		}
		if s.OtherTunnels {
			l.errorf(a.NameRange, "Contradicting settings", `Expected one of only_stt and other_tunnels = "pass": only_stt lets no other tunnel pass.`)
		}
	}
	if t := l.single(b.Body, timeoutsSchema); t != nil {
		l.check(t.Body, t.DefRange(), timeoutsSchema)
		for _, a := range sortedAttributes(t.Body) {
			if field := s.Timeouts.Field(a.Name); field != nil {
				*field = l.duration(a)
			}
		}
	}
}

// maxMSSFloor is the MSS for the smallest MTU of IPv6 (RFC 8200 section 5): any network
// may need one as small as that.
const maxMSSFloor = 1280 - 60

// maxFlows bounds the flow table; that many take 4 GiB.
const maxFlows = 16 << 20

// maxSTTPorts bounds a list that is searched for every packet.
const maxSTTPorts = 16

func (l *loader) sttPorts(a *hclsyntax.Attribute) []uint16 {
	const example = "[7471]"
	var ports []uint16
	for _, v := range l.list(a, example, "Leave stt_ports out for 7471.") {
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

func (l *loader) warnNoEndpoints(settings *hclsyntax.Block) {
	var at hcl.Range
	if at = *startOf(l.filename); settings != nil {
		at = settings.DefRange()
	}
	l.warnf(at, "Any host may send STT",
		`Expected settings.endpoints, the outer addresses of your tunnel endpoints; without it any host that reaches this one can send into every tenant. Write endpoints = ["any"] if that is meant.`)
}
