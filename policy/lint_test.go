package policy

import (
	"math/rand/v2"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/inspect"
	"sttwall/policy/analyze"
	"sttwall/policy/classify"
	"sttwall/policy/internal/plain"
	"sttwall/policy/space"
	"sttwall/reason"
)

// pointOf is a packet as analyses see it.
func pointOf(contextID uint64, f *inspect.Frame, from, to netip.Addr) *space.Point {
	x := new(space.Point)
	set := func(field space.Field, v uint64) { x[field] = space.V(v) }
	set(space.Context, contextID)
	set(space.Datapath, space.NoDatapath)
	set(space.Ingress, space.NoIngress)
	set(space.Egress, space.NoEgress)
	set(space.Family, uint64(f.IP))
	var k classify.Key
	fillKey(&k, f)
	set(space.Kind, uint64(k.Kind))
	set(space.SrcPort, uint64(k.SrcPort))
	set(space.DstPort, uint64(k.DstPort))
	x[space.Src], x[space.Dst] = space.Value{Hi: k.Src[0], Lo: k.Src[1]}, space.Value{Hi: k.Dst[0], Lo: k.Dst[1]}
	set(space.EthSrc, macNumber(f.EthSrc))
	set(space.EthDst, macNumber(f.EthDst))
	vlan, pcp := outerTag(f)
	set(space.VLAN, vlan)
	set(space.PCP, pcp)
	set(space.ARPOperation, space.NoARP)
	if isARP(f) {
		set(space.ARPOperation, uint64(f.ARPOperation))
	}
	set(space.TCPFlags, space.NoFlags)
	if f.HasTCP {
		set(space.TCPFlags, uint64(f.TCPFlags))
	}
	switch fragmentOf(f) {
	case fragmentFirst:
		set(space.Fragment, space.FirstFragment)
	case fragmentLater:
		set(space.Fragment, space.LaterFragment)
	}
	for field, a := range map[space.Field]netip.Addr{space.From: from, space.To: to} {
		if a.IsValid() {
			x[field] = space.Endpoint(a)
		}
	}
	return x
}

// inForm returns a packet as lists of that form see its context ID.
func inForm(form contextForm, ovn bool, x *space.Point) *space.Point {
	y := *x
	if id := x[space.Context].Lo; ovn || form == inParts && id>>ovnBits == 0 {
		y[space.Datapath], y[space.Ingress], y[space.Egress] = space.V(uint64(OVNDatapath(id))), space.V(uint64(OVNIngress(id))), space.V(uint64(OVNEgress(id)))
	}
	return &y
}

// firstOf returns the first rule of a tenant's list that a packet is in.
func firstOf(p *Policy, form contextForm, tenant int32, x *space.Point) string {
	x = inForm(form, p.tenants[tenant].OVN, x)
	for _, r := range p.lists(form)[tenant].Rules {
		for i := range r.Products {
			if r.Products[i].Contains(x) {
				return r.Name
			}
		}
	}
	return ""
}

func TestWhatIsAnalyzedIsWhatIsDecided(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	for loaded := 0; loaded < 100; {
		m, p, text := randomPolicy(r)
		if slices.ContainsFunc(p.lists(byLayout), func(l analyze.List) bool {
			return slices.ContainsFunc(l.Rules, func(r analyze.Rule) bool { return r.Partial })
		}) {
			continue // a time window or a limit: what products do not say
		}
		loaded++
		edges := plain.NewEdges(r, m)
		for range 100 {
			random := edges.Packet()
			k := packetOf(random, decoded(t, r, random))
			d := p.Evaluate(&k)
			if d.TenantIndex < 0 || d.Reason == reason.ContextReserved || d.Reason == reason.TenantEndpoint || d.Reason == reason.BindingDeclared {
				continue
			}
			want := d.Rule
			switch {
			case d.Neighbor:
				want = "neighbour discovery"
			case want == "" && fragmentOf(k.Frame) == fragmentLater:
				want = "later fragments"
			}
			x := pointOf(k.ContextID, k.Frame, k.From, k.To)
			for _, form := range []contextForm{byLayout, inParts} {
				if got := firstOf(p, form, d.TenantIndex, x); got != want {
					t.Fatalf("seed %d, form %d: analysed %q, decided %q for %+v\n%s", seed, form, got, want, random, text)
				}
			}
		}
	}
}

// The same for every condition that the language has.
func TestWhatIsAnalyzedIsWhatIsDecidedByEveryCondition(t *testing.T) {
	p, diags, _ := LoadFile(filepath.Join(rulesDir, "tests", "matching.hcl"))
	if p == nil {
		t.Fatal(diags)
	}
	checked := 0
	for _, test := range p.Tests() {
		for i := range test.Steps {
			s := &test.Steps[i]
			from, to := p.OuterEndpoints(s)
			k := Packet{ContextID: s.ContextID, Frame: &s.Packet.Frame, From: from, To: to, Wall: test.Start.Unix(), Peek: true}
			d := p.Evaluate(&k)
			if strings.Contains(s.Text, ":8") || strings.Contains(s.Text, ":10") {
				continue // a time window, a limit: what products do not say
			}
			want := d.Rule
			if want == "" && fragmentOf(k.Frame) == fragmentLater {
				want = "later fragments"
			}
			if got := firstOf(p, byLayout, d.TenantIndex, pointOf(s.ContextID, k.Frame, from, to)); got != want {
				t.Errorf("%s: analysed %q, decided %q", s.Text, got, want)
			}
			checked++
		}
	}
	if checked < 30 {
		t.Errorf("only %d packets", checked)
	}
}

