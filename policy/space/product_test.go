package space_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"sttwall/policy/space"
)

// FuzzAlgebra compares the algebra with the counting of packets.
func FuzzAlgebra(f *testing.F) {
	f.Add([]byte{0xff, 0xff, 0xff, 1, 2, 3})
	f.Add([]byte{3, 0xff, 5, 0xff, 6, 1, 0xff, 0xff, 9})
	f.Add([]byte{0, 1, 1, 1, 1, 1})
	f.Add([]byte{0xff, 0xff, 0xff, 3, 0xff, 0xff, 12, 0xff, 0xff})
	packets := smallPackets()
	f.Fuzz(func(t *testing.T, data []byte) {
		var all []space.Product
		for ; len(data) >= 3 && len(all) < 12; data = data[3:] {
			all = append(all, smallProduct([3]byte(data)))
		}
		if len(all) < 2 {
			return
		}
		checkAlgebra(t, packets, all)
	})
}

func TestAlgebraAgreesWithCounting(t *testing.T) {
	packets := smallPackets()
	r := rand.New(rand.NewPCG(3, 4))
	for range 5000 {
		var all []space.Product
		for range 2 + r.IntN(8) {
			all = append(all, randomProduct(r))
		}
		checkAlgebra(t, packets, all)
	}
}

func checkAlgebra(t *testing.T, packets []space.Point, all []space.Product) {
	t.Helper()
	p, q := &all[0], &all[1]
	both, overlap := p.Intersect(q)
	pieces := p.Subtract(q)
	merged := space.Merge(slices.Clone(pieces))
	found, inside := false, true
	for i := range packets {
		x := &packets[i]
		inP, inQ := p.Contains(x), q.Contains(x)
		found = found || inP && inQ
		inside = inside && (inP || !inQ)
		if overlap && both.Contains(x) != (inP && inQ) {
			t.Fatalf("%v and %v is %v: wrong for %v", p, q, both, x)
		}
		if n := holding(pieces, x); n > 1 || n == 1 != (inP && !inQ) {
			t.Fatalf("%v without %v is %v: %d of them have %v", p, q, pieces, n, x)
		}
		if n := holding(merged, x); n > 1 || n == 1 != (inP && !inQ) {
			t.Fatalf("%v without %v merged is %v: %d of them have %v", p, q, merged, n, x)
		}
	}
	if overlap != found || p.Overlaps(q) != found {
		t.Fatalf("%v meets %v: %v, %v; want %v", p, q, overlap, p.Overlaps(q), found)
	}
	if !q.IsEmpty() && !p.IsEmpty() && p.Covers(q) != inside {
		t.Fatalf("%v covers %v: %v", p, q, p.Covers(q))
	}

	// Whether the others cover the first one within the small world.
	world := smallWorld()
	target, ok := p.Intersect(&world)
	if !ok {
		return
	}
	by := pointers(all[1:])
	want := space.Yes
	for i := range packets {
		if target.Contains(&packets[i]) && holding(all[1:], &packets[i]) == 0 {
			want = space.No
		}
	}
	got := space.Cover(&target, by, &space.Budget{Steps: 1e6})
	if got.Answer != want {
		t.Fatalf("%v covered by %v: %v, want %v", target, all[1:], got.Answer, want)
	}
	switch got.Answer {
	case space.Yes:
		var used []*space.Product
		for _, i := range got.Used {
			used = append(used, by[i])
		}
		if again := space.Cover(&target, used, &space.Budget{Steps: 1e6}); again.Answer != space.Yes {
			t.Fatalf("%v is not covered by those used: %v of %v", target, got.Used, all[1:])
		}
	case space.No:
		x, ok := got.Left.Typical()
		if !ok || !target.Contains(&x) || holding(all[1:], &x) != 0 {
			t.Fatalf("%v is left of %v, with %v", got.Left, target, x)
		}
	}
	// A small budget may not answer, but never wrongly.
	for steps := range 40 {
		if a := space.Cover(&target, by, &space.Budget{Steps: steps}).Answer; a != space.Unknown && a != want {
			t.Fatalf("with %d steps: %v, want %v", steps, a, want)
		}
	}
}

func holding(products []space.Product, x *space.Point) (n int) {
	for i := range products {
		if products[i].Contains(x) {
			n++
		}
	}
	return n
}

func pointers(products []space.Product) []*space.Product {
	out := make([]*space.Product, len(products))
	for i := range products {
		out[i] = &products[i]
	}
	return out
}

func TestEverySpentBudgetSaysUnknown(t *testing.T) {
	var p space.Product
	if got := space.Cover(&p, nil, &space.Budget{}); got.Answer != space.Unknown {
		t.Errorf("answer %v without a budget", got.Answer)
	}
}

// Products that differ in every field split into the most pieces: 1 of 64 is
// left out, and found.
func TestCoverFindsTheOneCornerThatIsMissing(t *testing.T) {
	world := smallWorld()
	var corners []space.Product
	for a := range uint64(smallValues) {
		for b := range uint64(smallValues) {
			for c := range uint64(smallValues) {
				corners = append(corners, space.Product{}.
					With(space.Src, space.Src.Values(a)).With(space.Dst, space.Dst.Values(b)).With(space.DstPort, space.DstPort.Values(c)))
			}
		}
	}
	if got := space.Cover(&world, pointers(corners), &space.Budget{Steps: 1e6}); got.Answer != space.Yes {
		t.Errorf("all corners cover: %v", got.Answer)
	}
	missing := corners[37]
	got := space.Cover(&world, pointers(slices.Delete(corners, 37, 38)), &space.Budget{Steps: 1e6})
	if got.Answer != space.No || !missing.Covers(&got.Left) {
		t.Errorf("without %v: %v, left %v", missing, got.Answer, got.Left)
	}
}
