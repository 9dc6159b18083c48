package firewall

import (
	"fmt"
	"testing"
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
