package analyze_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

// manyRules is a list as operators write it: most rules allow a service of a
// network, some for a few sources, some deny guests, a few are for all addresses,
// and about one in a hundred is a mistake.
func manyRules(n int) []analyze.Rule {
	r := rand.New(rand.NewPCG(11, 12))
	ports := []uint64{22, 53, 80, 123, 443, 3306, 5432, 6379, 8080, 9090}
	net := func(bits int) string {
		return fmt.Sprintf("10.%d.%d.%d/%d", r.IntN(256), r.IntN(256)&(1<<max(0, min(8, bits-16))-1)<<max(0, 24-bits), r.IntN(256)&^(1<<(32-bits)-1), bits)
	}
	var out []analyze.Rule
	for i := range n {
		port := ports[r.IntN(len(ports))]
		name, v := fmt.Sprintf("r%d", i), accept
		var conditions []func(*space.Product)
		switch p := r.IntN(100); {
		case p < 70:
			conditions = append(conditions, dst(net(24+r.IntN(9))), service(tcp, port, port))
		case p < 85:
			conditions = append(conditions, src(net(24)), dst(net(24)), service(udp, port, port+r.Uint64N(8)))
		case p < 95:
			v = drop
			conditions = append(conditions, src(net(24)), dst(net(16)))
		case p < 97:
			conditions = append(conditions, src(net(28)), kind(1))
		case p < 99:
			v = drop
			conditions = append(conditions, service(tcp, r.Uint64N(1<<16), 1<<16-1), src(net(28)))
		default:
			if i > 0 {
				out = append(out, out[r.IntN(i)])
				out[i].Name, out[i].At = "acme/"+name, at("rules.hcl", i+1)
				continue
			}
		}
		out = append(out, rule(name, i+1, v, conditions...))
	}
	return append(out, rule("rest", n+1, drop, anyIP))
}

func BenchmarkLint(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		list := tenant(drop, manyRules(n)...)
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			counts := map[analyze.Kind]int{}
			for b.Loop() {
				clear(counts)
				for _, f := range analyze.Lint([]analyze.List{list}, analyze.Budget{}) {
					counts[f.Kind]++
				}
			}
			b.ReportMetric(float64(counts[analyze.Shadowed]), "shadowed")
			b.ReportMetric(float64(counts[analyze.NotAnalyzed]), "unknown")
		})
	}
}

func BenchmarkCompare(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		rules := manyRules(n)
		edited := slices.Clone(rules)
		edited = slices.Delete(edited, n/3, n/3+5)
		edited = slices.Insert(edited, n/2, rule("new", n+2, drop, dst("10.20.0.0/16")))
		edited[0], edited[n/4] = edited[n/4], edited[0]
		old, new := policyOf(drop, tenant(drop, rules...)), policyOf(drop, tenant(drop, edited...))
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			var report analyze.Report
			for b.Loop() {
				report = analyze.Compare(old, new, analyze.Budget{})
			}
			b.ReportMetric(float64(len(report.Changes)), "classes")
			b.ReportMetric(float64(len(report.Unknown)), "unknown")
		})
	}
}

func BenchmarkTenants(b *testing.B) {
	for _, n := range []int{100, 10000} {
		lists := make([]analyze.List, n)
		for i := range lists {
			lists[i] = tenant(drop, manyRules(5)...)
			lists[i].Tenant = fmt.Sprintf("t%d", i)
			lists[i].Contexts = []space.Product{lists[i].Contexts[0].With(space.Context, space.Context.Between(uint64(i)*16, uint64(i)*16+15))}
		}
		b.Run(fmt.Sprintf("tenants=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			changed := slices.Clone(lists)
			changed[n/2].Default = reject
			var report analyze.Report
			for b.Loop() {
				report = analyze.Compare(policyOf(drop, lists...), policyOf(drop, changed...), analyze.Budget{})
			}
			b.ReportMetric(float64(len(report.Changes)), "classes")
		})
	}
}
