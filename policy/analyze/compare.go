package analyze

import (
	"hash/maphash"
	"slices"

	"sttwall/policy/space"
)

// Compare finds the packets whose verdict changes from old to new, in classes by
// the rules that decide them. Names and places of rules may differ: only what
// they match and mean counts.
//
// A packet's verdict can change only if a rule that is in one list alone decides
// it in that list: were both deciders common, the earlier one of the two, in the
// common order, would decide in both lists. So only those rules are looked at. For
// each, and each rule that may decide in the other list, the class is what both
// match and nobody takes before either.
func Compare(old, new Policy, budget Budget) Report {
	c := comparison{budget: budget.withDefaults(), classes: map[classKey]*Change{}, seed: maphash.MakeSeed()}
	c.oldPrints, c.newPrints = c.prints(old.Lists), c.prints(new.Lists)
	nowhere := func(v Verdict) *List { return &List{Default: v} }

	oldClaims, newClaims := claims(old.Lists), claims(new.Lists)
	oldIndex, newIndex := newIndex(oldClaims), newIndex(newClaims)
	for i := range old.Lists {
		// Where the tenant's contexts go in the new file.
		shares := map[int][]space.Product{}
		var left []space.Product
		for _, claim := range claimsOf(&old.Lists[i]) {
			meet := newIndex.meeting(&claim, 0, len(newClaims), nil)
			for _, m := range meet {
				if q, ok := claim.Intersect(&newClaims[m].Product); ok && q.Possible() {
					shares[newClaims[m].rule] = append(shares[newClaims[m].rule], q)
				}
			}
			left = append(left, without(claim, newClaims, meet)...)
		}
		for _, j := range sortedKeys(shares) {
			c.lists(&old.Lists[i], &new.Lists[j], c.oldPrints[i], c.newPrints[j], shares[j])
		}
		if len(left) > 0 {
			c.lists(&old.Lists[i], nowhere(new.Unclaimed), c.oldPrints[i], nil, left)
		}
	}
	for j := range new.Lists {
		var left []space.Product
		for _, claim := range claimsOf(&new.Lists[j]) {
			left = append(left, without(claim, oldClaims, oldIndex.meeting(&claim, 0, len(oldClaims), nil))...)
		}
		if len(left) > 0 {
			c.lists(nowhere(old.Unclaimed), &new.Lists[j], nil, c.newPrints[j], left)
		}
	}
	if old.Unclaimed != new.Unclaimed {
		all := append(slices.Clone(oldClaims), newClaims...)
		every := new.Contexts
		if len(every) == 0 {
			every = []space.Product{space.Product{}.With(space.Datapath, space.Datapath.Values(space.NoDatapath))}
		}
		var left []space.Product
		for _, p := range every {
			left = append(left, without(p, all, everyIndex(all))...)
		}
		if len(left) > 0 {
			c.lists(nowhere(old.Unclaimed), nowhere(new.Unclaimed), nil, nil, left)
		}
	}
	return c.report()
}

// claimsOf returns the contexts of a list.
func claimsOf(l *List) []space.Product {
	if len(l.Contexts) == 0 {
		return []space.Product{{}}
	}
	return l.Contexts
}

func claims(lists []List) []item {
	var out []item
	for i := range lists {
		for _, p := range claimsOf(&lists[i]) {
			out = append(out, item{p, i})
		}
	}
	return out
}

func everyIndex(items []item) []int32 {
	out := make([]int32, len(items))
	for i := range out {
		out[i] = int32(i)
	}
	return out
}

// without returns what of p is in none of the items. Claims differ in the context
// alone, or in the datapath, so it stays short; those of one field are taken away
// at once.
func without(p space.Product, items []item, which []int32) []space.Product {
	byField := map[space.Field][]space.Set{}
	var others []*space.Product
	for _, i := range which {
		q := &items[i].Product
		field, n := space.Fields, 0
		for f := range space.Fields {
			if !q[f].Covers(p[f]) {
				field = f
				n++
			}
		}
		switch n {
		case 0:
			return nil
		case 1:
			byField[field] = append(byField[field], q[field])
		default:
			others = append(others, q)
		}
	}
	for f, sets := range byField {
		if p[f] = f.Subtract(p[f], f.Union(sets...)); p[f].IsEmpty() {
			return nil
		}
	}
	left := []space.Product{p}
	for i := range others {
		var next []space.Product
		for j := range left {
			next = append(next, left[j].Subtract(others[i])...)
		}
		left = next
	}
	return slices.DeleteFunc(left, func(p space.Product) bool { return !p.Possible() })
}

