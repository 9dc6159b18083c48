package policy

import (
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/binding"
	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/reason"
)

// Test is a test block: packets and what must become of them.
type Test struct {
	Name  string
	At    hcl.Range // of the block's header
	Start time.Time // of the first packet
	Steps []Step
}

// lastYear is the last of which all steps of a test are times in ns since 1970.
const lastYear = 2200

// Step is one packet of a test.
type Step struct {
	At        hcl.Range // of the packet's text
	ContextID uint64
	Text      string
	Packet    *describe.Packet
	After     time.Duration // since the step before
	Expect    Action
	Rule      string        // "": any; "default": none
	Reason    reason.Reason // None: any
}

// testStart is when tests run: a working day, at noon.
var testStart = time.Date(2026, 1, 5, 12, 0, 0, 0, time.UTC)

// tests compiles the test blocks, after the rules that they can name.
func (l *loader) tests(body *hclsyntax.Body) {
	names := make(map[string]hcl.Range)
	for _, b := range body.Blocks {
		if b.Type != "test" {
			continue
		}
		if len(b.Labels) != 1 || strings.TrimSpace(b.Labels[0]) == "" {
			l.errorf(b.TypeRange, "Missing name", `Expected what is tested, in quotes: test "the web server is reachable" { ... }.`)
			continue
		}
		l.declare(names, "test", clip(b.Labels[0]), b.LabelRanges[0])
		l.policy.tests = append(l.policy.tests, l.test(b))
	}
}

func (l *loader) test(b *hclsyntax.Block) Test {
	l.check(b.Body, b.DefRange(), testSchema)
	t := Test{Name: clip(b.Labels[0]), At: b.DefRange(), Start: testStart}
	attributes := b.Body.Attributes
	if a := attributes["at"]; a != nil {
		v := l.value(a.Expr)
		at, err := time.Parse(time.RFC3339, v.text)
		switch {
		case v.failed:
		case v.kind != kindString || err != nil:
			l.errorf(v.at, "Invalid time", `Expected a time such as "2026-12-24T08:00:00Z"; this is %s.`, v.source)
		case at.Year() < 1970 || at.Year() > lastYear:
			l.errorf(v.at, "Invalid time", `Expected a time from 1970 to %d, such as "2026-12-24T08:00:00Z"; this is %s.`, lastYear, v.source)
		}
		t.Start = at
	}
	var steps []*hclsyntax.Block
	for _, s := range b.Body.Blocks {
		if s.Type == "step" {
			l.noLabel(s)
			steps = append(steps, s)
		}
	}
	if len(steps) == 0 {
		for _, name := range []string{"packet", "expect"} {
			if attributes[name] == nil {
				l.errorf(b.DefRange(), "Missing argument", "Expected %q in a test, or step blocks.", name)
			}
		}
		t.Steps = []Step{l.step(b.Body, 0)}
		return t
	}
	contextID := uint64(0)
	if a := attributes["context_id"]; a != nil {
		contextID = l.contextID(a)
	}
	for _, name := range []string{"packet", "expect", "rule", "reason"} {
		if a := attributes[name]; a != nil {
			l.errorf(a.NameRange, "Not with steps", "Expected %s in the steps, not beside them.", name)
		}
	}
	for _, s := range steps {
		l.check(s.Body, s.DefRange(), stepSchema)
		t.Steps = append(t.Steps, l.step(s.Body, contextID))
	}
	return t
}

func (l *loader) step(body *hclsyntax.Body, contextID uint64) Step {
	s := Step{ContextID: contextID}
	for _, a := range sortedAttributes(body) {
		switch a.Name {
		case "context_id":
			s.ContextID = l.contextID(a)
		case "packet":
			l.packet(a, &s)
		case "expect":
			s.Expect = l.action(a)
		case "rule":
			s.Rule = l.ruleName(a)
		case "reason":
			s.Reason = l.reason(a)
		case "after":
			s.After = l.duration(a)
		}
	}
	return s
}

func (l *loader) packet(a *hclsyntax.Attribute, s *Step) {
	v := l.value(a.Expr)
	s.At = v.at
	if v.kind != kindString {
		if !v.failed {
			l.errorf(v.at, "Invalid packet", `Expected a packet in quotes, such as "tcp 10.9.9.9:40000 > 10.1.0.10:443 syn"; this is %s.`, v.source)
		}
		return
	}
	s.Text = v.text
	p, err := describe.Parse(v.text)
	if err != nil {
		l.errorf(v.at, "Invalid packet", "Expected a packet description: %s.", strings.TrimSuffix(err.Error(), "."))
		return
	}
	s.Packet = p
}

