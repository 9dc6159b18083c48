package classify

import (
	"math/rand/v2"
	"testing"
)

// limits of flat lists: trees wherever there is a rule, both scans, what New takes.
var limits = []int{0, 2, flatPortable, flatMost, flatLimit()}

// everyWay says what is wrong with what a matcher finds, in each form that it can
// have, or "".
func everyWay(t *testing.T, ways []*Matcher, rules []Rule, k *Key, from int) (unsure bool) {
	t.Helper()
	want := plain(rules, k, from, odd{})
	for i, m := range ways {
		if got := m.First(k, from, odd{}); got != want {
			t.Fatalf("flat up to %d, from %d: got %d, want %d for %+v", limits[i], from, got, want, k)
		}
		if k.Family != 4 || k.Kind > lastProtocol || from != 0 {
			continue
		}
		got := m.First4(Key4{uint32(k.Dst[1]), uint32(k.Src[1]), Carried(k.Kind, k.DstPort), k.SrcPort})
		switch {
		case got == Unsure:
			unsure = true
		case got != want:
			t.Fatalf("flat up to %d: First4 got %d, want %d for %+v", limits[i], got, want, k)
		}
	}
	return unsure
}

func waysOf(rules []Rule) (ways []*Matcher) {
	for _, limit := range limits {
		ways = append(ways, compile(rules, limit))
	}
	return ways
}

// edge moves a key to a bound of some rule, or beside it.
func (r mixer) edge(rules []Rule, k *Key) {
	rule := &rules[r.IntN(len(rules))]
	move := func(v *[2]uint64, a *Addresses) {
		switch {
		case a == nil:
		case k.Family == 4 && len(a.V4) > 0:
			x := a.V4[r.IntN(len(a.V4))]
			v[1] = uint64([]uint32{x.Lo - 1, x.Lo, x.Hi, x.Hi + 1}[r.IntN(4)])
		case k.Family == 6 && len(a.V6) > 0:
			x := a.V6[r.IntN(len(a.V6))]
			*v = [][2]uint64{x.Lo, x.Hi, {x.Lo[0], x.Lo[1] - 1}, {x.Hi[0], x.Hi[1] + 1}}[r.IntN(4)]
		}
	}
	move(&k.Dst, rule.Dst)
	move(&k.Src, rule.Src)
	if len(rule.Services) == 0 || k.Kind > lastProtocol {
		return
	}
	s := rule.Services[r.IntN(len(rule.Services))]
	if s.KindLo == s.KindHi && s.KindLo <= lastProtocol {
		k.Kind = s.KindLo
	}
	if r.IntN(2) == 0 {
		k.DstPort = min([]uint32{max(s.DstLo, 1) - 1, s.DstLo, s.DstHi, s.DstHi + 1}[r.IntN(4)], Absent)
		k.SrcPort = min([]uint32{max(s.SrcLo, 1) - 1, s.SrcLo, s.SrcHi, s.SrcHi + 1}[r.IntN(4)], Absent)
	}
}

func TestFewRulesAreFoundEveryWay(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := mixer{rand.New(rand.NewPCG(seed, 2))}
	var forms [isTrees + 1]int
	found, unsure, asked := 0, 0, 0
	for round := range 400 {
		rules := r.rules([]int{1, 2, 3, 5, 10, 16, 30, 60}[round%8])
		ways := waysOf(rules)
		for _, m := range ways {
			forms[m.tables[ofIP4].pair[0].form]++
		}
		for range 250 {
			k, from := r.key(), 0
			if r.IntN(2) == 0 {
				r.edge(rules, &k)
			}
			if r.IntN(8) == 0 {
				from = r.IntN(len(rules) + 1)
			}
			if everyWay(t, ways, rules, &k, from) {
				unsure++
			}
			if plain(rules, &k, 0, odd{}) >= 0 {
				found++
			}
			asked++
		}
	}
	if found < asked/4 || unsure > asked/2 || min(forms[isPair], forms[isFlat], forms[isTrees]) < 100 {
		t.Errorf("of %d packets %d met a rule, and of %d nothing was sure; forms %v: that tests too little", asked, found, unsure, forms)
	}
}

// Rules of addresses, a protocol and destination ports need not be asked.
func TestPlainRulesAreSure(t *testing.T) {
	rules, keys := realistic(60)
	m := New(rules)
	sure := 0
	for i := range keys {
		k := &keys[i]
		got := m.First4(Key4{uint32(k.Dst[1]), uint32(k.Src[1]), Carried(k.Kind, k.DstPort), k.SrcPort})
		if got == Unsure {
			continue
		}
		sure++
		if want := plain(rules, k, 0, nil); got != want {
			t.Fatalf("got %d, want %d for %+v", got, want, k)
		}
	}
	if sure < len(keys)*9/10 {
		t.Errorf("only %d of %d are sure", sure, len(keys))
	}
}

