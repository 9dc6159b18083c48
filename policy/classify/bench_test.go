package classify

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"sttwall/policy/classify/classbench"
)

// ofClassbench makes rules and keys of a ClassBench family.
func ofClassbench(b testing.TB, family string, n int) ([]Rule, []Key) {
	filters, err := classbench.Filters(family, n, rand.New(rand.NewPCG(1, uint64(n))))
	if err != nil {
		b.Fatal(err)
	}
	prefix := func(address uint32, bits int) *Addresses {
		if bits == 0 {
			return nil
		}
		return &Addresses{V4: []Range4{{address, classbench.Last(address, bits)}}}
	}
	ports := func(p classbench.Ports) (lo, hi uint32) {
		if p == classbench.AnyPort {
			return 0, Absent
		}
		return uint32(p.Lo), uint32(p.Hi)
	}
	rules := make([]Rule, n)
	for i, f := range filters {
		s := Service{KindLo: uint32(f.Protocol), KindHi: uint32(f.Protocol)}
		if f.Protocol == 0 {
			s.KindHi = 255
		}
		s.SrcLo, s.SrcHi = ports(f.SrcPort)
		s.DstLo, s.DstHi = ports(f.DstPort)
		rules[i] = Rule{Src: prefix(f.Src, f.SrcBits), Dst: prefix(f.Dst, f.DstBits), Services: []Service{s}}
	}
	var keys []Key
	for _, h := range classbench.Headers(filters, 8192, classbench.LowLocality, rand.New(rand.NewPCG(2, uint64(n)))) {
		keys = append(keys, Key{Family: 4, Src: [2]uint64{0, uint64(h.Src)}, Dst: [2]uint64{0, uint64(h.Dst)}, Kind: uint32(h.Protocol),
			SrcPort: uint32(h.SrcPort), DstPort: uint32(h.DstPort)})
	}
	return rules, keys
}

func BenchmarkFirst(b *testing.B) {
	sizes := []int{10, 100, 1000, 10000}
	for _, n := range sizes {
		rules, keys := realistic(n)
		benchmarkFirst(b, fmt.Sprintf("rules=%d", n), rules, keys)
	}
	for _, family := range classbench.Families {
		for _, n := range sizes {
			rules, keys := ofClassbench(b, family, n)
			benchmarkFirst(b, fmt.Sprintf("family=%s/rules=%d", family, n), rules, keys)
		}
	}
}

func benchmarkFirst(b *testing.B, name string, rules []Rule, keys []Key) {
	b.Run(name, func(b *testing.B) {
		m := New(rules)
		b.ReportAllocs()
		b.ReportMetric(float64(m.Memory())/float64(len(rules)), "B/rule")
		i := 0
		for b.Loop() {
			m.First(&keys[i&8191], 0, nil)
			i++
		}
	})
}

func BenchmarkNew(b *testing.B) {
	rules, _ := realistic(100_000)
	b.ReportAllocs()
	for b.Loop() {
		m := New(rules)
		runtime.KeepAlive(m)
	}
}
