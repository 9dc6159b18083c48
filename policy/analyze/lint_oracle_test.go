package analyze_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

func TestLintAgreesWithTryingEveryPacket(t *testing.T) {
	packets := smallPackets()
	counted := map[analyze.Kind]int{}
	for seed := range uint64(2000) {
		r := &random{Rand: rand.New(rand.NewPCG(seed, 7)), partial: seed%2 == 1}
		l := analyze.List{Tenant: "t", Contexts: []space.Product{smallWorld()}, Rules: r.rules("f", 9), Default: r.verdict()}
		found := map[string]analyze.Finding{}
		for _, f := range analyze.Lint([]analyze.List{l}, analyze.Budget{}) {
			counted[f.Kind]++
			switch f.Kind {
			case analyze.Shadowed, analyze.Impossible, analyze.Redundant:
				if _, twice := found[f.Rule]; twice {
					t.Fatalf("seed %d: two findings about %s", seed, f.Rule)
				}
				found[f.Rule] = f
			case analyze.NotAnalyzed:
				t.Fatalf("seed %d: %s", seed, f.Message)
			}
		}
		checkLint(t, seed, &l, packets, found, r.partial)
	}
	for _, k := range []analyze.Kind{analyze.Shadowed, analyze.Redundant, analyze.Crossing, analyze.AcceptAll} {
		if counted[k] < 20 {
			t.Errorf("%v was found only %d times", k, counted[k])
		}
	}
}

// With too small a budget less is found, but nothing that is not so.
func TestLintNeverGuesses(t *testing.T) {
	packets := smallPackets()
	gaveUp := 0
	for seed := range uint64(1500) {
		r := &random{Rand: rand.New(rand.NewPCG(seed, 8)), partial: seed%2 == 1}
		l := analyze.List{Tenant: "t", Contexts: []space.Product{smallWorld()}, Rules: r.rules("f", 9), Default: r.verdict()}
		var removable []string
		for _, f := range analyze.Lint([]analyze.List{l}, analyze.Budget{PerRule: 1 + r.IntN(60), Total: 1 + r.IntN(300)}) {
			switch f.Kind {
			case analyze.Shadowed, analyze.Impossible, analyze.Redundant:
				removable = append(removable, f.Rule)
			case analyze.NotAnalyzed:
				gaveUp++
			}
		}
		if !sameWithout(&l, packets, r.partial, removable...) {
			t.Fatalf("seed %d: without %v something changes", seed, removable)
		}
	}
	if gaveUp < 100 {
		t.Errorf("the budget was too small only %d times", gaveUp)
	}
}

func checkLint(t *testing.T, seed uint64, l *analyze.List, packets []space.Point, found map[string]analyze.Finding, partial bool) {
	t.Helper()
	world := smallWorld()
	var removable []string
	for i := range l.Rules {
		reached, possible := false, false
		for p := range packets {
			x := &packets[p]
			if !world.Contains(x) || !matches(&l.Rules[i], x) {
				continue
			}
			possible = true
			taken := slices.ContainsFunc(l.Rules[:i], func(r analyze.Rule) bool { return !r.Partial && matches(&r, x) })
			reached = reached || !taken
		}
		f, ok := found[l.Rules[i].Name]
		if got := ok && f.Kind == analyze.Impossible; got == possible {
			t.Fatalf("seed %d: %s impossible: %v", seed, l.Rules[i].Name, got)
		}
		if got := ok && f.Kind == analyze.Shadowed; got != (possible && !reached) {
			t.Fatalf("seed %d: %s shadowed: %v", seed, l.Rules[i].Name, got)
		}
		if ok && f.Kind == analyze.Shadowed {
			checkShadowers(t, seed, l, i, packets, f)
		}
		if ok {
			removable = append(removable, l.Rules[i].Name)
		}
		if ok && f.Kind == analyze.Redundant && !sameWithout(l, packets, partial, l.Rules[i].Name) {
			t.Fatalf("seed %d: without %s something changes: %s", seed, l.Rules[i].Name, f.Message)
		}
	}
	if !sameWithout(l, packets, partial, removable...) {
		t.Fatalf("seed %d: without %v together something changes", seed, removable)
	}
	// Rules that are found are taken for gone, or stay in the way of others, so
	// what is found is enough only where nothing is.
	if len(removable) > 0 || partial {
		return
	}
	for i := range l.Rules {
		if sameWithout(l, packets, partial, l.Rules[i].Name) {
			t.Fatalf("seed %d: %s could be removed, and nothing is said", seed, l.Rules[i].Name)
		}
	}
}

func checkShadowers(t *testing.T, seed uint64, l *analyze.List, rule int, packets []space.Point, f analyze.Finding) {
	t.Helper()
	named := func(r *analyze.Rule) bool {
		return slices.ContainsFunc(f.Others, func(o analyze.Ref) bool { return o.Name == r.Name })
	}
	world := smallWorld()
	for left := -1; left < len(f.Others); left++ {
		all := true
		for p := range packets {
			x := &packets[p]
			if !world.Contains(x) || !matches(&l.Rules[rule], x) {
				continue
			}
			all = all && slices.ContainsFunc(l.Rules[:rule], func(r analyze.Rule) bool {
				return !r.Partial && named(&r) && (left < 0 || r.Name != f.Others[left].Name) && matches(&r, x)
			})
		}
		if left < 0 && !all {
			t.Fatalf("seed %d: not all is taken: %s", seed, f.Message)
		}
		if left >= 0 && all {
			t.Fatalf("seed %d: %s is not needed: %s", seed, f.Others[left], f.Message)
		}
	}
}

// sameWithout reports whether every packet is decided alike without these rules.
func sameWithout(l *analyze.List, packets []space.Point, partial bool, names ...string) bool {
	less := *l
	less.Rules = slices.DeleteFunc(slices.Clone(l.Rules), func(r analyze.Rule) bool { return slices.Contains(names, r.Name) })
	world := smallWorld()
	for _, holds := range circumstances(partial) {
		for p := range packets {
			if !world.Contains(&packets[p]) {
				continue
			}
			a, _ := decide(l, &packets[p], holds)
			b, _ := decide(&less, &packets[p], holds)
			if a != b {
				return false
			}
		}
	}
	return true
}
