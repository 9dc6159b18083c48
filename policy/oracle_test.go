package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"sttwall/inspect"
	"sttwall/reason"
)

// The model is a policy as plain data with a slow and obvious meaning. It is
// written out as rules text, loaded, and both must say the same of every frame.

type modelRule struct {
	name                string
	accept, log         bool
	source, destination []modelAddress // nil: left out
	services            []modelService // nil: left out
}

type modelAddress struct {
	negated bool
	any     bool
	lo, hi  netip.Addr
	cidr    string // as it is written, if not as lo-hi
	group   string // as a reference, with lo..hi being the group's only range
}

type modelService struct {
	text  string
	match func(f *inspect.Frame) bool
}

type modelClaim struct{ lo, hi uint64 }

type modelTenant struct {
	name          string
	claims        []modelClaim
	defaultAction string // "": left out
	rules         []modelRule

	neighborsByRule bool
}

type model struct {
	defaultAction string
	tenants       []modelTenant
	groups        []modelAddress
}

// conflicts says whether two claims anywhere are equal or cross.
func (m *model) conflicts() bool {
	var all []modelClaim
	for _, t := range m.tenants {
		all = append(all, t.claims...)
	}
	for i, a := range all {
		for _, b := range all[i+1:] {
			apart := a.hi < b.lo || b.hi < a.lo
			aInB := b.lo <= a.lo && a.hi <= b.hi
			bInA := a.lo <= b.lo && b.hi <= a.hi
			if !apart && aInB == bInA {
				return true
			}
		}
	}
	return false
}

func (a modelAddress) contains(x netip.Addr) bool {
	return x.BitLen() == a.lo.BitLen() && a.lo.Compare(x) <= 0 && x.Compare(a.hi) <= 0
}

func listMatches(list []modelAddress, x netip.Addr) bool {
	positives, positive, restricts := 0, false, false
	for _, a := range list {
		restricts = restricts || a.negated
		if a.negated && a.contains(x) {
			return false
		}
		if !a.negated {
			positives++
			positive = positive || a.any || a.contains(x)
		}
	}
	if !x.IsValid() {
		// A frame without addresses is only in a list that takes everything.
		anyThere := false
		for _, a := range list {
			anyThere = anyThere || a.any
		}
		return !restricts && (anyThere || len(list) == 0)
	}
	return positives == 0 || positive
}

func (m *model) evaluate(id uint64, f *inspect.Frame) (want Decision) {
	want.TenantIndex, want.RuleIndex = -1, -1
	decide := func(action string, why reason.Reason) Decision {
		if action == "accept" {
			want.Action = Accept
		} else {
			want.Action, want.Reason = Drop, why
		}
		return want
	}
	// The most specific claim is the one with the fewest IDs.
	size := ^uint64(0)
	for i, t := range m.tenants {
		for _, c := range t.claims {
			if c.lo <= id && id <= c.hi && (want.TenantIndex < 0 || c.hi-c.lo < size) {
				size, want.TenantIndex, want.Tenant = c.hi-c.lo, int32(i), t.name
			}
		}
	}
	if want.TenantIndex < 0 {
		return decide(m.defaultAction, reason.ContextUnknown)
	}
	index := int32(0)
	for _, t := range m.tenants[:want.TenantIndex] {
		index += int32(len(t.rules))
	}
	t := m.tenants[want.TenantIndex]
	if arp, nd := f.IP == 0 && f.EtherType == 0x0806, f.IP == 6 && f.Protocol == 58 && f.HasICMP && 133 <= f.ICMPType && f.ICMPType <= 137; !t.neighborsByRule && (arp || nd) {
		want.Action, want.Neighbor, want.Stateless = Accept, true, true
		return want
	}
	for i, r := range t.rules {
		matches := f.IP != 0
		if r.services != nil {
			matches = false
			for _, s := range r.services {
				matches = matches || s.match(f)
			}
		}
		if !matches || !listMatches(r.source, f.Src) || !listMatches(r.destination, f.Dst) {
			continue
		}
		want.RuleIndex, want.Rule, want.Log = index+int32(i), t.name+"/"+r.name, r.log
		if r.accept {
			return decide("accept", 0)
		}
		return decide("drop", reason.RuleDrop)
	}
	if t.defaultAction != "" {
		return decide(t.defaultAction, reason.TenantDefault)
	}
	return decide(m.defaultAction, reason.TenantDefault)
}

