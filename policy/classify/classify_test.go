package classify

import (
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"
)

// odd says yes for rules with odd indexes.
type odd struct{}

func (odd) Check(i int) bool { return i%2 == 1 }

// plain is the definition.
func plain(rules []Rule, k *Key, from int, rest Checker) int {
	in := func(a *Addresses, v [2]uint64) bool {
		if a == nil {
			return true
		}
		if k.Family == 4 {
			return slices.ContainsFunc(a.V4, func(r Range4) bool { return uint64(r.Lo) <= v[1] && v[1] <= uint64(r.Hi) })
		}
		return k.Family == 6 && slices.ContainsFunc(a.V6, func(r Range6) bool { return !less(v, r.Lo) && !less(r.Hi, v) })
	}
	for i := from; i < len(rules); i++ {
		r := &rules[i]
		service := slices.ContainsFunc(r.Services, func(s Service) bool {
			return s.KindLo <= k.Kind && k.Kind <= s.KindHi && s.SrcLo <= k.SrcPort && k.SrcPort <= s.SrcHi && s.DstLo <= k.DstPort && k.DstPort <= s.DstHi
		})
		if service && in(r.Src, k.Src) && in(r.Dst, k.Dst) && (!r.Rest || rest.Check(i)) {
			return i
		}
	}
	return -1
}

// mixer makes rules of every kind, tight enough that packets meet them.
type mixer struct{ *rand.Rand }

func (r mixer) address() uint32 { return 10<<24 | r.Uint32N(1<<[]int{2, 8, 16}[r.IntN(3)]) }

func (r mixer) set() *Addresses {
	if r.IntN(4) == 0 {
		return nil
	}
	a := new(Addresses)
	n := 1
	if r.IntN(4) == 0 {
		n = 1 + r.IntN(40)
	}
	for range n {
		if r.IntN(4) > 0 {
			bits := []int{0, 0, 4, 8, 16, 32}[r.IntN(6)]
			x := uint64(r.address())
			size := uint64(1) << bits
			a.V4 = append(a.V4, Range4{uint32(x &^ (size - 1)), uint32(min(x|(size-1), 1<<32-1))})
		} else {
			lo := [2]uint64{0x20010db8<<32 | r.Uint64N(4), r.Uint64N(16)}
			hi := [2]uint64{lo[0] + r.Uint64N(3), r.Uint64N(16)}
			if less(hi, lo) {
				lo, hi = hi, lo
			}
			a.V6 = append(a.V6, Range6{lo, hi})
		}
	}
	return tidy(a)
}

func tidy(a *Addresses) *Addresses {
	slices.SortFunc(a.V4, func(x, y Range4) int { return int(int64(x.Lo) - int64(y.Lo)) })
	out := a.V4[:0]
	for _, r := range a.V4 {
		if n := len(out); n > 0 && uint64(r.Lo) <= uint64(out[n-1].Hi)+1 {
			out[n-1].Hi = max(out[n-1].Hi, r.Hi)
		} else {
			out = append(out, r)
		}
	}
	a.V4 = out
	slices.SortFunc(a.V6, func(x, y Range6) int {
		switch {
		case less(x.Lo, y.Lo):
			return -1
		case less(y.Lo, x.Lo):
			return 1
		}
		return 0
	})
	out6 := a.V6[:0]
	for _, r := range a.V6 {
		if n := len(out6); n > 0 && !less(out6[n-1].Hi, r.Lo) {
			if less(out6[n-1].Hi, r.Hi) {
				out6[n-1].Hi = r.Hi
			}
		} else {
			out6 = append(out6, r)
		}
	}
	a.V6 = out6
	return a
}

func (r mixer) service() Service {
	s := Service{KindHi: 255, SrcHi: Absent, DstHi: Absent}
	switch r.IntN(6) {
	case 0:
		return s
	case 1:
		k := 0x10000 | []uint32{0x0806, 0x88cc}[r.IntN(2)]
		s.KindLo, s.KindHi = k, k
		return s
	}
	k := []uint32{6, 17, 1, 58}[r.IntN(4)]
	s.KindLo, s.KindHi = k, k
	if r.IntN(3) > 0 {
		s.DstLo = r.Uint32N(20)
		s.DstHi = s.DstLo + []uint32{0, 0, 5, 60000}[r.IntN(4)]
	}
	if r.IntN(4) == 0 {
		s.SrcLo, s.SrcHi = r.Uint32N(20), 65535
	}
	return s
}

