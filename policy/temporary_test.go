package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/reason"
)

const temporaryRules = `
settings {
  endpoints = ["any"]
}
address_group "web" {
  addresses = ["10.0.0.1"]
}
before_tenants {
  rule "no-telnet" {
    action   = "drop"
    services = ["tcp/23"]
  }
}
tenant "acme" {
  context_ids = [1]
  endpoints   = ["10.47.0.1"]
  rule "slow" {
    action   = "accept"
    services = ["udp/53"]
    limit {
      rate  = "1/day"
      burst = 3
    }
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/443"]
  }
}
tenant "trial" {
  context_ids = [2]
  mode        = "audit"
}
`

// decide evaluates a described packet that comes from where acme's may.
func decide(t *testing.T, p *Policy, context uint64, wall int64, text string) Decision {
	t.Helper()
	d, err := describe.Parse(text + " from 10.47.0.1")
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(&Packet{ContextID: context, Frame: &d.Frame, From: d.From, To: d.To, Wall: wall})
}

func withTemporary(t testing.TB, p *Policy, rules ...Temporary) *Policy {
	t.Helper()
	q, errs := p.WithTemporary(rules)
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
	return q
}

func TestTemporaryRulesAreTheFirstToBeTried(t *testing.T) {
	p := mustLoad(t, temporaryRules)
	block := Temporary{Name: "b", Pattern: "any > any", Expires: 10}
	allow := Temporary{Name: "a", Action: Accept, Pattern: "tenant:acme tcp any > any:23", Expires: 10}
	reject := Temporary{Name: "r", Action: Reject, Pattern: "tcp any > web:443", Expires: 10}
	for _, tt := range []struct {
		name    string
		rules   []Temporary
		context uint64
		packet  string
		rule    string
		reason  reason.Reason
	}{
		{"without any the file decides", nil, 1, "tcp 10.0.0.9:1 > 10.0.0.1:23", "before_tenants/no-telnet", reason.RuleDrop},
		{"before before_tenants", []Temporary{allow}, 1, "tcp 10.0.0.9:1 > 10.0.0.1:23", "temporary/a", reason.None},
		{"for its tenant alone", []Temporary{allow}, 2, "tcp 10.0.0.9:1 > 10.0.0.1:23", "before_tenants/no-telnet", reason.None},
		{"in their order", []Temporary{allow, block}, 1, "tcp 10.0.0.9:1 > 10.0.0.1:23", "temporary/a", reason.None},
		{"and in the other", []Temporary{block, allow}, 1, "tcp 10.0.0.9:1 > 10.0.0.1:23", "temporary/b", reason.RuleDrop},
		{"with the groups of the file", []Temporary{reject}, 1, "tcp 10.0.0.9:1 > 10.0.0.1:443", "temporary/r", reason.RuleReject},
		{"and not beyond them", []Temporary{reject}, 1, "tcp 10.0.0.9:1 > 10.0.0.2:443", "acme/web", reason.None},
		{"before neighbour discovery", []Temporary{{Name: "n", Pattern: "arp any > any", Expires: 10}}, 1, "arp request 10.0.0.9 > 10.0.0.1", "temporary/n", reason.RuleDrop},
		{"in an audit tenant too", []Temporary{block}, 2, "tcp 10.0.0.9:1 > 10.0.0.1:443", "temporary/b", reason.RuleDrop},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := decide(t, withTemporary(t, p, tt.rules...), tt.context, 9, tt.packet)
			if d.Rule != tt.rule || d.Reason != tt.reason {
				t.Errorf("got %q, %v, want %q, %v", d.Rule, d.Reason, tt.rule, tt.reason)
			}
		})
	}
}

func TestATemporaryAllowOpensNoForeignEndpoint(t *testing.T) {
	p := withTemporary(t, mustLoad(t, temporaryRules), Temporary{Name: "a", Action: Accept, Pattern: "any > any", Expires: 10})
	d, err := describe.Parse("tcp 10.0.0.9:1 > 10.0.0.1:443 from 10.47.0.2")
	if err != nil {
		t.Fatal(err)
	}
	got := p.Evaluate(&Packet{ContextID: 1, Frame: &d.Frame, From: d.From})
	if got.Action == Accept || got.Reason != reason.TenantEndpoint {
		t.Errorf("%+v", got)
	}
	if got = p.Evaluate(&Packet{ContextID: 9, Frame: &d.Frame, From: d.From}); got.Action == Accept || got.Reason != reason.ContextUnknown {
		t.Errorf("a context of nobody: %+v", got)
	}
}

