package analyze

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"

	"sttwall/policy/space"
)

// Lint looks for rules that do not do what they seem to do. Findings come in the
// order of the files; there is at most one of Shadowed, Impossible and Redundant
// for a rule, and all rules with one of these can be deleted together.
func Lint(lists []List, budget Budget) []Finding {
	l := linter{budget: budget.withDefaults(), shared: map[Ref]*sharedRule{}}
	for i := range lists {
		l.lint(&lists[i])
	}
	l.finishShared()
	slices.SortStableFunc(l.unknown, func(a, b Ref) int { return compareRanges(a.At, b.At) })
	if n := len(l.unknown); n > 0 {
		l.findings = append(l.findings, Finding{
			Kind: NotAnalyzed, Rule: l.unknown[0].Name, At: l.unknown[0].At, Others: l.unknown,
			Message: fmt.Sprintf("%s not analysed to the end, since they overlap with too many others: %s.", count(n, "rule was", "rules were"), names(l.unknown)),
		})
	}
	slices.SortStableFunc(l.findings, func(a, b Finding) int {
		return cmp.Or(compareRanges(a.At, b.At), cmp.Compare(a.Kind, b.Kind))
	})
	return l.findings
}

func compareRanges(a, b hcl.Range) int {
	return cmp.Or(cmp.Compare(a.Filename, b.Filename), cmp.Compare(a.Start.Byte, b.Start.Byte), cmp.Compare(a.Start.Line, b.Start.Line))
}

type linter struct {
	budget   Budget
	findings []Finding
	unknown  []Ref
	shared   map[Ref]*sharedRule
	order    []Ref // of shared

	// Of the list at hand.
	list *compiled
	dead []bool // shadowed or impossible
	gone []bool // redundant
}

// sharedRule collects what lists say about a rule that several have.
type sharedRule struct {
	lists    int
	findings []Finding // Shadowed, Impossible or Redundant, at most one a list
}

func (l *linter) lint(list *List) {
	n := len(list.Rules)
	l.list = compile(list, list.Contexts)
	l.dead, l.gone = make([]bool, n), make([]bool, n)
	known := make([]bool, n)
	for i := range n {
		r := &list.Rules[i]
		if r.Shared && !r.Implicit {
			s := l.shared[r.ref()]
			if s == nil {
				s = &sharedRule{}
				l.shared[r.ref()] = s
				l.order = append(l.order, r.ref())
			}
			s.lists++
		}
		var f Finding
		if f, l.dead[i] = l.impossible(i); l.dead[i] {
			l.found(i, f)
			known[i] = true
			continue
		}
		var answer space.Answer
		f, answer = l.shadowed(i)
		switch answer {
		case space.Yes:
			l.dead[i] = true
			l.found(i, f)
		case space.Unknown:
			l.giveUp(i)
		}
		known[i] = answer != space.Unknown
	}
	// From the end, with each rule that is found taken for gone, so that of two
	// rules that make each other redundant one stays.
	for i := n - 1; i >= 0; i-- {
		if l.dead[i] || !known[i] || list.Rules[i].Implicit {
			continue
		}
		f, answer := l.redundant(i)
		switch answer {
		case space.Yes:
			l.gone[i] = true
			l.found(i, f)
		case space.Unknown:
			l.giveUp(i)
		}
	}
	for i := range n {
		if l.dead[i] || list.Rules[i].Implicit {
			continue
		}
		l.acceptAll(i)
		l.crossing(i)
	}
}

// found keeps a finding about a rule, for later if other lists have a say.
func (l *linter) found(rule int, f Finding) {
	r := &l.list.Rules[rule]
	f.Rule, f.At = r.Name, r.At
	switch {
	case r.Implicit:
	case r.Shared && !f.Kind.Note() && f.Kind != AcceptAll:
		s := l.shared[r.ref()]
		s.findings = append(s.findings, f)
	case r.Shared && slices.ContainsFunc(l.findings, func(g Finding) bool { return g.Kind == f.Kind && g.Rule == f.Rule && g.At == f.At }):
	default:
		l.findings = append(l.findings, f)
	}
}

// finishShared reports on rules of which all lists that have them say something.
func (l *linter) finishShared() {
	for _, ref := range l.order {
		s := l.shared[ref]
		if len(s.findings) != s.lists {
			continue
		}
		f := s.findings[0]
		for _, g := range s.findings[1:] {
			// Tenants disagree why; all of them need it less than it seems.
			f.Kind = max(f.Kind, g.Kind)
			for _, o := range g.Others {
				if !slices.Contains(f.Others, o) {
					f.Others = append(f.Others, o)
				}
			}
		}
		if s.lists > 1 {
			switch f.Kind {
			case Shadowed:
				f.Message = fmt.Sprintf("rule %s never matches in any tenant: earlier rules take every packet that it is for: %s.", f.Rule, names(f.Others))
			case Redundant:
				f.Message = fmt.Sprintf("rule %s is redundant in every tenant: without it each packet would be decided in the same way.", f.Rule)
			}
		}
		l.findings = append(l.findings, f)
	}
}

func (l *linter) giveUp(rule int) {
	if r := l.list.Rules[rule].ref(); !l.list.Rules[rule].Implicit && !slices.Contains(l.unknown, r) {
		l.unknown = append(l.unknown, r)
	}
}

// cover asks whether the items hold all of p.
func (l *linter) cover(p *space.Product, items []int32) (answer space.Answer, used []int32) {
	l.budget.ask(func(b *space.Budget) {
		c := space.Cover(p, l.list.products(items), b)
		answer = c.Answer
		for _, i := range c.Used {
			used = append(used, items[i])
		}
	})
	return answer, used
}