func sortedKeys(m map[int][]space.Product) []int {
	var out []int
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// comparison is the state of [Compare].
type comparison struct {
	budget               Budget
	seed                 maphash.Seed
	oldPrints, newPrints [][]fingerprint

	classes map[classKey]*Change
	order   []classKey
	unknown []Ref
}

func (c *comparison) prints(lists []List) [][]fingerprint {
	out := make([][]fingerprint, len(lists))
	for i := range lists {
		out[i] = fingerprints(&lists[i], c.seed)
	}
	return out
}

// side is one of the two lists of a pair. The default counts as one more rule
// behind the others, which matches everything.
type side struct {
	*compiled
	// partner is the same rule in the other list, so that all partners are in one
	// order; the default's if both are equal. Partial rules have none.
	partner []int
	// twin is the partial rule in the other list that differs at most in its
	// condition and its place; -1 for none.
	twin []int
}

// lists compares two lists for the packets of these contexts.
func (c *comparison) lists(old, new *List, oldPrints, newPrints []fingerprint, contexts []space.Product) {
	if old.Default == new.Default && slices.Equal(oldPrints, newPrints) &&
		slices.EqualFunc(old.Rules, new.Rules, func(a, b Rule) bool { return sameRule(&a, &b) }) {
		return
	}
	partner, partnerOfNew := align(old, new, oldPrints, newPrints)
	oldDefault, newDefault := -1, -1
	if old.Default == new.Default {
		oldDefault, newDefault = len(new.Rules), len(old.Rules)
	}
	a := &side{compile(old, contexts), append(partner, oldDefault), fill(len(old.Rules))}
	b := &side{compile(new, contexts), append(partnerOfNew, newDefault), fill(len(new.Rules))}
	pairPartial(a, b)
	for rule := range a.partner {
		if a.partner[rule] < 0 {
			c.changed(a, b, rule, false)
		}
	}
	for rule := range b.partner {
		if b.partner[rule] < 0 {
			c.changed(b, a, rule, true)
		}
	}
}

// products returns what a rule or the default matches in the contexts.
func (s *side) products(rule int) []space.Product {
	if rule == len(s.Rules) {
		return s.contexts
	}
	var out []space.Product
	for i := range s.of(rule) {
		out = append(out, s.of(rule)[i].Product)
	}
	return out
}

func (s *side) verdict(rule int) Verdict {
	if rule == len(s.Rules) {
		return s.Default
	}
	return s.Rules[rule].Verdict
}

func (s *side) partial(rule int) bool { return rule < len(s.Rules) && s.Rules[rule].Partial }

// pairPartial finds the twins of partial rules. Being in the same order is not
// enough for those: a full rule that moved past one changes what it gets, though
// not who decides where its condition does not hold. So all are looked at.
func pairPartial(a, b *side) {
	pair := func(i, j int) { a.twin[i], b.twin[j] = j, i }
	for i, j := range a.partner[:len(a.Rules)] {
		if j >= 0 && a.Rules[i].Partial {
			a.partner[i], b.partner[j] = -1, -1
			pair(i, j)
		}
	}
	for i := range a.Rules {
		r := &a.Rules[i]
		if !r.Partial || a.twin[i] >= 0 {
			continue
		}
		j := slices.IndexFunc(b.Rules, func(o Rule) bool {
			return o.Partial && o.Name == r.Name && o.Verdict == r.Verdict && sameProducts(o.Products, r.Products)
		})
		if j >= 0 && b.twin[j] < 0 {
			pair(i, j)
		}
	}
}

// changed finds the classes that a rule decides which is in x alone, or is
// partial. Those that are decided in y by a rule of y alone are found from both
// sides; they are reported from that of the old list, where newSide is false.
func (c *comparison) changed(x, y *side, rule int, newSide bool) {
	twin := -1
	if x.partial(rule) {
		twin = x.twin[rule]
	}
	for _, p := range x.products(rule) {
		if twin >= 0 && !newSide && !sameRule(&x.Rules[rule], &y.Rules[twin]) {
			c.class(x, y, rule, twin, p, newSide)
		}
		for _, d := range c.deciders(x, y, rule, twin, p, newSide) {
			for _, q := range y.products(d) {
				if both, ok := p.Intersect(&q); ok && both.Possible() {
					c.class(x, y, rule, d, both, newSide)
				}
			}
		}
	}
}

// deciders returns the rules of y, and its default, that decide otherwise and may
// get some of p, which a rule of x matches: down to its twin, if it has one.
func (c *comparison) deciders(x, y *side, rule, twin int, p space.Product, newSide bool) []int {
	end := len(y.Rules)
	if twin >= 0 {
		end = twin
	}
	var out []int
	add := func(d int) {
		switch {
		case x.verdict(rule) == y.verdict(d):
		case y.partner[d] >= 0 && y.partner[d] < rule:
			// d is in x too and takes there all that it takes here.
		case newSide && y.partner[d] < 0 && !x.partial(rule):
			// Found from the other side.
		default:
			out = append(out, d)
		}
	}
	last := -1
	// Between two partial rules only their order matters, and one of the lists not
	// having one of them. What both sides would find, the old one reports.
	possible := func(d int) bool {
		switch {
		case y.full(d):
			return true
		case !x.partial(rule):
			return false
		case twin >= 0:
			return !newSide && y.twin[d] > rule
		}
		return y.twin[d] > rule || y.twin[d] < 0 && !newSide
	}
	for _, i := range y.between(&p, 0, end, possible) {
		d := y.items[i].rule
		if d != last {
			add(d)
			last = d
		}
		if y.full(d) && y.items[i].Covers(&p) {
			return out
		}
	}
	if twin < 0 {
		add(len(y.Rules))
	}
	return out
}
