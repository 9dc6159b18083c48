package analyze

import (
	"fmt"

	"sttwall/policy/space"
)

// redundant finds rules without which every packet would be decided in the same
// way. That is so if what decides differently behind the rule, a rule or the
// default, would get nothing of the rule's packets: others take them before.
//
// Rules that are found shadowed or redundant do not count as those others, so
// that they can be deleted as well.
func (l *linter) redundant(rule int) (Finding, space.Answer) {
	c := l.list
	r := &c.Rules[rule]
	takes := func(other int) bool {
		if other == rule || !c.full(other) {
			return false
		}
		return other < rule || c.Rules[other].Verdict != r.Verdict || !l.dead[other] && !l.gone[other]
	}
	if l.budget.Total <= 0 {
		return Finding{}, space.Unknown
	}
	var takers []int32
	byDefault := c.Default == r.Verdict
	for i := range c.of(rule) {
		p := &c.of(rule)[i].Product
		if !byDefault {
			answer, used := l.cover(p, l.between(p, 0, len(c.Rules), takes))
			if answer != space.Yes {
				return Finding{}, answer
			}
			takers = append(takers, used...)
		}
		differ := l.between(p, rule+1, len(c.Rules), func(other int) bool { return c.Rules[other].Verdict != r.Verdict })
		if l.budget.Total <= 0 {
			return Finding{}, space.Unknown // differ may lack some
		}
		for _, d := range differ {
			q, ok := p.Intersect(&c.items[d].Product)
			if !ok {
				continue
			}
			answer, used := l.cover(&q, l.between(&q, 0, c.items[d].rule, takes))
			if answer != space.Yes {
				return Finding{}, answer
			}
			takers = append(takers, used...)
		}
	}
	var later []int
	for _, i := range c.rulesOf(takers) {
		if i > rule && c.Rules[i].Verdict == r.Verdict {
			later = append(later, i)
		}
	}
	f := Finding{Kind: Redundant, Others: l.refs(later)}
	instead := names(f.Others)
	if byDefault {
		instead = fmt.Sprintf("the default (%s)", c.Default)
		if len(later) > 0 {
			instead = names(f.Others) + " or " + instead
		}
	}
	f.Message = fmt.Sprintf("rule %s is redundant: without it, %s would decide its packets in the same way (%s).", r.Name, instead, r.Verdict)
	return f, space.Yes
}