// What is between the ranges of a rule with many, and the ports of any protocol.
func TestWhatARowDoesNotSayIsAsked(t *testing.T) {
	many := new(Addresses)
	for i := range uint32(3 * perFlat) {
		many.V4 = append(many.V4, Range4{10 * i, 10*i + 4})
	}
	rules := []Rule{
		{Dst: many, Services: []Service{{6, 6, 0, Absent, 80, 80}}},
		{Services: []Service{{0, 255, 0, Absent, 22, 22}}},
		{Services: []Service{{6, 17, 7, 7, 0, Absent}}},
	}
	ways := waysOf(rules)
	for dst := range uint64(12) {
		for _, protocol := range []uint32{1, 6, 17} {
			for _, port := range []uint32{21, 22, 23, 80, Absent} {
				for _, srcPort := range []uint32{6, 7, Absent} {
					everyWay(t, ways, rules, &Key{Family: 4, Dst: [2]uint64{0, dst}, Kind: protocol, DstPort: port, SrcPort: srcPort}, 0)
				}
			}
		}
	}
}

// randomBlocks are rows of which a packet of small numbers is in some.
func randomBlocks(r *rand.Rand, n int) []block {
	b := make([]block, n)
	number := func() uint32 { return []uint32{0, 1, 2, 3, 1<<31 - 1, 1 << 31, ^uint32(0), ^uint32(0) - 1}[r.IntN(8)] }
	for i := range b {
		for _, column := range []*[blockSize]uint32{&b[i].dstLo, &b[i].dstSpan, &b[i].srcLo, &b[i].srcSpan, &b[i].carriedLo, &b[i].carriedSpan} {
			for j := range column {
				column[j] = number()
			}
		}
	}
	return b
}

func TestBothScansSayTheSame(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	in := 0
	for range 20_000 {
		blocks := randomBlocks(r, 1+r.IntN(scanMost))
		number := func() uint32 { return []uint32{0, 1, 2, 3, 1<<31 - 1, 1 << 31, ^uint32(0)}[r.IntN(7)] }
		dst, src, carried := number(), number(), number()
		got, want := scan(blocks, dst, src, carried), scanGo(blocks, dst, src, carried)
		if got != want {
			t.Fatalf("got %#x, want %#x for %d, %d, %d in %+v", got, want, dst, src, carried, blocks)
		}
		several := append(randomBlocks(r, r.IntN(3*scanMost)), blocks...)
		for i := range several {
			for j := range blockSize {
				several[i].order[j] = uint32(i*blockSize+j) << askBits
			}
		}
		if got, want := inBlocks(several, dst, src, carried), inBlocksGo(several, dst, src, carried); got != want {
			t.Fatalf("in %d blocks: got %d, want %d", len(several), got, want)
		}
		for i := range blocks {
			b := &blocks[i]
			for j := range blockSize {
				row := row{b.dstLo[j], b.dstSpan[j], b.srcLo[j], b.srcSpan[j], b.carriedLo[j], b.carriedSpan[j], 0, 0}
				if is := row.outside(dst, src, carried) == 0; is != (want>>(i*blockSize+j)&1 == 1) {
					t.Fatalf("block %d, row %d: %t", i, j, is)
				} else if is {
					in++
				}
			}
		}
	}
	if in < 20_000 {
		t.Errorf("packets were in %d rows only", in)
	}
}

func TestFlatListsStaySmall(t *testing.T) {
	r := mixer{rand.New(rand.NewPCG(7, 7))}
	for range 200 {
		rules := r.rules(1 + r.IntN(60))
		for _, t2 := range New(rules).tables {
			if len(t2.blocks)*blockSize >= flatMost+blockSize || t2.pair[0].form == isPair && t2.blocks != nil {
				t.Fatalf("%d blocks, form %d", len(t2.blocks), t2.pair[0].form)
			}
		}
	}
	two := New([]Rule{{Services: []Service{{6, 6, 0, Absent, 80, 80}}}, {Services: []Service{{17, 17, 0, Absent, 53, 53}}}})
	if two.Memory() > 512 {
		t.Errorf("two rules take %d bytes", two.Memory())
	}
}

// FuzzFew: for few rules and keys made of the input, flat lists and trees say what
// the definition says.
func FuzzFew(f *testing.F) {
	for n := range uint16(40) {
		f.Add(uint64(n), n, uint32(10<<24|uint32(n)), uint32(10<<24), uint8(6), uint32(n), uint32(1024))
	}
	f.Add(uint64(5), uint16(200), uint32(0), ^uint32(0), uint8(1), uint32(8<<8), uint32(Absent))
	f.Fuzz(func(t *testing.T, seed uint64, n uint16, dst, src uint32, protocol uint8, dstPort, srcPort uint32) {
		r := mixer{rand.New(rand.NewPCG(seed, uint64(n)))}
		rules := r.rules(1 + int(n)%60)
		ways := waysOf(rules)
		k := Key{Family: 4, Dst: [2]uint64{0, uint64(dst)}, Src: [2]uint64{0, uint64(src)}, Kind: uint32(protocol),
			DstPort: min(dstPort, Absent), SrcPort: min(srcPort, Absent)}
		everyWay(t, ways, rules, &k, 0)
		for range 30 {
			k := r.key()
			r.edge(rules, &k)
			everyWay(t, ways, rules, &k, r.IntN(2)*r.IntN(len(rules)+1))
		}
	})
}