func (l *loader) contextID(a *hclsyntax.Attribute) uint64 {
	v := l.value(a.Expr)
	if n, ok := v.uint(math.MaxUint64); ok {
		return n
	}
	n, ok := parseContextID(v.text)
	if (v.kind != kindString || !ok) && !v.failed {
		l.errorf(v.at, "Invalid context ID", `Expected a number of 64 bits, such as 100 or "0x64"; this is %s.`, v.source)
	}
	return n
}

func (l *loader) ruleName(a *hclsyntax.Attribute) string {
	v := l.value(a.Expr)
	if v.failed {
		return ""
	}
	if v.kind != kindString {
		l.errorf(v.at, "Invalid rule", `Expected "tenant/rule", or "default"; this is %s.`, v.source)
		return ""
	}
	if v.text == "default" || slices.ContainsFunc(l.policy.rules, func(r rule) bool { return r.name == v.text }) {
		return v.text
	}
	known := make([]string, len(l.policy.rules))
	for i := range known {
		known[i] = l.policy.rules[i].name
	}
	l.errorf(v.at, "Unknown rule", `Expected "tenant/rule" of this file, or "default"; there is no %q.%s`, clip(v.text), didYouMean(v.text, known))
	return ""
}

func (l *loader) reason(a *hclsyntax.Attribute) reason.Reason {
	v := l.value(a.Expr)
	var known []string
	for r := reason.None + 1; r < reason.Count; r++ {
		if r.String() == v.text {
			return r
		}
		known = append(known, r.String())
	}
	if v.failed {
		return reason.None
	}
	l.errorf(v.at, "Unknown reason", "Expected a drop reason of docs/reasons.md; this is %s.%s", v.source, didYouMean(v.text, known))
	return reason.None
}

// OuterEndpoints are the outer addresses of a step's frame: those that its text
// names, else the first addresses that settings, the tenant and the bindings of its
// anti_spoof allow.
func (p *Policy) OuterEndpoints(s *Step) (from, to netip.Addr) {
	from, to = p.DefaultEndpoints(s.ContextID, &s.Packet.Frame)
	if s.Packet.From.IsValid() {
		from = s.Packet.From
	}
	if s.Packet.To.IsValid() {
		to = s.Packet.To
	} else if to.Is4() != from.Is4() {
		to = from
	}
	return from, to
}

// DefaultEndpoints are outer addresses that may carry the inner frame with that
// context ID: the first that settings, the tenant and the bindings of its
// anti_spoof allow, and one for documentation (RFC 5737) where any may.
func (p *Policy) DefaultEndpoints(contextID uint64, f *inspect.Frame) (from, to netip.Addr) {
	from = netip.AddrFrom4([4]byte{192, 0, 2, 1})
	if e := p.settings.Endpoints; len(e) > 0 {
		from = firstHost(e[0])
	}
	to = from // so that an answer comes from where the question went
	if d, found := p.Find(contextID); found {
		if t := &p.tenants[d.TenantIndex]; len(t.Endpoints) > 0 {
			from = firstHost(commonPrefix(t.Endpoints, p.settings.Endpoints))
			to = from
		}
		if a := p.tenants[d.TenantIndex].AntiSpoof; a != nil {
			origin := p.tenants[d.TenantIndex].origin(contextID)
			var claims binding.Claims
			claims.Read(f, &origin)
			if declared, ok := a.declaredFor(&claims); ok {
				from = declared
			}
		}
	}
	return from, to
}

// commonPrefix is the first part of some prefixes that others hold too; the first
// of them if there is none.
func commonPrefix(some, others []netip.Prefix) netip.Prefix {
	for _, p := range some {
		for _, q := range others {
			switch {
			case !p.Overlaps(q):
			case p.Bits() > q.Bits():
				return p
			default:
				return q
			}
		}
	}
	return some[0]
}

// firstHost is the first address of a prefix behind that of the network itself.
func firstHost(p netip.Prefix) netip.Addr {
	if a := p.Addr().Next(); p.Contains(a) {
		return a
	}
	return p.Addr()
}

// String writes a step for a message.
func (s *Step) String() string { return fmt.Sprintf("context 0x%x: %s", s.ContextID, s.Text) }
