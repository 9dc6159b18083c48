package firewall

import (
	"fmt"
	"testing"

	"sttwall/conntrack"
	"sttwall/policy"
)

func loadNames(t *testing.T, tenant, rule string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("names.hcl", fmt.Appendf(nil, "tenant %q {\n  context_ids = [1]\n  rule %q {\n    action = \"accept\"\n  }\n}\n", tenant, rule))
	if p == nil {
		t.Fatal(diagnostics)
	}
	return p
}

// What a flow passed by is known by the name that it had then, for so many policies.
func TestAFlowIsNamedByTheRulesThatLetItPass(t *testing.T) {
	ids, err := NewFrameIDFilter(FrameIDConfig{Bits: 10})
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewShared(loadNames(t, "first", "zero"), ids)
	if err != nil {
		t.Fatal(err)
	}
	flow := func(tenant int32) *conntrack.Flow {
		return &conntrack.Flow{Key: conntrack.Key{Tenant: tenant}, Generation: s.Generation()}
	}
	first := flow(0)
	if got := s.Passed(first); got != (Passed{Tenant: "first", Rule: "first/zero"}) {
		t.Errorf("got %+v", got)
	}
	s.SetPolicy(loadNames(t, "second", "one"))
	second := flow(1)
	if got := s.Passed(first); got != (Passed{Tenant: "first", Gone: true, Rule: "first/zero"}) {
		t.Errorf("after another policy: got %+v", got)
	}
	for i := range maxNamed - 1 {
		if got := s.Passed(second); got != (Passed{Tenant: "second", Gone: i > 0, Rule: "second/one"}) {
			t.Errorf("after %d more: got %+v", i, got)
		}
		s.SetPolicy(loadNames(t, "first", fmt.Sprint("more-", i)))
	}
	if got := s.Passed(first); got != (Passed{Tenant: "first"}) {
		t.Errorf("too long ago: got %+v", got)
	}
	if got := s.Passed(second); got.Rule != "second/one" {
		t.Errorf("the oldest that is known: got %+v", got)
	}
	if len(s.named) != maxNamed {
		t.Errorf("%d are remembered", len(s.named))
	}
	audited := flow(0)
	audited.Rule, audited.Mark = -1, markOf(&policy.Decision{Audit: true, WouldBe: policy.Reject, Would: 3})
	if got := s.Passed(audited); got != (Passed{Tenant: "first", Audit: true, WouldBe: policy.Reject, Would: 3}) {
		t.Errorf("in audit mode: got %+v", got)
	}
	for _, wrong := range []*conntrack.Flow{{Key: conntrack.Key{Tenant: 99}, Rule: 1 << 20, Generation: s.Generation()}, {Key: conntrack.Key{Tenant: -1}, Rule: 5}} {
		if got := s.Passed(wrong); got.Tenant != "" || got.Rule != "" {
			t.Errorf("%+v: got %+v", wrong, got)
		}
	}
}