// between is [compiled.between], with the work taken from the budget. Without
// budget it finds nothing, and so all questions about it stay open.
func (l *linter) between(p *space.Product, first, end int, keep func(rule int) bool) []int32 {
	if l.budget.Total <= 0 {
		return nil
	}
	found := l.list.between(p, first, end, keep)
	l.budget.Total -= 1 + len(found)
	return found
}

// impossible finds rules whose conditions contradict each other.
func (l *linter) impossible(rule int) (Finding, bool) {
	r := &l.list.Rules[rule]
	if len(l.list.of(rule)) > 0 {
		return Finding{}, false
	}
	why := "no packet of the tenant is of that kind"
	if len(r.Products) == 0 {
		why = "its conditions leave nothing"
	}
	for i := range r.Products {
		if !r.Products[i].Possible() {
			why = contradiction(&r.Products[i])
			break
		}
	}
	return Finding{Kind: Impossible, Message: fmt.Sprintf("rule %s can match no packet: %s.", r.Name, why)}, true
}

// contradiction names the fewest conditions of an impossible product that cannot
// hold together.
func contradiction(p *space.Product) string {
	needed := *p
	for f := range space.Fields {
		if p[f].IsEmpty() {
			return fmt.Sprintf("its %s can have no value at all", f)
		}
		without := needed.With(f, space.Set{})
		if !without.Possible() {
			needed = without
		}
	}
	var parts []string
	for f := range space.Fields {
		switch {
		case needed[f].IsEverything():
		case f == space.Fragment && needed[f].Equal(space.NotLater): // which texts leave out
			parts = append(parts, "no later fragment")
		default:
			parts = append(parts, space.Product{}.With(f, needed[f]).String())
		}
	}
	return "nothing is at once " + strings.Join(parts, " and ")
}

// shadowed finds rules that get nothing from those before them.
func (l *linter) shadowed(rule int) (Finding, space.Answer) {
	var all []int32
	for i := range l.list.of(rule) {
		p := &l.list.of(rule)[i].Product
		answer, used := l.cover(p, l.between(p, 0, rule, l.list.full))
		if answer != space.Yes {
			return Finding{}, answer
		}
		all = append(all, used...)
	}
	if len(all) == 0 {
		return Finding{}, space.No // it matches nothing by itself; another finding
	}
	by := l.fewest(rule, l.list.rulesOf(all))
	r := &l.list.Rules[rule]
	f := Finding{Kind: Shadowed, Others: l.refs(by)}
	if len(by) == 1 {
		f.Message = fmt.Sprintf("rule %s never matches: %s takes every packet that it is for.", r.Name, f.Others[0])
	} else {
		f.Message = fmt.Sprintf("rule %s never matches: together, earlier rules take every packet that it is for: %s.", r.Name, names(f.Others))
	}
	for _, i := range by {
		if l.list.Rules[i].Action != r.Action {
			f.Message += fmt.Sprintf(" They do not %s.", r.Action)
			if len(by) == 1 {
				f.Message = strings.Replace(f.Message, " They do not ", " It does not ", 1)
			}
			break
		}
	}
	return f, space.Yes
}

// fewest leaves out rules without which the rest still cover the rule. Many are
// left as they are.
func (l *linter) fewest(rule int, by []int) []int {
	const many = 24
	if len(by) > many {
		return by
	}
	for i := len(by) - 1; i >= 0 && len(by) > 1; i-- {
		rest := slices.Delete(slices.Clone(by), i, i+1)
		covered := true
		for j := range l.list.of(rule) {
			p := &l.list.of(rule)[j].Product
			answer, _ := l.cover(p, l.between(p, 0, rule, func(r int) bool { return slices.Contains(rest, r) }))
			if answer != space.Yes {
				covered = false
				break
			}
		}
		if covered {
			by = rest
		}
	}
	return by
}

func (l *linter) refs(rules []int) []Ref {
	var out []Ref
	for _, i := range rules {
		out = append(out, l.list.Rules[i].ref())
	}
	return out
}

// acceptAll finds rules that accept every IP packet.
func (l *linter) acceptAll(rule int) {
	r := &l.list.Rules[rule]
	if r.Action != Accept || r.Partial {
		return
	}
	items := make([]int32, 0, 4)
	for i := l.list.starts[rule]; i < l.list.starts[rule+1]; i++ {
		items = append(items, int32(i))
	}
	for i := range l.list.contexts {
		ip, ok := l.list.contexts[i].Intersect(&anyIP)
		if !ok {
			return
		}
		if answer, _ := l.cover(&ip, items); answer != space.Yes {
			return
		}
	}
	l.found(rule, Finding{Kind: AcceptAll, Message: fmt.Sprintf("rule %s accepts every IP packet that no earlier rule takes; rules and default after it do nothing for IP.", r.Name)})
}

// anyIP leaves later fragments out: their first fragment is what is accepted.
var anyIP = space.Product{}.With(space.Family, space.Family.Values(4, 6)).With(space.Fragment, space.NotLater)

// shown is how many rules a message names.
const shown = 4

// names lists rules for a message.
func names(refs []Ref) string {
	var parts []string
	for i, r := range refs {
		if i == shown {
			return strings.Join(parts, ", ") + fmt.Sprintf(" and %d more", len(refs)-shown)
		}
		parts = append(parts, r.String())
	}
	if n := len(parts); n > 1 {
		return strings.Join(parts[:n-1], ", ") + " and " + parts[n-1]
	}
	return strings.Join(parts, "")
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
