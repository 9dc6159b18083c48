package analyze_test

import (
	"math/rand/v2"
	"slices"
	"testing"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

func TestCompareAgreesWithTryingEveryPacket(t *testing.T) {
	for seed := range uint64(2000) {
		compareRandom(t, seed, seed%3 == 2)
	}
}

func FuzzCompare(f *testing.F) {
	f.Add(uint64(1), false)
	f.Add(uint64(2), true)
	f.Fuzz(compareRandom)
}

func compareRandom(t *testing.T, seed uint64, partial bool) {
	t.Helper()
	r := &random{Rand: rand.New(rand.NewPCG(seed, 9)), partial: partial}
	old, new := r.change()
	report := analyze.Compare(old, new, analyze.Budget{})
	if len(report.Unknown) > 0 || report.More > 0 {
		t.Fatalf("seed %d: unknown %v, %d more", seed, report.Unknown, report.More)
	}
	packets := smallPackets()
	world := smallWorld()
	for i, c := range report.Changes {
		if c.More > 0 || c.MoreWhere > 0 {
			return // the class is not written out
		}
		if !holds(&c, &old, &new, &c.Example) {
			t.Fatalf("seed %d: example %v is not in its own class %d:\n%v", seed, c.Example, i, c)
		}
	}
	for p := range packets {
		x := &packets[p]
		if !world.Contains(x) {
			continue
		}
		var classes []analyze.Change
		for _, c := range report.Changes {
			if holds(&c, &old, &new, x) {
				classes = append(classes, c)
			}
		}
		if partial {
			checkSometimes(t, seed, &old, &new, x, classes)
			continue
		}
		a, oldRule := decideBy(&old, x, nil)
		b, newRule := decideBy(&new, x, nil)
		if a == b {
			if len(classes) > 0 {
				t.Fatalf("seed %d: %v stays %v, and is in the class\n%v", seed, x, a, classes[0])
			}
			continue
		}
		if len(classes) != 1 {
			t.Fatalf("seed %d: %v by %q becomes %v by %q, and is in %d classes: %v", seed, a, oldRule, b, newRule, len(classes), classes)
		}
		if c := classes[0]; c.Old.Verdict != a || c.New.Verdict != b || c.Old.Rule.Name != oldRule || c.New.Rule.Name != newRule || c.Old.Sometimes || c.New.Sometimes {
			t.Fatalf("seed %d: %v by %q becomes %v by %q, but the class is\n%v", seed, a, oldRule, b, newRule, c)
		}
	}
}

// checkSometimes: where circumstances exist in which the verdict changes, there is
// a class; and a class has a circumstance for each of its verdicts.
func checkSometimes(t *testing.T, seed uint64, old, new *analyze.Policy, x *space.Point, classes []analyze.Change) {
	t.Helper()
	could := map[analyze.Verdict]int{}
	changes := false
	for _, h := range circumstances(true) {
		a, _ := decideBy(old, x, h)
		b, _ := decideBy(new, x, h)
		could[a] |= 1
		could[b] |= 2
		changes = changes || a != b
	}
	if changes && len(classes) == 0 {
		t.Fatalf("seed %d: %v can change and is in no class", seed, x)
	}
	for _, c := range classes {
		// Conditions are taken for independent of each other, so one that makes
		// another moot is not noticed.
		if could[c.Old.Verdict]&1 == 0 && !c.Old.Sometimes || could[c.New.Verdict]&2 == 0 && !c.New.Sometimes {
			t.Fatalf("seed %d: %v is never so:\n%v", seed, x, c)
		}
	}
}

// holds reports whether the packet is in the class.
func holds(c *analyze.Change, old, new *analyze.Policy, x *space.Point) bool {
	if !slices.ContainsFunc(c.Where, func(p space.Product) bool { return p.Contains(x) }) {
		return false
	}
	for _, p := range []*analyze.Policy{old, new} {
		for i := range p.Lists {
			for j := range p.Lists[i].Rules {
				r := &p.Lists[i].Rules[j]
				if slices.Contains(c.Except, analyze.Ref{Name: r.Name, At: r.At}) && !r.Partial && matches(r, x) {
					return false
				}
			}
		}
	}
	return true
}

func decideBy(p *analyze.Policy, x *space.Point, holds map[string]bool) (analyze.Verdict, string) {
	for i := range p.Lists {
		l := &p.Lists[i]
		if !slices.ContainsFunc(l.Contexts, func(c space.Product) bool { return c.Contains(x) }) {
			continue
		}
		v, rule := decide(l, x, holds)
		if rule < 0 {
			return v, ""
		}
		return v, l.Rules[rule].Name
	}
	return p.Unclaimed, ""
}

// change makes a policy of up to two tenants and another one from it by a few
// edits.
func (r *random) change() (old, new analyze.Policy) {
	world := smallWorld()
	for i, name := range []string{"one", "two"} {
		l := analyze.List{Tenant: name, Default: r.verdict(), Rules: r.rules("old", 6)}
		l.Contexts = []space.Product{world.With(space.Context, space.Context.Values(uint64(i)))}
		old.Lists = append(old.Lists, l)
	}
	old.Unclaimed = r.verdict()
	new.Unclaimed = old.Unclaimed
	new.Lists = slices.Clone(old.Lists)
	if r.IntN(4) == 0 {
		// The borders of the tenants move; what lies outside of the small world
		// is left to nobody.
		cut := 1 + r.Uint64N(2)
		new.Lists[0].Contexts = []space.Product{world.With(space.Context, space.Context.Between(0, cut-1))}
		new.Lists[1].Contexts = []space.Product{world.With(space.Context, space.Context.Between(cut, 2))}
	}
	if r.IntN(8) == 0 {
		new.Unclaimed = r.verdict()
	}
	for i := range new.Lists {
		l := &new.Lists[i]
		if r.IntN(8) == 0 {
			l.Default = r.verdict()
		}
		for range r.IntN(4) {
			l.Rules = r.edit(l.Rules)
		}
	}
	return old, new
}

func (r *random) edit(rules []analyze.Rule) []analyze.Rule {
	rules = slices.Clone(rules)
	if len(rules) == 0 {
		return []analyze.Rule{r.rule("new")}
	}
	i := r.IntN(len(rules))
	switch r.IntN(5) {
	case 0:
		rules = slices.Insert(rules, i, r.rule("new"))
	case 1:
		rules = slices.Delete(rules, i, i+1)
	case 2:
		moved := rules[i]
		rules = slices.Delete(rules, i, i+1)
		rules = slices.Insert(rules, r.IntN(len(rules)+1), moved)
	case 3:
		changed := r.rule("new")
		changed.Name = rules[i].Name
		rules[i] = changed
	case 4:
		changed := rules[i]
		r.line++
		changed.At = at("new", r.line)
		if changed.Partial {
			changed.Condition = "condition 1"
		} else {
			changed.Verdict = r.verdict()
		}
		rules[i] = changed
	}
	return rules
}