func TestATemporaryRuleHoldsUntilItsSecond(t *testing.T) {
	p := withTemporary(t, mustLoad(t, temporaryRules),
		Temporary{Name: "b", Pattern: "tcp any > any:443", Expires: 200},
		Temporary{Name: "d", Pattern: "tcp any > any:445", Expires: 300},
		Temporary{Name: "a", Action: Accept, Pattern: "tcp any > any:80", Expires: 100},
		Temporary{Name: "c", Pattern: "tcp any > any:444", Expires: 100})
	for _, tt := range []struct {
		wall      int64
		http, web bool
	}{{99, true, false}, {100, false, false}, {199, false, false}, {200, false, true}, {1 << 40, false, true}} {
		if got := decide(t, p, 1, tt.wall, "tcp 10.0.0.9:1 > 10.0.0.1:80").Action == Accept; got != tt.http {
			t.Errorf("at %d the allowed port: got %t", tt.wall, got)
		}
		if got := decide(t, p, 1, tt.wall, "tcp 10.0.0.9:1 > 10.0.0.1:443").Action == Accept; got != tt.web {
			t.Errorf("at %d the blocked port: got %t", tt.wall, got)
		}
	}
	// What was decided is judged again when one has expired, and then only.
	at := func(wall int64) uint64 { return p.WindowsAt(wall) }
	if at(0) != at(99) || at(99) == at(100) || at(100) != at(199) || at(199) == at(200) || at(99) == at(200) ||
		at(200) != at(299) || at(299) == at(300) || at(300) != at(1<<40) {
		t.Errorf("windows: %x %x %x %x %x %x", at(0), at(99), at(100), at(199), at(200), at(300))
	}
}

func TestTokenBucketsGoOnCounting(t *testing.T) {
	p := mustLoad(t, temporaryRules)
	const packet = "udp 10.0.0.9:1 > 10.0.0.1:53"
	passes := func(p *Policy) bool { return decide(t, p, 1, 9, packet).Action == Accept }
	if !passes(p) {
		t.Fatal("the bucket is empty at once")
	}
	q := withTemporary(t, p, Temporary{Name: "a", Pattern: "tcp any > any", Expires: 10})
	if !passes(q) || !passes(p) {
		t.Error("tokens are gone before their time")
	}
	if passes(q) || passes(withTemporary(t, q)) || passes(p) {
		t.Error("a temporary rule has filled the bucket again")
	}
}

func TestWhatIsNoTemporaryRuleIsLeftOutAndTheOthersStay(t *testing.T) {
	p := mustLoad(t, temporaryRules)
	rules := []Temporary{
		{Name: "good", Pattern: "any > any", Expires: 10},
		{Name: "good", Pattern: "tcp any > any", Expires: 10},
		{Name: "9", Pattern: "any > any", Expires: 10},
		{Name: "bad", Pattern: "tenant:gone any > any", Expires: 10},
		{Name: "bad", Pattern: "any > any", Expires: 10},
		{Name: "last", Pattern: "udp any > any", Expires: 10},
	}
	q, errs := p.WithTemporary(rules)
	for i, want := range []string{"", `expected another name: there is a temporary rule "good"`, "expected a name of 1 to 64 letters",
		`column 1: expected a tenant of the rules file; there is no "gone"`, `expected another name: there is a temporary rule "bad"`, ""} {
		if (want == "") != (errs[i] == nil) || errs[i] != nil && !strings.HasPrefix(errs[i].Error(), want) {
			t.Errorf("rule %d: %v, want %s", i, errs[i], want)
		}
	}
	if got, want := q.Rules(), append(p.Rules(), "temporary/good", "temporary/last"); !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := withTemporary(t, q).Rules(); !slices.Equal(got, p.Rules()) {
		t.Errorf("after they are gone: %v", got)
	}
}

func TestTemporaryRulesAreBounded(t *testing.T) {
	p := mustLoad(t, temporaryRules)
	rules := make([]Temporary, MaxTemporary+2)
	for i := range rules {
		rules[i] = Temporary{Name: fmt.Sprintf("t%d", i), Pattern: fmt.Sprintf("udp any > any:%d", i), Expires: 10}
	}
	q, errs := p.WithTemporary(rules)
	for i, err := range errs {
		if (err != nil) != (i >= MaxTemporary) {
			t.Fatalf("rule %d: %v", i, err)
		}
	}
	if got, want := len(q.Rules()), len(p.Rules())+MaxTemporary; got != want {
		t.Errorf("%d rules, want %d", got, want)
	}
	if d := decide(t, q, 1, 9, fmt.Sprintf("udp 10.0.0.9:1 > 10.0.0.1:%d", MaxTemporary-1)); d.Rule != fmt.Sprintf("temporary/t%d", MaxTemporary-1) {
		t.Errorf("the last one: %+v", d)
	}
}

