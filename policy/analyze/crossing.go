package analyze

import (
	"fmt"

	"sttwall/policy/space"
)

// crossing notes earlier rules of another action that match some of the rule's
// packets, where neither rule lies within the other: not the usual exception
// before a general rule, so the order may be an accident.
func (l *linter) crossing(rule int) {
	c := l.list
	r := &c.Rules[rule]
	var others []int
	seen := map[int]bool{}
	n := 0
	for i := range c.of(rule) {
		p := &c.of(rule)[i].Product
		meet := l.between(p, 0, rule, func(o int) bool {
			return !seen[o] && !l.dead[o] && !c.Rules[o].Implicit && c.Rules[o].Action != r.Action
		})
		for _, m := range meet {
			if l.budget.Total <= 0 {
				return
			}
			l.budget.Total--
			o := c.items[m].rule
			if seen[o] {
				continue
			}
			q, ok := p.Intersect(&c.items[m].Product)
			if !ok || !q.Possible() || l.within(o, rule) || l.within(rule, o) {
				continue
			}
			if len(others) < shown {
				if answer, _ := l.cover(&q, l.between(&q, 0, o, c.full)); answer == space.Yes {
					continue
				}
				others = append(others, o)
			}
			seen[o] = true
			n++
		}
	}
	if n == 0 {
		return
	}
	f := Finding{Kind: Crossing, Others: l.refs(others)}
	more := ""
	if n > len(others) {
		more = fmt.Sprintf(" and %d more", n-len(others))
	}
	f.Message = fmt.Sprintf("rule %s (%s) shares some packets, not all, with %s of another action: %s%s. The earlier one decides them.",
		r.Name, r.Action, count(n, "earlier rule", "earlier rules"), names(f.Others), more)
	l.found(rule, f)
}

// within reports whether each item of a rule lies in one of another rule's.
func (l *linter) within(rule, other int) bool {
	for i := range l.list.of(rule) {
		covered := false
		for j := range l.list.of(other) {
			if l.list.of(other)[j].Covers(&l.list.of(rule)[i].Product) {
				covered = true
				break
			}
		}
		if !covered {
			return false
		}
	}
	return true
}
