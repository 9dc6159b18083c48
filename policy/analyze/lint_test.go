package analyze_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

const tcp, udp = 6, 17

func TestFindingsSayWhatIsWrongAndWhere(t *testing.T) {
	web := service(tcp, 443, 443)
	partial := func(r analyze.Rule) analyze.Rule {
		r.Partial, r.Condition = true, "mon-fri 08:00-18:00"
		return r
	}
	implicit := func(r analyze.Rule) analyze.Rule {
		r.Implicit = true
		return r
	}
	tests := []struct {
		name string
		list analyze.List
		want string
	}{
		{"a rule inside an earlier one of another action never matches", tenant(drop,
			rule("guests", 3, drop, src("10.1.200.0/24")),
			rule("printer", 7, accept, src("10.1.200.9/32"), web)),
			`7 shadowed: rule acme/printer never matches: acme/guests (rules.hcl:3) takes every packet that it is for. It does not accept.`},
		{"two rules together shadow a third, and a fourth that is not needed is not named", tenant(drop,
			rule("low", 1, drop, service(tcp, 0, 1023)),
			rule("some", 2, drop, service(tcp, 22, 22)),
			rule("high", 3, drop, service(tcp, 1024, 65535)),
			rule("later", 4, drop, kind(tcp), field(space.Fragment, space.Fragment.Values(space.LaterFragment))),
			rule("tcp", 5, accept, kind(tcp))),
			`2 shadowed: rule acme/some never matches: acme/low (rules.hcl:1) takes every packet that it is for.
5 shadowed: rule acme/tcp never matches: together, earlier rules take every packet that it is for: acme/low (rules.hcl:1), acme/high (rules.hcl:3) and acme/later (rules.hcl:4). They do not accept.`},
		{"a rule that a later wider one repeats is redundant", tenant(drop,
			rule("one", 2, accept, dst("10.1.0.10/32"), web),
			rule("all", 5, accept, dst("10.1.0.0/24"), web)),
			`2 redundant: rule acme/one is redundant: without it, acme/all (rules.hcl:5) would decide its packets in the same way (accept).`},
		{"a drop before a default drop is redundant if nothing in between accepts", tenant(drop,
			rule("web", 2, accept, web), rule("telnet", 3, drop, service(tcp, 23, 23))),
			`3 redundant: rule acme/telnet is redundant: without it, the default (drop) would decide its packets in the same way (drop).`},
		{"it is not where a drop stands in between", tenant(drop,
			rule("one", 2, accept, dst("10.1.0.10/32"), web),
			rule("not-now", 3, drop, dst("10.1.0.10/32")),
			rule("all", 5, accept, dst("10.1.0.0/24"))),
			``},
		{"nor where the later one logs", tenant(drop,
			rule("one", 2, accept, dst("10.1.0.10/32"), web),
			rule("all", 5, analyze.Verdict{Action: analyze.Accept, Effect: "log"}, dst("10.1.0.0/24"), web)),
			``},
		{"of two equal rules the later one never matches", tenant(drop,
			rule("a", 2, accept, web), rule("b", 3, accept, web)),
			`3 shadowed: rule acme/b never matches: acme/a (rules.hcl:2) takes every packet that it is for.`},
		{"a rule with a time window shadows nothing", tenant(drop,
			partial(rule("office", 2, accept, web)), rule("always", 3, accept, web)),
			`2 redundant: rule acme/office is redundant: without it, acme/always (rules.hcl:3) would decide its packets in the same way (accept).`},
		{"an accept of every IP packet", tenant(drop,
			rule("any", 4, accept, anyIP)),
			`4 accept_all: rule acme/any accepts every IP packet that no earlier rule takes; rules and default after it do nothing for IP.`},
		{"an accept of IPv4 alone is none", tenant(drop, rule("any4", 4, accept, dst("0.0.0.0/0"))), ``},
		{"TCP flags with UDP", tenant(drop,
			rule("syn", 9, accept, service(udp, 53, 53), field(space.TCPFlags, space.MaskedFlags(2, 2)))),
			`9 impossible: rule acme/syn can match no packet: nothing is at once udp and TCP flags syn.`},
		{"a VLAN without a priority", tenant(drop,
			rule("voice", 9, accept, anyIP, field(space.VLAN, space.VLAN.Values(5)), field(space.PCP, space.PCP.Values(space.NoPriority)))),
			`9 impossible: rule acme/voice can match no packet: nothing is at once VLAN 5 and PCP none.`},
		{"ICMPv6 to an IPv4 address", tenant(drop, rule("ping", 9, accept, dst("10.0.0.0/8"), kind(58))),
			`9 impossible: rule acme/ping can match no packet: nothing is at once IPv4 and icmpv6.`},
		{"an OVN port in a tenant of the plain layout", tenant(drop,
			rule("port", 9, accept, field(space.Ingress, space.Ingress.Values(4)))),
			`9 impossible: rule acme/port can match no packet: no packet of the tenant is of that kind.`},
		{"a VLAN that is none", tenant(drop,
			rule("vlan", 9, accept, field(space.VLAN, space.Nothing()))),
			`9 impossible: rule acme/vlan can match no packet: its VLAN can have no value at all.`},
		{"no packets at all", tenant(drop, analyze.Rule{Name: "acme/none", At: rule("none", 9, accept).At}),
			`9 impossible: rule acme/none can match no packet: its conditions leave nothing.`},
		{"an exception before a general rule is fine", tenant(drop,
			rule("not-this-one", 1, drop, dst("10.1.0.10/32"), service(tcp, 0, 65535)),
			rule("net", 2, accept, dst("10.1.0.0/24"), service(tcp, 0, 65535))),
			``},
		{"rules of different actions that cross are noted", tenant(drop,
			rule("guests", 1, drop, src("10.1.200.0/24")),
			rule("web", 2, accept, dst("10.1.0.10/32"), web)),
			`2 crossing: rule acme/web (accept) shares some packets, not all, with 1 earlier rule of another action: acme/guests (rules.hcl:1). The earlier one decides them.`},
		{"they are not where others take what they share", tenant(reject,
			rule("first", 1, accept, src("10.1.200.0/24"), dst("10.1.0.10/32")),
			rule("guests", 2, drop, src("10.1.200.0/24")),
			rule("web", 3, accept, dst("10.1.0.10/32"), web)),
			``},
		{"nothing is said about rules that nobody wrote", tenant(drop,
			rule("all", 1, reject, anyIP), implicit(rule("nd", 0, accept, kind(58)))),
			``},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got []string
			for _, f := range analyze.Lint([]analyze.List{test.list}, analyze.Budget{}) {
				got = append(got, fmt.Sprintf("%d %v: %s", f.At.Start.Line, f.Kind, f.Message))
			}
			if diff := cmp.Diff(test.want, strings.Join(got, "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestNotesOfCrossingRulesAreBounded(t *testing.T) {
	var rules []analyze.Rule
	for i := range 9 {
		rules = append(rules, rule(fmt.Sprintf("guests-%d", i), 1+i, drop, src(fmt.Sprintf("10.%d.0.0/16", i))))
	}
	rules = append(rules, rule("web", 20, accept, dst("10.1.0.10/32")))
	found := analyze.Lint([]analyze.List{tenant(reject, rules...)}, analyze.Budget{})
	if len(found) != 1 || len(found[0].Others) != 4 || !strings.Contains(found[0].Message, "with 9 earlier rules") || !strings.Contains(found[0].Message, "and 5 more") {
		t.Errorf("findings %v", found)
	}
}

func TestSharedRulesAreReportedIfAllTenantsAgree(t *testing.T) {
	first := rule("no-telnet", 1, drop, service(tcp, 23, 23))
	first.Shared = true
	last := rule("no-rsh", 90, drop, service(tcp, 514, 514))
	last.Shared = true
	one := tenant(accept, first, rule("tcp", 10, reject, service(tcp, 0, 65535)), last)
	two := tenant(accept, first, rule("web", 20, reject, service(tcp, 443, 443)), last)
	if found := analyze.Lint([]analyze.List{one, two}, analyze.Budget{}); len(found) != 0 {
		t.Errorf("a rule of use in one tenant: %v", found)
	}
	two.Rules[1] = rule("all", 20, reject, service(tcp, 0, 1023))
	found := analyze.Lint([]analyze.List{one, two}, analyze.Budget{})
	const want = "rule acme/no-rsh never matches in any tenant: earlier rules take every packet that it is for: acme/tcp (rules.hcl:10) and acme/all (rules.hcl:20)."
	if len(found) != 1 || found[0].Message != want {
		t.Errorf("got %v\nwant %s", found, want)
	}
}

func TestASpentBudgetIsSaid(t *testing.T) {
	list := tenant(drop, rule("a", 1, accept, service(tcp, 1, 100)), rule("b", 2, accept, service(tcp, 50, 60)))
	found := analyze.Lint([]analyze.List{list}, analyze.Budget{PerRule: 1, Total: 1})
	const want = "2 rules were not analysed to the end, since they overlap with too many others: acme/a (rules.hcl:1) and acme/b (rules.hcl:2)."
	if len(found) != 1 || found[0].Kind != analyze.NotAnalyzed || found[0].Message != want || !found[0].Kind.Note() {
		t.Errorf("got %v\nwant %s", found, want)
	}
}