// Whatever was in force before, the same list gives the same policy.
func TestAListMeansTheSameHoweverItCameAbout(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	base := mustLoad(t, patternRules)
	p := base
	var rules []Temporary
	for round := range 200 {
		if n := len(rules); n > 5 || n > 0 && r.IntN(3) == 0 {
			i := r.IntN(n)
			rules = slices.Delete(slices.Clone(rules), i, i+1)
		} else {
			text, _ := randomPattern(r)
			// Names come back with another meaning, at once or later.
			name := fmt.Sprintf("t%d", r.IntN(8))
			rules = slices.DeleteFunc(slices.Clone(rules), func(t Temporary) bool { return t.Name == name })
			rules = append([]Temporary{{Name: name, Action: Action(r.IntN(3)), Pattern: text, Expires: int64(r.IntN(20))}}, rules...)
		}
		p = withTemporary(t, p, rules...)
		fresh := withTemporary(t, base, rules...)
		for range 50 {
			v := randomView(r)
			k := &Packet{ContextID: v.context, Frame: v.Frame, From: v.from, To: v.to, Wall: int64(r.IntN(20))}
			if got, want := p.Evaluate(k), fresh.Evaluate(k); got != want {
				t.Fatalf("seed %d, round %d: got %+v, want %+v", seed, round, got, want)
			}
			// And explaining finds the same rule.
			x, by := p.Explain(k), ""
			for _, s := range x.Rules {
				if s.Matched {
					by = s.Rule
				}
			}
			if by != x.Decision.Rule {
				t.Fatalf("seed %d: explained by %q, decided by %q", seed, by, x.Decision.Rule)
			}
		}
		if p.WindowsAt(7) != fresh.WindowsAt(7) || !slices.Equal(p.Rules(), fresh.Rules()) {
			t.Fatalf("seed %d: %v and %v", seed, p.Rules(), fresh.Rules())
		}
	}
}

func TestExplainShowsTemporaryRulesInTheirPlace(t *testing.T) {
	p := withTemporary(t, mustLoad(t, temporaryRules),
		Temporary{Name: "a", Pattern: "tenant:trial any > any", Expires: 100},
		Temporary{Name: "b", Pattern: "context:2 any > any", Expires: 100},
		Temporary{Name: "c", Pattern: "any > any", Expires: 50},
		Temporary{Name: "d", Pattern: "tcp any > 10.0.0.7:443", Expires: 100},
		Temporary{Name: "e", Pattern: "tcp any:7 > any:443", Expires: 100},
		Temporary{Name: "f", Pattern: "tcp any > any:443 syn", Expires: 100})
	d, err := describe.Parse("tcp 10.0.0.9:1 > 10.0.0.1:443 from 10.47.0.1")
	if err != nil {
		t.Fatal(err)
	}
	x := p.Explain(&Packet{ContextID: 1, Frame: &d.Frame, From: d.From, Wall: 50})
	want := []RuleStep{
		{Rule: "temporary/a", Pattern: "tenant:trial any > any", Condition: "tenant", Want: "trial", Got: "acme"},
		{Rule: "temporary/b", Pattern: "context:2 any > any", Condition: "context_id", Want: "0x2", Got: "0x1"},
		{Rule: "temporary/c", Pattern: "any > any", Condition: "time", Want: "until 1970-01-01T00:00:50Z", Got: "of a later time"},
		{Rule: "temporary/d", Pattern: "tcp any > 10.0.0.7:443", Condition: "destination", Want: `["10.0.0.7"]`, Got: "10.0.0.1"},
		{Rule: "temporary/e", Pattern: "tcp any:7 > any:443", Condition: "services", Want: `[service.e]`, Got: "tcp/443 from port 1, flags ack"},
		{Rule: "temporary/f", Pattern: "tcp any > any:443 syn", Condition: "tcp_flags", Want: `["syn"]`, Got: "ack"},
		{Rule: "before_tenants/no-telnet", File: "test.hcl", Line: 9, Condition: "services", Want: `["tcp/23"]`, Got: "tcp/443 from port 1, flags ack"},
		{Rule: "acme/slow", File: "test.hcl", Line: 17, Condition: "services", Want: `["udp/53"]`, Got: "tcp/443 from port 1, flags ack"},
		{Rule: "acme/web", File: "test.hcl", Line: 25, Matched: true},
	}
	if !slices.Equal(x.Rules, want) {
		t.Errorf("got %+v\nwant %+v", x.Rules, want)
	}
}