func (r mixer) rules(n int) []Rule {
	shared := []*Addresses{r.set(), r.set()}
	rules := make([]Rule, n)
	for i := range rules {
		rules[i] = Rule{Src: r.set(), Dst: r.set(), Rest: r.IntN(5) == 0, Passes: r.IntN(5) == 0}
		if r.IntN(6) == 0 {
			rules[i].Dst = shared[r.IntN(2)]
		}
		if r.IntN(50) == 0 {
			continue // a rule that matches nothing
		}
		for range 1 + r.IntN(3) {
			rules[i].Services = append(rules[i].Services, r.service())
		}
		if i > 0 && r.IntN(6) == 0 {
			rules[i].Services = rules[i-1].Services
		}
	}
	return rules
}

func (r mixer) key() Key {
	k := Key{Family: []uint8{4, 4, 4, 6, 0}[r.IntN(5)], SrcPort: Absent, DstPort: Absent}
	switch k.Family {
	case 4:
		k.Src, k.Dst = [2]uint64{0, uint64(r.address())}, [2]uint64{0, uint64(r.address())}
	case 6:
		k.Src = [2]uint64{0x20010db8<<32 | r.Uint64N(8), r.Uint64N(16)}
		k.Dst = [2]uint64{0x20010db8<<32 | r.Uint64N(8), r.Uint64N(16)}
	case 0:
		k.Kind = 0x10000 | []uint32{0x88cc, 0x88cd}[r.IntN(2)]
		return k
	}
	if k.Family == 4 && r.IntN(10) == 0 {
		k.Kind = 0x10806
		return k
	}
	k.Kind = []uint32{6, 17, 1, 58, 47}[r.IntN(5)]
	if r.IntN(8) > 0 {
		k.DstPort = r.Uint32N(24)
		if k.Kind == 6 || k.Kind == 17 {
			k.SrcPort = r.Uint32N(24)
		}
	}
	return k
}

func TestFirstAgreesWithTheDefinition(t *testing.T) {
	seed := rand.Uint64()
	r := mixer{rand.New(rand.NewPCG(seed, 0))}
	found := 0
	for round := range 400 {
		rules := r.rules([]int{1, 3, 10, 40, 200, 600}[round%6])
		m := New(rules)
		for range 500 {
			k := r.key()
			from := 0
			if r.IntN(8) == 0 {
				from = r.IntN(len(rules) + 1)
			}
			got, want := m.First(&k, from, odd{}), plain(rules, &k, from, odd{})
			if got != want {
				t.Fatalf("seed %d, %d rules, from %d: got %d, want %d for %+v", seed, len(rules), from, got, want, k)
			}
			if got >= 0 {
				found++
			}
		}
		if places := m.Memory(); places > len(rules)*400+80000 {
			t.Fatalf("seed %d: %d rules take %d bytes", seed, len(rules), places)
		}
	}
	if found < 40000 {
		t.Errorf("only %d of 200000 packets met a rule", found)
	}
}

