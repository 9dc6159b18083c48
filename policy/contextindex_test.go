package policy

import (
	"math/rand/v2"
	"testing"
)

// plainFind is what the intervals say.
func (m *intervals) plainFind(id uint64) (int32, bool) {
	for i := range m.lo {
		if m.lo[i] <= id && id <= m.hi[i] {
			return m.tenant[i], m.wide[i]
		}
	}
	return -1, false
}

// randomClaims are claims of nested halves of the IDs, and of single IDs.
func randomClaims(r *rand.Rand, n int) (claims []claim) {
	for i := range n {
		free := uint64(0)
		if r.IntN(2) == 0 {
			free = ^uint64(0) >> r.IntN(65) // 64: none
		}
		id := r.Uint64()
		if r.IntN(2) == 0 {
			id = []uint64{0, 1000, ^uint64(0) - 15}[r.IntN(3)] + r.Uint64N(16)
		}
		claims = append(claims, claim{lo: id &^ free, hi: id | free, tenant: int32(i)})
	}
	return claims
}

func TestContextsAreFoundAsTheIntervalsSay(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 300 {
		claims := randomClaims(r, []int{0, 1, 2, 8, 9, 10, 80, 81, 82, 400}[round%10])
		m, _ := resolveClaims(claims)
		for range 200 {
			id := r.Uint64()
			if n := len(m.lo); n > 0 && r.IntN(4) > 0 {
				i := r.IntN(n)
				id = []uint64{m.lo[i], m.hi[i], m.lo[i] - 1, m.hi[i] + 1}[r.IntN(4)]
			}
			got, gotWide := m.find(id)
			if want, wantWide := m.plainFind(id); got != want || gotWide != wantWide {
				t.Fatalf("round %d, %#x: got %d, %t, want %d, %t", round, id, got, gotWide, want, wantWide)
			}
		}
	}
}

func TestExactIDsAreFoundWhereverTheHashPutsThem(t *testing.T) {
	// Full lines, up to the last: what does not fit goes on at the first.
	m := exactMap{lines: make([]exactLine, 4), seed: 0x9e3779b97f4a7c15}
	const n = 4 * exactPlaces
	at := make(map[uint64]int32)
	for id := uint64(0); len(at) < n; id++ {
		if m.line(id) == 3 {
			at[id] = int32(len(at))
			m.add(id, uint32(at[id])+1)
		}
	}
	for id, want := range at {
		if got := m.find(id); got != want {
			t.Errorf("find(%d): got %d, want %d", id, got, want)
		}
	}
	sparse := newExactMap([]claim{{lo: 0}, {lo: ^uint64(0), hi: ^uint64(0), tenant: 1}}, 7)
	for id, want := range map[uint64]int32{0: 0, ^uint64(0): 1, 1: -1, 7: -1} {
		if got := sparse.find(id); got != want {
			t.Errorf("find(%#x): got %d, want %d", id, got, want)
		}
	}
}

// However the IDs lie, none is far from its line: it costs what a look into few lines
// costs, whether a tenant has the ID or not.
func TestNoExactIDIsFarFromItsLine(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for _, n := range []int{1, 10, 1000, 20_000, exactMany} {
		for name, id := range map[string]func(i uint64) uint64{
			"any":            func(uint64) uint64 { return r.Uint64() },
			"one by one":     func(i uint64) uint64 { return i },
			"by a distance":  func(i uint64) uint64 { return i * 3 },
			"OVN datapaths":  func(i uint64) uint64 { return i<<40 | i<<24 | 7 },
			"high bits only": func(i uint64) uint64 { return i << 44 },
		} {
			claims := make([]claim, n)
			for i := range claims {
				claims[i].lo = id(uint64(i))
				claims[i].hi, claims[i].tenant = claims[i].lo, int32(i)
			}
			m := newExactMap(claims, r.Uint64())
			if got := m.reach(); got > 2*exactReach {
				t.Errorf("%d IDs, %s: up to %d lines", n, name, got)
			}
			for _, c := range claims {
				if got := m.find(c.lo); got < 0 || claims[got].lo != c.lo {
					t.Fatalf("%d IDs, %s: find(%#x): got %d", n, name, c.lo, got)
				}
			}
		}
	}
}
