package analyze

import (
	"cmp"
	"slices"

	"sttwall/policy/space"
)

// Bounds of what is reported.
const (
	maxChanges    = 60
	maxExceptions = 6
	// A class is written as exact products if they are no more than that, else as
	// a product with exceptions, which name the rules.
	maxPieces = 1
	// Products of one class, roughly; more are counted.
	maxWhere = 64
)

// class reports what of q, which both rules match, nobody takes before them.
func (c *comparison) class(x, y *side, rule, other int, q space.Product, newSide bool) {
	before := x.between(&q, 0, rule, x.full)
	otherBefore := y.between(&q, 0, other, y.full)
	taken := append(x.compiled.products(before), y.compiled.products(otherBefore)...)
	var covering space.Covering
	c.budget.ask(func(b *space.Budget) { covering = space.Cover(&q, taken, b) })
	switch covering.Answer {
	case space.Yes:
		return
	case space.Unknown:
		ref := x.decision(rule, nil).Rule
		if ref == (Ref{}) {
			ref = Ref{Name: "the default of tenant " + x.Tenant}
		}
		if !slices.Contains(c.unknown, ref) {
			c.unknown = append(c.unknown, ref)
		}
		return
	}
	class := Change{Old: x.decision(rule, &q), New: y.decision(other, &q)}
	oldBefore, newBefore, old, new := before, otherBefore, x, y
	if newSide {
		class.Old, class.New = class.New, class.Old
		oldBefore, newBefore, old, new = newBefore, oldBefore, new, old
	}
	if pieces, ok := exact(q, taken); ok {
		class.Where = pieces
	} else {
		class.Where = []space.Product{q}
		newRules := new.rulesOf(newBefore)
		for _, i := range old.rulesOf(oldBefore) {
			if old.partner[i] < 0 || !slices.Contains(newRules, old.partner[i]) {
				class.except(old.Rules[i].ref())
			}
		}
		for _, i := range newRules {
			class.except(new.Rules[i].ref())
		}
	}
	class.Example = example(&class, &q, &covering.Left, taken)
	c.add(class)
}

// except adds an exception.
func (c *Change) except(r Ref) {
	switch {
	case slices.Contains(c.Except, r):
	case len(c.Except) == maxExceptions:
		c.More++
	default:
		c.Except = append(c.Except, r)
	}
}

// decision returns what a rule means for the packets of q; nil asks for the name.
func (s *side) decision(rule int, q *space.Product) Decision {
	d := Decision{Verdict: s.verdict(rule), Tenant: s.Tenant}
	if rule < len(s.Rules) {
		d.Rule = s.Rules[rule].ref()
		d.Sometimes, d.Condition, d.shared = s.Rules[rule].Partial, s.Rules[rule].Condition, s.Rules[rule].Shared
	}
	if q != nil && !d.Sometimes {
		d.Sometimes = len(s.between(q, 0, min(rule, len(s.Rules)), func(o int) bool {
			return s.Rules[o].Partial && s.Rules[o].Verdict != d.Verdict
		})) > 0
	}
	return d
}

// exact returns q without all that is taken, if that is few products.
func exact(q space.Product, taken []*space.Product) ([]space.Product, bool) {
	const maxWork = 24
	left := []space.Product{q}
	for _, t := range taken {
		var next []space.Product
		for i := range left {
			for _, p := range left[i].Subtract(t) {
				if p.Possible() {
					next = append(next, p)
				}
			}
		}
		if left = next; len(left) > maxWork {
			return nil, false
		}
	}
	left = space.Merge(left)
	return left, len(left) <= maxPieces
}

// example returns a packet of the class, a typical one if that is found at once.
func example(c *Change, q, left *space.Product, taken []*space.Product) Example {
	x, ok := q.Typical()
	if ok && !slices.ContainsFunc(taken, func(t *space.Product) bool { return t.Contains(&x) }) {
		return x
	}
	if len(c.Except) == 0 {
		if x, ok := c.Where[0].Typical(); ok {
			return x
		}
	}
	x, _ = left.Typical()
	return x
}

// classKey joins classes that are the same for an operator.
type classKey struct{ old, new Decision }

// add merges the class into one of the same two decisions. Where one of them is by
// a rule of all tenants, the tenant makes no difference.
func (c *comparison) add(class Change) {
	key := classKey{class.Old, class.New}
	if key.old.shared || key.new.shared {
		key.old.Tenant, key.new.Tenant = "", ""
	}
	known := c.classes[key]
	if known == nil {
		c.classes[key] = &class
		c.order = append(c.order, key)
		class.tenants = map[string]bool{class.New.Tenant: true}
		return
	}
	known.tenants[class.New.Tenant] = true
	more := len(known.tenants) - 1
	known.Old.MoreTenants, known.New.MoreTenants = more, more
	if len(known.Where) < maxWhere {
		known.Where = space.Merge(append(known.Where, class.Where...))
	} else {
		known.MoreWhere += len(class.Where)
	}
	for _, r := range class.Except {
		known.except(r)
	}
	known.More = max(known.More, class.More)
}

// report sorts the classes by the place of the rules: the new one's, or where
// there is none the old one's.
func (c *comparison) report() Report {
	out := Report{Unknown: c.unknown}
	for _, key := range c.order {
		out.Changes = append(out.Changes, *c.classes[key])
	}
	slices.SortStableFunc(out.Changes, func(a, b Change) int {
		p, q := a.place(), b.place()
		return cmp.Or(cmp.Compare(p.Tenant, q.Tenant), cmp.Compare(p.Rule.At.Start.Line, q.Rule.At.Start.Line))
	})
	if len(out.Changes) > maxChanges {
		out.More = len(out.Changes) - maxChanges
		out.Changes = out.Changes[:maxChanges]
	}
	return out
}

func (c *Change) place() Decision {
	if c.New.Rule != (Ref{}) {
		return c.New
	}
	return c.Old
}
