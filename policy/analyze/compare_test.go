package analyze_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

func policyOf(unclaimed analyze.Verdict, lists ...analyze.List) analyze.Policy {
	return analyze.Policy{Lists: lists, Unclaimed: unclaimed}
}

func TestChangesAreToldInClasses(t *testing.T) {
	web := service(tcp, 443, 443)
	guests := rule("guests", 1, drop, src("10.1.200.0/24"))
	server := rule("web", 2, accept, dst("10.1.0.10/32"), web)
	office := func(condition string) analyze.Rule {
		r := rule("office", 3, accept, service(tcp, 22, 22))
		r.Partial, r.Condition = true, condition
		return r
	}
	moved := tenant(drop, server)
	moved.Contexts = []space.Product{moved.Contexts[0].With(space.Context, space.Context.Between(0x1000, 0x17ff))}
	tests := []struct {
		name     string
		old, new analyze.Policy
		want     string
	}{
		{"nothing", policyOf(drop, tenant(drop, guests, server)), policyOf(drop, tenant(drop, guests, server)), ``},
		{"an order that does not matter", policyOf(drop, tenant(drop, server, rule("dns", 4, drop, service(udp, 53, 53)))),
			policyOf(drop, tenant(drop, rule("dns", 4, drop, service(udp, 53, 53)), server)), ``},
		{"a rule goes", policyOf(drop, tenant(drop, guests, server)), policyOf(drop, tenant(drop, guests)),
			`context ID 4096-8191, tcp, source not 10.1.200.0/24, destination 10.1.0.10, port 443
  accept by acme/web (rules.hcl:2) -> drop by the default of tenant acme`},
		{"a rule is wider", policyOf(drop, tenant(drop, server)), policyOf(drop, tenant(drop, rule("web", 2, accept, dst("10.1.0.0/24"), web))),
			`context ID 4096-8191, tcp, destination {10.1.0.0-10.1.0.9, 10.1.0.11-10.1.0.255}, port 443
  drop by the default of tenant acme -> accept by acme/web (rules.hcl:2)`},
		{"the order", policyOf(drop, tenant(drop, guests, server)), policyOf(drop, tenant(drop, server, guests)),
			`context ID 4096-8191, tcp, source 10.1.200.0/24, destination 10.1.0.10, port 443
  drop by acme/guests (rules.hcl:1) -> accept by acme/web (rules.hcl:2)`},
		{"the default", policyOf(drop, tenant(drop, guests)), policyOf(drop, tenant(reject, guests)),
			`context ID 4096-8191; except what acme/guests (rules.hcl:1) takes
  drop by the default of tenant acme -> reject by the default of tenant acme`},
		{"the default, with many rules before it", policyOf(drop, tenant(drop, guests, server, rule("ssh", 3, accept, service(tcp, 22, 22)))),
			policyOf(drop, tenant(reject, guests, server, rule("ssh", 3, accept, service(tcp, 22, 22)))),
			`context ID 4096-8191; except what acme/guests (rules.hcl:1), acme/web (rules.hcl:2) and acme/ssh (rules.hcl:3) take
  drop by the default of tenant acme -> reject by the default of tenant acme`},
		{"log alone", policyOf(drop, tenant(drop, server)), policyOf(drop, tenant(drop, rule("web", 2, analyze.Verdict{Action: analyze.Accept, Effect: "log"}, dst("10.1.0.10/32"), web))),
			`context ID 4096-8191, tcp, destination 10.1.0.10, port 443
  accept by acme/web (rules.hcl:2) -> accept (log) by acme/web (rules.hcl:2)`},
		{"a name alone is no change", policyOf(drop, tenant(drop, server)), policyOf(drop, tenant(drop, rule("https", 7, accept, dst("10.1.0.10/32"), web))), ``},
		{"hours", policyOf(drop, tenant(drop, office("08:00-18:00"))), policyOf(drop, tenant(drop, office("08:00-20:00"))),
			`context ID 4096-8191, tcp, port 22
  sometimes accept by acme/office (rules.hcl:3), 08:00-18:00 -> sometimes accept by acme/office (rules.hcl:3), 08:00-20:00`},
		{"contexts", policyOf(drop, tenant(drop, server)), policyOf(drop, moved),
			`context ID 6144-8191, tcp, destination 10.1.0.10, port 443
  accept by acme/web (rules.hcl:2) -> drop, as no tenant claims the context`},
		{"a new tenant", policyOf(drop), policyOf(drop, tenant(drop, server)),
			`context ID 4096-8191, tcp, destination 10.1.0.10, port 443
  drop, as no tenant claims the context -> accept by acme/web (rules.hcl:2)`},
		{"what nobody claims", policyOf(drop, tenant(drop, server)), policyOf(accept, tenant(drop, server)),
			`context ID not 4096-8191
  drop, as no tenant claims the context -> accept, as no tenant claims the context`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			report := analyze.Compare(test.old, test.new, analyze.Budget{})
			for _, c := range report.Changes {
				got = append(got, c.String())
				if !holds(&c, &test.old, &test.new, &c.Example) {
					t.Errorf("example %v is not in its class", c.Example)
				}
			}
			if diff := cmp.Diff(test.want, strings.Join(got, "\n")); diff != "" {
				t.Error(diff)
			}
			if len(report.Unknown) > 0 || report.More > 0 {
				t.Errorf("unknown %v, %d more", report.Unknown, report.More)
			}
		})
	}
}