func TestATemporaryRuleIsShownAsTheFileWouldHaveIt(t *testing.T) {
	p := withTemporary(t, mustLoad(t, temporaryRules), Temporary{Name: "x", Action: Reject, Pattern: "udp 10.0.0.9:53 <> 10.0.0.7", Expires: 1})
	want := []string{"rule \"x\" {\n  action = \"reject\"\n  mode = \"enforce\"\n  source = [\"10.0.0.9\"]\n  destination = [\"10.0.0.7\"]\n  services = [service.x]\n}",
		"rule \"x\" {\n  action = \"reject\"\n  mode = \"enforce\"\n  source = [\"10.0.0.7\"]\n  destination = [\"10.0.0.9\"]\n  services = [\"udp/53\"]\n}"}
	if n := p.FileRules(); n+len(want) != len(p.Rules()) {
		t.Fatalf("%d rules of the file, %d in all", n, len(p.Rules()))
	}
	for i, want := range want {
		text, filename, line := p.RuleText(int32(p.FileRules() + i))
		if text != want || filename != "" || line != 0 {
			t.Errorf("got %s:%d %s\nwant %s", filename, line, text, want)
		}
	}
}

func TestLintAndComparisonAreAboutTheFile(t *testing.T) {
	p := mustLoad(t, temporaryRules)
	q := withTemporary(t, p, Temporary{Name: "a", Action: Accept, Pattern: "any > any", Expires: 100})
	if a, b := fmt.Sprint(p.Lint()), fmt.Sprint(q.Lint()); a != b {
		t.Errorf("lint: %s and %s", a, b)
	}
	if changes := Compare(p, q).Changes; len(changes) > 0 {
		t.Errorf("changes: %v", changes)
	}
}

func TestTemporaryRulesCostNoMemoryOnAPacketsWay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	rules := make([]Temporary, 100)
	for i := range rules {
		text, _ := randomPattern(r)
		rules[i] = Temporary{Name: fmt.Sprintf("t%d", i), Pattern: text, Expires: int64(50 + i%2*100)}
	}
	p := withTemporary(t, mustLoad(t, patternRules), rules...)
	var s steady
	s.packet.Wall = 99
	for range 200 {
		v := randomView(r)
		s.packet.From, s.packet.To = v.from, v.to
		if n := testing.AllocsPerRun(20, func() {
			s.evaluate(p, v.context, v.Frame)
			p.WindowsAt(99)
		}); n != 0 {
			t.Fatalf("%v allocations for %+v", n, v.Frame)
		}
	}
}

// A reload compiles all, a change what has changed.
func BenchmarkWithTemporary(b *testing.B) {
	rules := make([]Temporary, MaxTemporary)
	for i := range rules {
		rules[i] = Temporary{Name: fmt.Sprintf("t%d", i), Pattern: fmt.Sprintf("tenant:globex tcp 10.0.0.%d > web:%d", i%256, i), Expires: 100}
	}
	base := mustLoad(b, patternRules)
	for _, of := range []struct {
		name string
		p    *Policy
	}{{"reload", base}, {"change", withTemporary(b, base, rules[1:]...)}} {
		b.Run(of.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				withTemporary(b, of.p, rules...)
			}
		})
	}
}

// The worst of a full list: rules of other tenants that only their scope tells
// apart, and none of them matches.
func BenchmarkTemporary(b *testing.B) {
	for _, n := range []int{0, 10, MaxTemporary} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			rules := make([]Temporary, n)
			for i := range rules {
				rules[i] = Temporary{Name: fmt.Sprintf("t%d", i), Pattern: "tenant:globex any > any", Expires: 100}
			}
			p := withTemporary(b, mustLoad(b, patternRules), rules...)
			d, err := describe.Parse("tcp 10.0.0.9:1 > 10.0.0.1:443")
			if err != nil {
				b.Fatal(err)
			}
			var s steady
			b.ReportAllocs()
			for b.Loop() {
				s.evaluate(p, 1, &d.Frame)
			}
		})
	}
}