func TestUnusedGroupsAndServicesAreFound(t *testing.T) {
	p := mustLoad(t, `settings {
  endpoints = ["any"]
}
address_group "used" {
  addresses = [address_group.inside]
}
address_group "inside" {
  addresses = ["10.0.0.1"]
}
address_group "alone" {
  addresses = [address_group.below]
}
address_group "below" {
  addresses = ["10.0.0.2"]
}
service "spare" {
  protocol = "udp"
}
tenant "t" {
  context_ids = [1]
  rule "r" {
    action = "accept"
    source = [for g in [address_group.used] : g]
  }
}`)
	var got []string
	for _, u := range p.Unused() {
		got = append(got, u.String())
	}
	want := "test.hcl:10: address_group.alone is used by no rule\ntest.hcl:13: address_group.below is used by no rule\ntest.hcl:16: service.spare is used by no rule"
	if strings.Join(got, "\n") != want {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestLintNamesRulesAndLines(t *testing.T) {
	p := mustLoad(t, `settings {
  endpoints = ["any"]
}
tenant "t" {
  context_ids = [1]
  rule "all-tcp" {
    action   = "accept"
    services = ["tcp"]
  }
  rule "web" {
    action   = "drop"
    services = ["tcp/80"]
  }
  rule "nothing" {
    action    = "drop"
    services  = ["udp"]
    tcp_flags = ["syn"]
  }
}`)
	var got []string
	for _, f := range p.Lint() {
		if f.Kind.Note() {
			continue
		}
		got = append(got, f.Kind.String()+" "+f.Rule)
		if f.At.Start.Line == 0 || f.Message == "" {
			t.Errorf("%+v", f)
		}
	}
	if strings.Join(got, ", ") != "shadowed t/web, impossible t/nothing" {
		t.Errorf("got %v", got)
	}
}

func TestCompareShowsWhatChanges(t *testing.T) {
	const rules = `settings {
  endpoints = ["any"]
}
tenant "t" {
  context_ids = [1]
  rule "web" {
    action   = "accept"
    services = ["tcp/80-PORT"]
  }
}`
	old, new := mustLoad(t, strings.Replace(rules, "PORT", "90", 1)), mustLoad(t, strings.Replace(rules, "PORT", "91", 1))
	if r := Compare(old, old); len(r.Changes) != 0 {
		t.Errorf("a file against itself: %v", r)
	}
	r := Compare(old, new)
	if len(r.Changes) != 1 || len(r.Unknown) != 0 {
		t.Fatalf("%v", r)
	}
	text := ExampleText(&r.Changes[0].Example)
	description, ok := strings.CutPrefix(text, "context 0x1: ")
	d, err := describe.Parse(description)
	if !ok || err != nil || d.Frame.DstPort != 91 || !d.Frame.HasTCP {
		t.Fatalf("%q: %v", text, err)
	}
	if evaluate(old, 1, &d.Frame).Action == evaluate(new, 1, &d.Frame).Action {
		t.Errorf("%q is decided by both alike", text)
	}
}

// A rule that accepts drops what cannot begin a flow; a default does not.
func TestADefaultIsNoRuleThatAccepts(t *testing.T) {
	const rules = `settings {
  endpoints = ["any"]
}
tenant "t" {
  context_ids    = [1]
  default_action = "accept"
RULE}`
	with := mustLoad(t, strings.Replace(rules, "RULE", "  rule \"ssh\" {\n    action   = \"accept\"\n    services = [\"tcp/22\"]\n  }\n", 1))
	without := mustLoad(t, strings.Replace(rules, "RULE", "", 1))
	for _, f := range with.Lint() {
		if f.Kind != analyze.GatewayNote {
			t.Errorf("%v", f)
		}
	}
	for _, r := range []analyze.Report{Compare(with, without), Compare(without, with)} {
		if len(r.Changes) != 1 {
			t.Errorf("got %v", r.Changes)
		}
	}
}

// An example shows what the class is about, so that explain decides about it as
// check says.
func TestExamplesShowMACsAndEndpoints(t *testing.T) {
	const rules = `settings {
  endpoints = ["10.47.0.0/16"]
}
tenant "t" {
  context_ids = [1]
  rule "r" {
    action = "accept"
    CONDITION
  }
}`
	for _, tt := range []struct{ condition, want string }{
		{`services = ["tcp/80"]`, "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:80 syn"},
		{`source_mac = ["52:54:00:00:00:00/24"]`, "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:443 syn mac 52:54:00:00:00:0a > 02:00:00:00:00:02"},
		{`from_endpoint = ["10.47.1.0/24"]`, "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:443 syn from 10.47.1.10"},
		{`to_endpoint = ["10.47.1.2"]`, "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:443 syn to 10.47.1.2"},
		{`vlan = ["none"]`, "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:443 syn"},
		{"vlan = [\"none\"]\n pcp = [3]", "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:443 syn vlan 0 pcp 3"},
		{"vlan = [\"none\"]\n pcp = [0]", "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:443 syn vlan 0"},
		{"vlan = [7]\n pcp = [3]", "context 0x1: tcp 10.0.0.10:40000 > 10.0.0.20:443 syn vlan 7 pcp 3"},
	} {
		old := mustLoad(t, strings.Replace(strings.Replace(rules, "CONDITION", tt.condition, 1), "accept", "drop", 1))
		new := mustLoad(t, strings.Replace(rules, "CONDITION", tt.condition, 1))
		r := Compare(old, new)
		if len(r.Changes) != 1 {
			t.Fatalf("%s: %v", tt.condition, r.Changes)
		}
		if got := ExampleText(&r.Changes[0].Example); got != tt.want {
			t.Errorf("got %s\nwant %s", got, tt.want)
		}
	}
}
