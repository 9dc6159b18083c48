package firewall

import (
	"fmt"
	"strings"
	"testing"

	"sttwall/reason"
	"sttwall/stt"
)

// Rules files with generated names may be reloaded without end.
func TestCountersOfRulesGoOnUnderTheirNameAndEndWithIt(t *testing.T) {
	b := stateBench(t, 0)
	for i := range 50 {
		b.shared.SetPolicy(compile(t, fmt.Sprintf(`
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "flows" {
  context_ids = [400]
  rule "r%d" {
    action   = "drop"
    services = ["udp/1"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/80"]
  }
}
tenant "t%d" {
  context_ids = [401]
}`, i, i)))
		b.meet(400, "udp 10.0.0.1:1 > 10.0.0.2:1")
		b.meet(400, fmt.Sprintf("tcp 10.0.0.1:%d > 10.0.0.2:80 syn", 1000+i))
	}
	rules, tenants := make(map[string]Tally), make(map[string]Tally)
	b.fw.Tallies(rules, tenants)
	if rules["flows/r49"].Dropped != 1 || rules["flows/web"].Flows != 50 || tenants["flows"].Frames != 100 {
		t.Errorf("%+v %+v", rules, tenants)
	}
	if len(rules) != 2 || len(tenants) != 2 {
		t.Errorf("%d rules and %d tenants are counted, want those in force", len(rules), len(tenants))
	}
}

// A policy comes back before a worker has seen that there was another one.
func TestCountsAreNotLostWhenAPolicyComesBack(t *testing.T) {
	b := newBench(t, benchConfig{})
	first, other := b.shared.Policy(), compile(t, "settings {\n  endpoints = [\"192.0.2.0/24\"]\n}\n"+tenantAll)
	count := func(name string) uint64 {
		rules := make(map[string]Tally)
		b.fw.Tallies(rules, map[string]Tally{})
		return rules[name].Frames
	}
	ssh := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 200}, innerTCP(t, 1000, 22, 10)), 0)
	b.one(reason.RuleDrop, ssh...)
	if got := count("web/no-ssh"); got != 1 {
		t.Errorf("%d frames are counted, want 1", got)
	}
	b.shared.SetPolicy(other)
	if got := count("web/no-ssh"); got != 0 {
		t.Errorf("%d frames are counted for a rule that is gone", got)
	}
	b.shared.SetPolicy(first)
	b.one(reason.RuleDrop, ssh...)
	if got := count("web/no-ssh"); got != 1 {
		t.Errorf("%d frames are counted since it is there again, want 1", got)
	}
}

// A frame that is dropped for what it is gets to no rule and no tenant, and there
// need not be any.
func TestAFrameThatNoRuleSawIsCountedForNone(t *testing.T) {
	const head = "settings {\n  endpoints = [\"192.0.2.0/24\"]\n}\n"
	for _, rules := range []string{head, head + tenantAll, testRules} {
		b := newBench(t, benchConfig{rules: rules})
		lies := sttFrame(stt.FrameHeader{ContextID: 100, L4Offset: 77}, innerUDP(t, 100))
		b.one(reason.L4OffsetMismatch, cut(path(), 5, lies, 0)...)
		if d := &b.events[0].Decision; d.TenantIndex != -1 || d.RuleIndex != -1 {
			t.Errorf("%+v", d)
		}
		counted, tenants := make(map[string]Tally), make(map[string]Tally)
		b.fw.Tallies(counted, tenants)
		for _, tallies := range []map[string]Tally{counted, tenants} {
			for name, n := range tallies {
				if n.Frames != 0 {
					t.Errorf("%s: %+v", name, n)
				}
			}
		}
	}
}

// What stays over a reload is in force since it came; what comes back is new.
func TestSinceWhenRulesAreInForce(t *testing.T) {
	all := compile(t, testRules)
	less := compile(t, strings.Replace(testRules, "no-ssh", "no-telnet", 1))
	var s Since
	s.Put(100, all)
	s.Put(200, less)
	rules, tenants := s.Get()
	s.Put(300, all)
	back, _ := s.Get()
	if tenants["web"] != 100 || len(tenants) != 2 {
		t.Errorf("tenants %v, want both since 100", tenants)
	}
	for _, tt := range []struct {
		since map[string]int64
		rule  string
		want  int64
	}{{rules, "web/http", 100}, {rules, "web/no-telnet", 200}, {back, "web/http", 100}, {back, "web/no-ssh", 300}} {
		if got, there := tt.since[tt.rule]; !there || got != tt.want {
			t.Errorf("%s since %d of %v, want %d", tt.rule, got, tt.since, tt.want)
		}
	}
	if _, there := back["web/no-telnet"]; there {
		t.Error("a rule that is gone is in force")
	}
}