func (a modelAddress) text() string {
	not := map[bool]string{true: "!"}[a.negated]
	switch {
	case a.group != "":
		return not + "address_group." + a.group
	case a.any:
		return `"any"`
	case a.cidr != "":
		return fmt.Sprintf("%q", not+a.cidr)
	case a.lo == a.hi:
		return fmt.Sprintf("%q", not+a.lo.String())
	}
	return fmt.Sprintf("%q", not+a.lo.String()+"-"+a.hi.String())
}

func (m *model) text() string {
	var b strings.Builder
	fmt.Fprintf(&b, "settings {\n endpoints = [\"any\"]\n default_action = %q\n}\n", m.defaultAction)
	for _, g := range m.groups {
		fmt.Fprintf(&b, "address_group %q {\n addresses = [\"%s-%s\"]\n}\n", g.group, g.lo, g.hi)
	}
	for _, t := range m.tenants {
		fmt.Fprintf(&b, "tenant %q {\n", t.name)
		if t.defaultAction != "" {
			fmt.Fprintf(&b, " default_action = %q\n", t.defaultAction)
		}
		if t.neighborsByRule {
			b.WriteString(" neighbor_discovery = \"rules\"\n")
		}
		b.WriteString(" context_ids = [")
		for i, c := range t.claims {
			switch {
			case c.lo == c.hi:
				fmt.Fprintf(&b, "%d, ", c.lo)
			case i%2 == 0:
				fmt.Fprintf(&b, "\"0x%x-%d\", ", c.lo, c.hi)
			default:
				fmt.Fprintf(&b, "\"%d-0x%X\", ", c.lo, c.hi)
			}
		}
		b.WriteString("]\n")
		for _, r := range t.rules {
			fmt.Fprintf(&b, " rule %q {\n  action = %q\n  log = %t\n", r.name, Action(map[bool]Action{true: Accept}[r.accept]), r.log)
			for name, list := range map[string][]modelAddress{"source": r.source, "destination": r.destination} {
				if list == nil {
					continue
				}
				texts := make([]string, len(list))
				for i, a := range list {
					texts[i] = a.text()
				}
				fmt.Fprintf(&b, "  %s = [%s]\n", name, strings.Join(texts, ", "))
			}
			if r.services != nil {
				texts := make([]string, len(r.services))
				for i, s := range r.services {
					texts[i] = fmt.Sprintf("%q", s.text)
				}
				fmt.Fprintf(&b, "  services = [%s]\n", strings.Join(texts, ", "))
			}
			b.WriteString(" }\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

func TestEvaluateSaysWhatThePlainReadingOfTheRulesSays(t *testing.T) {
	const policies, frames = 300, 1000
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	loaded, refused, byRule := 0, 0, 0
	for loaded < policies {
		m := randomModel(r)
		text := m.text()
		p, diags := Load("random.hcl", []byte(text))
		if m.conflicts() != diags.HasErrors() {
			t.Fatalf("conflicting claims: %t, but diagnostics are %v for\n%s", m.conflicts(), diags, text)
		}
		if p == nil {
			refused++
			continue
		}
		loaded++
		for range frames {
			f, id := randomFrame(r), randomContext(r, m)
			got, want := evaluate(p, id, f), m.evaluate(id, f)
			if got != want {
				t.Fatalf("context %#x, frame %+v:\n got %+v\nwant %+v\n%s", id, f, got, want, text)
			}
			if got.RuleIndex >= 0 {
				byRule++
			}
		}
	}
	t.Logf("%d policies loaded, %d refused for conflicting claims; %d frames decided by a rule", loaded, refused, byRule)
	if byRule < frames*loaded/10 {
		t.Errorf("only %d of %d frames met a rule: the random policies test too little", byRule, frames*loaded)
	}
}