// Rules that a sample passes over may be wider than those in it.
func TestRulesThatNoSampleShowsAreNotCopiedOften(t *testing.T) {
	const n = 5 * jumpSample
	rules := make([]Rule, n)
	wide := &Addresses{V4: []Range4{{1, 0xc0000000}}}
	for i := range rules {
		p := uint32(i)
		rules[i] = Rule{Src: wide, Services: []Service{{KindLo: 6, KindHi: 6, SrcLo: p, SrcHi: p, DstHi: 65535}}}
	}
	for i := range jumpSample {
		lo := 0xc1000000 + uint32(i)*0x1000
		rules[i*n/jumpSample] = Rule{Src: &Addresses{V4: []Range4{{lo, lo}}}, Services: []Service{{KindHi: 255, SrcHi: Absent, DstHi: Absent}}}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m := New(rules)
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 100<<20 {
		t.Errorf("%d rules took %d bytes on the way", n, got)
	}
	for _, i := range []uint32{1, 2, 4444, n - 1} {
		k := Key{Family: 4, Src: [2]uint64{0, 7}, Kind: 6, SrcPort: i, DstPort: 80}
		if got, want := m.First(&k, 0, odd{}), plain(rules, &k, 0, odd{}); got != want {
			t.Errorf("port %d: got %d, want %d", i, got, want)
		}
	}
}

func TestTheEdgesOfEveryRangeAreExact(t *testing.T) {
	seed := rand.Uint64()
	r := mixer{rand.New(rand.NewPCG(seed, 1))}
	rules := r.rules(300)
	m := New(rules)
	for i := range rules {
		for _, a := range []*Addresses{rules[i].Src, rules[i].Dst} {
			if a == nil {
				continue
			}
			for _, x := range a.V4 {
				for _, v := range []uint32{x.Lo - 1, x.Lo, x.Hi, x.Hi + 1} {
					k := r.key()
					k.Family, k.Src, k.Dst = 4, [2]uint64{0, uint64(v)}, [2]uint64{0, uint64(v)}
					if got, want := m.First(&k, 0, odd{}), plain(rules, &k, 0, odd{}); got != want {
						t.Fatalf("seed %d: got %d, want %d for %+v", seed, got, want, k)
					}
				}
			}
		}
	}
}

func TestHostileRulesStayBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	rules := make([]Rule, 5000)
	for i := range rules {
		random := func() *Addresses {
			lo, hi := r.Uint32(), r.Uint32()
			return &Addresses{V4: []Range4{{min(lo, hi), max(lo, hi)}}}
		}
		rules[i] = Rule{Src: random(), Dst: random(), Services: []Service{{6, 6, 0, r.Uint32N(65536), r.Uint32N(30000), 65535}}}
	}
	if m := New(rules); m.Memory() > len(rules)*400+80000 {
		t.Errorf("%d bytes for %d rules", m.Memory(), len(rules))
	}
}

// What a tree took to grow is not kept with it.
func TestAMatcherKeepsItsTablesOnly(t *testing.T) {
	heap := func() int64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	rules := mixer{rand.New(rand.NewPCG(1, 1))}.rules(20_000)
	before := heap()
	m := New(rules)
	// Slices that grew have room for a quarter more.
	if kept, most := heap()-before, int64(m.Memory())*3/2+64<<10; kept > most {
		t.Errorf("%d bytes are kept, of which the tables are %d", kept, m.Memory())
	}
	runtime.KeepAlive(rules)
}

func TestLargeSharedSetsStayBounded(t *testing.T) {
	r := rand.New(rand.NewPCG(6, 6))
	group := new(Addresses)
	for range 20000 {
		x := r.Uint32()
		group.V4 = append(group.V4, Range4{x, x})
	}
	tidy(group)
	rules := make([]Rule, 2000)
	for i := range rules {
		rules[i] = Rule{Src: group, Dst: group, Services: []Service{{6, 6, 0, Absent, uint32(i), uint32(i) + r.Uint32N(100)}}}
	}
	m := New(rules)
	if m.Memory() > len(rules)*400+80000 {
		t.Errorf("%d bytes for %d rules", m.Memory(), len(rules))
	}
	for range 2000 {
		address := func() [2]uint64 {
			if r.IntN(4) == 0 {
				return [2]uint64{0, uint64(r.Uint32())}
			}
			return [2]uint64{0, uint64(group.V4[r.IntN(len(group.V4))].Lo)}
		}
		k := Key{Family: 4, Src: address(), Dst: address(), Kind: 6, SrcPort: 1, DstPort: r.Uint32N(2200)}
		want := -1
		if group.Contains(4, k.Src) && group.Contains(4, k.Dst) {
			want = slices.IndexFunc(rules, func(x Rule) bool { return x.Services[0].DstLo <= k.DstPort && k.DstPort <= x.Services[0].DstHi })
		}
		if got := m.First(&k, 0, nil); got != want {
			t.Fatalf("got %d, want %d for %+v", got, want, k)
		}
	}
}

