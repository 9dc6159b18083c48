package classbench

import (
	"math/rand/v2"
	"testing"
)

func TestFiltersHaveTheProportionsOfTheirSeed(t *testing.T) {
	const n = 5000
	for _, tt := range []struct {
		family  string
		what    string
		percent float64 // of the seed
		within  float64
		counts  func(x *Filter) bool
	}{
		{"acl", "TCP", 87, 5, func(x *Filter) bool { return x.Protocol == 6 }},
		{"acl", "any source port", 100, 0, func(x *Filter) bool { return x.SrcPort == AnyPort }},
		{"acl", "one destination port", 58, 8, func(x *Filter) bool { return x.DstPort.Lo == x.DstPort.Hi }},
		{"acl", "both addresses whole", 73, 8, func(x *Filter) bool { return x.SrcBits == 32 && x.DstBits == 32 }},
		{"fw", "UDP", 32, 8, func(x *Filter) bool { return x.Protocol == 17 }},
		{"fw", "any source address", 62, 12, func(x *Filter) bool { return x.SrcBits == 0 }},
		{"ipc", "any protocol", 34, 8, func(x *Filter) bool { return x.Protocol == 0 }},
		{"ipc", "any source or destination", 12, 4, func(x *Filter) bool { return x.SrcBits == 0 || x.DstBits == 0 }},
	} {
		filters, err := Filters(tt.family, n, rand.New(rand.NewPCG(1, 1)))
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		for i := range filters {
			if tt.counts(&filters[i]) {
				count++
			}
		}
		if got := 100 * float64(count) / n; got < tt.percent-tt.within || got > tt.percent+tt.within {
			t.Errorf("%s: %s: got %.0f %%, want about %.0f %%", tt.family, tt.what, got, tt.percent)
		}
	}
	if _, err := Filters("nat", n, rand.New(rand.NewPCG(1, 1))); err == nil {
		t.Error("an unknown family is no error")
	}
}

func TestFiltersDifferAndTheNarrowerStandFirst(t *testing.T) {
	for _, family := range Families {
		filters, err := Filters(family, 2000, rand.New(rand.NewPCG(2, 2)))
		if err != nil || len(filters) != 2000 {
			t.Fatalf("%s: %d filters, %v", family, len(filters), err)
		}
		for i := range filters {
			x := &filters[i]
			if x.Src&Last(0, x.SrcBits) != 0 || x.Dst&Last(0, x.DstBits) != 0 {
				t.Fatalf("%s: bits behind the prefix: %+v", family, *x)
			}
			for j := range i {
				if x.holds(&filters[j]) && filters[j].holds(x) {
					t.Fatalf("%s: twice: %+v", family, *x)
				}
				if filters[j].holds(x) {
					t.Fatalf("%s: %+v before %+v, which is inside it", family, filters[j], *x)
				}
			}
		}
	}
}

func TestHeadersMeetFilters(t *testing.T) {
	filters, err := Filters("fw", 500, rand.New(rand.NewPCG(3, 3)))
	if err != nil {
		t.Fatal(err)
	}
	const n = 4000
	headers := Headers(filters, n, Locality{1, 1}, rand.New(rand.NewPCG(4, 4)))
	met, repeated := 0, 0
	for i, h := range headers {
		p := Filter{h.Src, h.Dst, 32, 32, Ports{h.SrcPort, h.SrcPort}, Ports{h.DstPort, h.DstPort}, h.Protocol}
		for j := range filters {
			if filters[j].holds(&p) {
				met++
				break
			}
		}
		if i > 0 && h == headers[i-1] {
			repeated++
		}
	}
	if len(headers) != n || met < n/2 {
		t.Errorf("%d of %d headers meet a filter, want most of %d", met, len(headers), n)
	}
	if repeated < n/4 {
		t.Errorf("%d headers are repeated, want a good part", repeated)
	}
}
