package policy

import (
	"slices"
	"testing"

	"sttwall/policy/classify"
)

// manyBoxes are rules for a destination each.
func manyBoxes(n int) (rules []classify.Rule) {
	for i := range uint32(n) {
		rules = append(rules, classify.Rule{
			Dst:      &classify.Addresses{V4: []classify.Range4{{Lo: 10<<24 | i<<8, Hi: 10<<24 | i<<8 | 255}}},
			Services: []classify.Service{{KindLo: 6, KindHi: 6, SrcHi: classify.Absent, DstHi: 65535}},
		})
	}
	return rules
}

func TestExpectPaysWhereContextIDsAreManyOnly(t *testing.T) {
	const most = exactInCache*exactLoad - 1
	for _, tt := range []struct {
		tenants, contexts int
		cold              bool
	}{{10, 10, false}, {10, most, false}, {10, most + 1, true}, {tenantsInCache, tenantsInCache, false}, {tenantsInCache + 1, tenantsInCache + 1, true}} {
		if p := manyContexts(t, tt.tenants, tt.contexts); p.Cold() != tt.cold {
			t.Errorf("%d tenants, %d context IDs: cold is %t", tt.tenants, tt.contexts, p.Cold())
		}
	}
}

func TestToExpectContextIDsAllocatesAndChangesNothing(t *testing.T) {
	for _, size := range []struct{ tenants, contexts int }{{10, 0}, {10, 10}, {10, exactInCache * exactLoad}, {tenantsInCache + 1, exactInCache * exactLoad}} {
		p := manyContexts(t, size.tenants, size.contexts)
		// A tenant without rules, and one with enough for a tree.
		p.tenants[1].rules = ruleList{}
		p.tenants[2].rules.matcher = classify.New(manyBoxes(300))
		ids := make([]uint64, 0, 3*expectAtOnce)
		for id := range uint64(cap(ids) - 1) {
			ids = append(ids, id)
		}
		ids = append(ids, ^uint64(0))
		found := func() (all []int32) {
			for _, id := range ids {
				d, _ := p.Find(id)
				all = append(all, d.TenantIndex)
			}
			return all
		}
		before := found()
		if n := testing.AllocsPerRun(10, func() { p.ExpectTenants(ids); p.Expect(ids) }); n != 0 {
			t.Errorf("%+v: %v allocations", size, n)
		}
		if after := found(); !slices.Equal(after, before) {
			t.Errorf("%+v: got %v, want %v", size, after, before)
		}
	}
}
