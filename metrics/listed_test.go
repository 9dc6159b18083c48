package metrics

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"sttwall/firewall"
	"sttwall/policy"
)

func TestOthersAreChosenStablyAndTheirSumNeverFalls(t *testing.T) {
	l := newListed(2)
	counts := map[string]firewall.Tally{}
	look := func(names ...string) (own []string, others uint64) {
		rest := l.choose(names)
		others = l.add(rest, counts).Frames
		return slices.Sorted(maps.Keys(l.labels)), others
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		counts[name] = firewall.Tally{Frames: 10, Bytes: 1000}
	}
	for _, step := range []struct {
		name   string
		before func()
		names  string
		own    string
		others uint64
	}{
		{"the first of the file have their own", nil, "a b c d", "a b", 20},
		{"nothing has happened", nil, "a b c d", "a b", 20},
		{"another order moves none", nil, "d c b a", "a b", 20},
		{"others count", func() { counts["c"] = firewall.Tally{Frames: 15, Bytes: 1500} }, "a b c d", "a b", 25},
		{"one of the others leaves", nil, "a b d", "a b", 25},
		{"and comes back from 0, with more than it had", func() { counts["c"] = firewall.Tally{Frames: 16, Bytes: 16} }, "a b c d", "a b", 41},
		{"one is put before all", func() { counts["n"] = firewall.Tally{Frames: 1} }, "n a b c d", "a b", 42},
		{"a place is free: the first of the others has it, with what it has counted", func() { delete(counts, "a") }, "c n b d", "b c", 42},
		{"what has its own is not added any more", func() { counts["c"] = firewall.Tally{Frames: 100} }, "c n b d", "b c", 42},
		{"a name that is there twice counts once", func() { counts["d"] = firewall.Tally{Frames: 11} }, "c n b d d", "b c", 43},
		{"all are gone", nil, "", "", 43},
	} {
		if step.before != nil {
			step.before()
		}
		own, others := look(strings.Fields(step.names)...)
		if got := strings.Join(own, " "); got != step.own || others != step.others {
			t.Errorf("%s: %q have their own, want %q; others %d, want %d", step.name, got, step.own, others, step.others)
		}
	}
	if len(l.last) != 0 || len(l.taken) != 0 {
		t.Errorf("it remembers who is gone: %v, %v", l.last, l.taken)
	}
}

func TestATallyThatBeganAnewIsAddedWhole(t *testing.T) {
	got := since(firewall.Tally{Frames: 9, Bytes: 90, Flows: 3, Dropped: 1, Audited: 2}, firewall.Tally{Frames: 8, Bytes: 800, Flows: 1, Dropped: 1})
	if want := (firewall.Tally{Frames: 1, Bytes: 90, Flows: 2, Dropped: 0, Audited: 2}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// named are the counts of tenants and rules that a test makes up.
type named struct {
	*core
	rules, tenants map[string]firewall.Tally
}

func (n named) Tallies() (rules, tenants map[string]firewall.Tally) { return n.rules, n.tenants }

// flood is a firewall with so many tenants, a rule each.
func flood(t testing.TB, many int) named {
	t.Helper()
	var text strings.Builder
	text.WriteString("settings {\n endpoints = [\"any\"]\n}\n")
	n := named{rules: map[string]firewall.Tally{}, tenants: map[string]firewall.Tally{}}
	for i := range many {
		fmt.Fprintf(&text, "tenant \"t%05d\" {\n context_ids = [%d]\n rule \"a\" {\n action = \"accept\"\n }\n}\n", i, i)
		name := fmt.Sprintf("t%05d", i)
		n.tenants[name], n.rules[name+"/a"] = firewall.Tally{Frames: 1, Bytes: 10}, firewall.Tally{Frames: 2}
	}
	n.core = newCore(t, text.String())
	return n
}

func TestAFloodOfTenantsAndRulesStaysUnderTheBound(t *testing.T) {
	const many = 10_000
	n := flood(t, many)
	m := newMetrics(t, Config{})
	m.Watch(sourceOf(n))
	before := scrape(t, m)
	if got := before.count("sttwall_tenant_frames_total"); got != DefaultTenants+1 {
		t.Errorf("%d tenants have series, want %d and the others", got, DefaultTenants)
	}
	if got := before.count("sttwall_rule_frames_total"); got != DefaultRules+1 {
		t.Errorf("%d rules have series, want %d and the others", got, DefaultRules)
	}
	if len(before) > 7*(DefaultTenants+1)+5*(DefaultRules+1)+500 {
		t.Errorf("%d series", len(before))
	}
	for series, want := range map[string]float64{
		`sttwall_tenant_frames_total{tenant="t00000"}`:                 1,
		`sttwall_tenant_frames_total{tenant="(others)"}`:               many - DefaultTenants,
		`sttwall_tenant_bytes_total{tenant="(others)"}`:                10 * (many - DefaultTenants),
		`sttwall_rule_frames_total{rule="(others)",tenant="(others)"}`: 2 * (many - DefaultRules),
		`sttwall_unlisted{kind="tenant"}`:                              many - DefaultTenants,
		`sttwall_unlisted{kind="rule"}`:                                many - DefaultRules,
		`sttwall_policy_tenants`:                                       many,
		`sttwall_rule_frames_total{rule="a",tenant="t00999"}`:          2,
	} {
		if before[series] != want {
			t.Errorf("%s: got %v, want %v", series, before[series], want)
		}
	}
	// Traffic of the others changes their sum, and nothing about who they are.
	n.tenants["t09999"] = firewall.Tally{Frames: 1_000_000}
	after := scrape(t, m)
	if len(after) != len(before) || after[`sttwall_tenant_frames_total{tenant="(others)"}`] != many-DefaultTenants+999_999 {
		t.Errorf("%d series, before %d; others %v", len(after), len(before), after[`sttwall_tenant_frames_total{tenant="(others)"}`])
	}
}

func TestLabelsAreUTF8AndNoneTwice(t *testing.T) {
	if policy.ValidName(Others) {
		t.Fatalf("a tenant can be called %s", Others)
	}
	l := newListed(10)
	names := []string{"fine", "a\xff", "a\xfe", "\x1b[31m", Others, "fine"}
	others := l.choose(names)
	if want := []string{"a\xfe", Others}; !slices.Equal(others, want) {
		t.Errorf("others are %q, want %q: their labels are taken", others, want)
	}
	if got := l.labels["a\xff"]; got != "a\uFFFD" {
		t.Errorf("the label is %q", got)
	}
}

// A scrape as Prometheus makes it, with the counters of a real worker.
func BenchmarkScrape(b *testing.B) {
	for _, tenants := range []int{10, 1000, 10_000} {
		b.Run(fmt.Sprintf("tenants=%d", tenants), func(b *testing.B) {
			m := newMetrics(b, Config{})
			m.registry = prometheus.NewRegistry() // not one that checks
			m.registry.MustRegister((*collector)(m))
			m.Watch(sourceOf(flood(b, tenants).core))
			b.ReportAllocs()
			for b.Loop() {
				if status, _ := ask(m, "GET", "/metrics"); status != 200 {
					b.Fatal(status)
				}
			}
		})
	}
}