func TestManyClassesAreCounted(t *testing.T) {
	var rules []analyze.Rule
	for i := range uint64(100) {
		rules = append(rules, rule(fmt.Sprintf("r%d", i), int(i), accept, service(tcp, i, i)))
	}
	report := analyze.Compare(policyOf(drop, tenant(drop)), policyOf(drop, tenant(drop, rules...)), analyze.Budget{})
	if got := len(report.Changes) + report.More; got != 100 || report.More == 0 {
		t.Errorf("%d classes and %d more, want 100", len(report.Changes), report.More)
	}
}

func TestComparingWithoutBudgetNamesWhatIsUnknown(t *testing.T) {
	old := policyOf(drop, tenant(drop, rule("a", 1, accept, service(tcp, 1, 100))))
	report := analyze.Compare(old, policyOf(drop, tenant(drop, rule("b", 2, drop, service(tcp, 7, 7)))), analyze.Budget{PerRule: 1, Total: 1})
	if len(report.Unknown) == 0 || report.Unknown[0].Name != "acme/a" {
		t.Errorf("unknown %v, changes %v", report.Unknown, report.Changes)
	}
}

func TestARuleOfAllTenantsIsOneClass(t *testing.T) {
	shared := rule("no-telnet", 1, drop, service(tcp, 23, 23))
	shared.Shared = true
	var old, new analyze.Policy
	for i := range uint64(20) {
		l := tenant(accept)
		l.Tenant = fmt.Sprintf("t%d", i)
		l.Contexts = []space.Product{l.Contexts[0].With(space.Context, space.Context.Between(i*100, i*100+99))}
		old.Lists = append(old.Lists, l)
		l.Rules = []analyze.Rule{shared}
		new.Lists = append(new.Lists, l)
	}
	report := analyze.Compare(old, new, analyze.Budget{})
	for _, c := range report.Changes {
		if c.New.Rule.Name != "acme/no-telnet" {
			t.Errorf("class %v", c)
		}
	}
	if len(report.Changes) != 1 {
		t.Fatalf("%d classes, want 1: %v", len(report.Changes), report.Changes)
	}
	const want = `context ID 0-1999, tcp, port 23
  accept by the default of tenant t0 and of 19 more -> drop by acme/no-telnet (rules.hcl:1)`
	if got := report.Changes[0].String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
