package policy

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/hcl/v2"
)

func TestClaimsResolve(t *testing.T) {
	const last = ^uint64(0)
	for _, tt := range []struct {
		name      string
		claims    []claim
		want      []string // lo-hi=tenant
		conflicts int
	}{
		{"no claims", nil, nil, 0},
		{"everything", []claim{{lo: 0, hi: last}}, []string{"0-18446744073709551615=0"}, 0},
		{"an ID inside splits the claim around it", []claim{{lo: 0, hi: last}, {lo: 5, hi: 5, tenant: 1}},
			[]string{"0-4=0", "5-5=1", "6-18446744073709551615=0"}, 0},
		{"claims that touch stay apart", []claim{{lo: 1, hi: 2}, {lo: 3, hi: 4, tenant: 1}}, []string{"1-2=0", "3-4=1"}, 0},
		{"neighbours of one tenant become one", []claim{{lo: 3, hi: 4}, {lo: 1, hi: 2}}, []string{"1-4=0"}, 0},
		{"nested at the lower end", []claim{{lo: 1, hi: 9}, {lo: 1, hi: 3, tenant: 1}}, []string{"1-3=1", "4-9=0"}, 0},
		{"nested at the upper end", []claim{{lo: 1, hi: last}, {lo: last, hi: last, tenant: 1}},
			[]string{"1-18446744073709551614=0", "18446744073709551615-18446744073709551615=1"}, 0},
		{"nested three deep to the very end", []claim{{lo: 0, hi: last}, {lo: 8, hi: last, tenant: 1}, {lo: 9, hi: last, tenant: 2}},
			[]string{"0-7=0", "8-8=1", "9-18446744073709551615=2"}, 0},
		{"the outer claim goes on behind an inner one", []claim{{lo: 0, hi: 9}, {lo: 2, hi: 7, tenant: 1}, {lo: 3, hi: 4, tenant: 0}},
			[]string{"0-1=0", "2-2=1", "3-4=0", "5-7=1", "8-9=0"}, 0},
		{"equal", []claim{{lo: 1, hi: 2}, {lo: 1, hi: 2, tenant: 1}}, []string{"1-2=0"}, 1},
		{"crossing", []claim{{lo: 1, hi: 5}, {lo: 5, hi: 9, tenant: 1}}, []string{"1-5=0"}, 1},
		{"crossing inside another", []claim{{lo: 0, hi: 99}, {lo: 1, hi: 5, tenant: 1}, {lo: 3, hi: 9, tenant: 2}},
			[]string{"0-0=0", "1-5=1", "6-99=0"}, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, conflicts := resolveClaims(slices.Clone(tt.claims))
			var got []string
			for i := range m.lo {
				got = append(got, fmt.Sprintf("%d-%d=%d", m.lo[i], m.hi[i], m.tenant[i]))
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if len(conflicts) != tt.conflicts {
				t.Errorf("%d conflicts, want %d", len(conflicts), tt.conflicts)
			}
		})
	}
}

func TestAConflictNamesTheEarlierClaimFirst(t *testing.T) {
	at := func(b int) hcl.Range { return hcl.Range{Start: hcl.Pos{Byte: b}} }
	_, conflicts := resolveClaims([]claim{{5, 9, 0, at(10)}, {1, 5, 1, at(20)}})
	if len(conflicts) != 1 || conflicts[0].earlier.tenant != 0 || conflicts[0].later.tenant != 1 {
		t.Errorf("got %+v", conflicts)
	}
}

func TestContextLookupWithManyTenants(t *testing.T) {
	const tenants = 10_000
	var claims []claim
	for i := range tenants {
		lo := uint64(i) << 40
		claims = append(claims, claim{lo: lo, hi: lo + 1<<39, tenant: int32(i)})
	}
	rand.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
	m, conflicts := resolveClaims(claims)
	if len(conflicts) > 0 {
		t.Fatal(conflicts)
	}
	for i := range tenants {
		lo := uint64(i) << 40
		for id, want := range map[uint64]int32{lo: int32(i), lo + 1<<39: int32(i), lo + 1<<39 + 1: -1} {
			if got, _ := m.find(id); got != want {
				t.Fatalf("find(%#x): got %d, want %d", id, got, want)
			}
		}
	}
}