func TestGoingOnBehindRulesThatPassNeedsNoWalk(t *testing.T) {
	rules := make([]Rule, 5000)
	for i := range rules {
		rules[i] = Rule{Services: []Service{{0, 255, 0, Absent, 0, Absent}}, Passes: i < 4999}
	}
	m := New(rules)
	k := Key{Family: 4, Kind: 6, SrcPort: 1, DstPort: 2}
	for _, g := range m.tables[ofIP4].trees.leaves {
		if g[0]&cutShort != 0 {
			t.Error("a leaf was cut short")
		}
	}
	for from := range rules {
		if got := m.First(&k, from, nil); got != from {
			t.Fatalf("from %d: got %d", from, got)
		}
	}
}

func TestFirstAllocatesNothing(t *testing.T) {
	r := mixer{rand.New(rand.NewPCG(1, 2))}
	m := New(r.rules(500))
	k := r.key()
	var rest Checker = odd{}
	if n := testing.AllocsPerRun(100, func() { m.First(&k, 0, rest) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzFirst: for rules and keys made of the input, the tree says what the
// definition says.
func FuzzFirst(f *testing.F) {
	f.Add(uint64(1), uint16(10))
	f.Add(uint64(7), uint16(400))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16) {
		r := mixer{rand.New(rand.NewPCG(seed, uint64(n)))}
		rules := r.rules(1 + int(n)%700)
		m := New(rules)
		for range 50 {
			k := r.key()
			if got, want := m.First(&k, 0, odd{}), plain(rules, &k, 0, odd{}); got != want {
				t.Fatalf("got %d, want %d for %+v", got, want, k)
			}
		}
	})
}

// realistic is a tenant's rules: most are a CIDR and a port, some have ranges of
// ports, sets of addresses, or any source or destination.
func realistic(n int) ([]Rule, []Key) {
	r := rand.New(rand.NewPCG(9, uint64(n)))
	cidr := func() *Addresses {
		bits := []int{0, 0, 4, 8, 8}[r.IntN(5)]
		lo := (10<<24 | r.Uint32N(1<<24)) >> bits << bits
		return &Addresses{V4: []Range4{{lo, lo + (1<<bits - 1)}}}
	}
	rules, keys := make([]Rule, n), make([]Key, 0, 8192)
	for i := range rules {
		port := []uint32{80, 443, 22, 5432, 8080, 53, 3306, 9000 + r.Uint32N(100)}[r.IntN(8)]
		s := Service{6, 6, 0, Absent, port, port}
		x := Rule{Src: cidr(), Dst: cidr()}
		switch k := r.IntN(20); {
		case k < 2:
			s.DstHi += 1 + r.Uint32N(1000)
		case k == 2:
			x.Dst = new(Addresses)
			for range 20 {
				x.Dst.V4 = append(x.Dst.V4, cidr().V4...)
			}
			tidy(x.Dst)
		case k == 3:
			x.Src = nil
		case k == 4:
			x.Dst = nil
		}
		x.Services = []Service{s}
		rules[i] = x
	}
	for len(keys) < cap(keys) {
		x := &rules[r.IntN(n)]
		k := Key{Family: 4, Kind: 6, SrcPort: 1024 + r.Uint32N(60000), DstPort: x.Services[0].DstLo}
		pick := func(a *Addresses) [2]uint64 {
			if a == nil {
				return [2]uint64{0, uint64(10<<24 | r.Uint32N(1<<24))}
			}
			y := a.V4[r.IntN(len(a.V4))]
			return [2]uint64{0, uint64(y.Lo + r.Uint32N(y.Hi-y.Lo+1))}
		}
		k.Src, k.Dst = pick(x.Src), pick(x.Dst)
		if r.IntN(8) == 0 {
			k.DstPort = 7 // none
		}
		keys = append(keys, k)
	}
	return rules, keys
}
