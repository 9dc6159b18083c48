package space_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"sttwall/policy/space"
)

// Sets over a field of few values are compared with bit sets.
func TestSetsAgreeWithBitSets(t *testing.T) {
	const f = space.PCP // 0 to 8
	const all = 1<<9 - 1
	bits := func(s space.Set) (b uint64) {
		for v := range uint64(9) {
			if s.Contains(space.V(v)) {
				b |= 1 << v
			}
		}
		return b
	}
	check := func(a, b uint64, what string, got space.Set, want uint64) {
		t.Helper()
		if bits(got) != want || !got.Equal(setOf(f, want)) {
			t.Fatalf("%09b %s %09b = %09b, want %09b", a, what, b, bits(got), want)
		}
		if got.IsEmpty() != (want == 0) || got.IsEverything() != (want == all) {
			t.Fatalf("%09b %s %09b: empty %v, everything %v, for %09b", a, what, b, got.IsEmpty(), got.IsEverything(), want)
		}
	}
	for a := range uint64(all + 1) {
		s := setOf(f, a)
		check(a, 0, "is", s, a)
		check(a, 0, "complement", f.Complement(s), all&^a)
		for b := range uint64(all + 1) {
			u := setOf(f, b)
			check(a, b, "or", f.Union(s, u), a|b)
			check(a, b, "and", s.Intersect(u), a&b)
			check(a, b, "without", f.Subtract(s, u), a&^b)
			if got, want := s.Overlaps(u), a&b != 0; got != want {
				t.Fatalf("%09b overlaps %09b = %v", a, b, got)
			}
			if got, want := s.Covers(u), a|b == a; got != want {
				t.Fatalf("%09b covers %09b = %v", a, b, got)
			}
		}
	}
}

// Long lists go other ways through the code, with binary search.
func TestLongSetsAgreeWithMaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	const f, limit = space.DstPort, 300
	for range 300 {
		var bits [2][limit]bool
		var sets [2]space.Set
		for i := range sets {
			var ranges []space.Range
			for range r.IntN(60) {
				lo := r.Uint64N(limit)
				hi := min(lo+r.Uint64N(4), limit-1)
				ranges = append(ranges, space.Range{Lo: space.V(lo), Hi: space.V(hi)})
				for v := lo; v <= hi; v++ {
					bits[i][v] = true
				}
			}
			sets[i] = f.Of(ranges...)
		}
		a, b := sets[0], sets[1]
		union, both, without := f.Union(a, b), a.Intersect(b), f.Subtract(a, b)
		overlap, covers := false, true
		for v := range uint64(limit) {
			x, y := bits[0][v], bits[1][v]
			overlap = overlap || x && y
			covers = covers && (x || !y)
			if union.Contains(space.V(v)) != (x || y) || both.Contains(space.V(v)) != (x && y) || without.Contains(space.V(v)) != (x && !y) {
				t.Fatalf("%v and %v disagree at %d", f.Ranges(a), f.Ranges(b), v)
			}
		}
		if a.Overlaps(b) != overlap || a.Covers(b) != covers {
			t.Fatalf("%v and %v: overlaps %v, covers %v", f.Ranges(a), f.Ranges(b), a.Overlaps(b), a.Covers(b))
		}
	}
}

func TestRangesReachToTheEndOf128Bits(t *testing.T) {
	last := space.Src.Max()
	tail := space.Src.Of(space.Range{Lo: space.Value{Hi: 1}, Hi: last})
	head := space.Src.Complement(tail)
	if got, want := space.Src.Ranges(head), (space.Range{Hi: space.Value{Lo: ^uint64(0)}}); len(got) != 1 || got[0] != want {
		t.Errorf("complement of a tail is %v, want %v", got, want)
	}
	if got := space.Src.Union(head, tail); !got.IsEverything() {
		t.Errorf("head and tail together are %v", space.Src.Ranges(got))
	}
	if got := space.Src.Subtract(space.Set{}, tail); !got.Equal(head) {
		t.Errorf("everything without the tail is %v", space.Src.Ranges(got))
	}
}

func TestOfLeavesOutWhatTheFieldCannotBe(t *testing.T) {
	if got := space.PCP.Between(7, 200); !got.Equal(space.PCP.Values(7, 8)) {
		t.Errorf("PCP 7-200 is %v", space.PCP.Ranges(got))
	}
	if got := space.PCP.Values(9); !got.IsEmpty() {
		t.Errorf("PCP 9 is %v", space.PCP.Ranges(got))
	}
	if got := space.PCP.Between(5, 4); !got.IsEmpty() {
		t.Errorf("PCP 5-4 is %v", space.PCP.Ranges(got))
	}
}

func TestPrefixes(t *testing.T) {
	for _, text := range []string{"0.0.0.0/0", "10.1.2.0/24", "10.1.2.3/32", "::/0", "2001:db8::/32", "2001:db8::/64", "2001:db8::/65", "2001:db8::1/128"} {
		p := netip.MustParsePrefix(text)
		r, family := space.Prefix(p)
		if want := uint64(6); p.Addr().Is4() && family != 4 || !p.Addr().Is4() && family != want {
			t.Errorf("%s: family %d", text, family)
		}
		s := space.Src.Of(r)
		if !s.Contains(space.Address(p.Addr())) || r.Lo != space.Address(p.Addr()) {
			t.Errorf("%s begins at %v", text, r.Lo)
		}
		last := p.Addr()
		if n := p.Bits(); n < p.Addr().BitLen() {
			b := last.AsSlice()
			for i := n; i < len(b)*8; i++ {
				b[i/8] |= 0x80 >> (i % 8)
			}
			last, _ = netip.AddrFromSlice(b)
		}
		if r.Hi != space.Address(last) {
			t.Errorf("%s ends at %v, want %v", text, r.Hi, last)
		}
	}
}

func TestMaskedFlagsAreThoseWithTheBits(t *testing.T) {
	s := space.MaskedFlags(0x12, 0x02)
	for v := range uint64(512) {
		if got, want := s.Contains(space.V(v)), v&0x12 == 2; got != want {
			t.Errorf("flags %#x: %v", v, got)
		}
	}
	if s.Contains(space.V(space.NoFlags)) {
		t.Error("a packet without flags has SYN")
	}
	if space.MaskedFlags(0, 0).Contains(space.V(space.NoFlags)) {
		t.Error("any flags includes none")
	}
}

func TestSampleIsInTheSet(t *testing.T) {
	if v, ok := space.DstPort.Sample(space.DstPort.Values(80, 443)); !ok || v != space.V(80) {
		t.Errorf("sample %v, %v", v, ok)
	}
	if _, ok := space.DstPort.Sample(space.Nothing()); ok {
		t.Error("nothing has a sample")
	}
}
