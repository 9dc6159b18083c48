package policy

import (
	"slices"

	"sttwall/limit"
	"sttwall/policy/classify"
)

// compile builds what finds rules fast, once everything is loaded.
func (p *Policy) compile(rates []limit.Rate) {
	p.rates = rates
	p.buckets = make([]limit.Bucket, len(rates))
	for i, r := range rates {
		p.buckets[i].Init(r)
	}
	p.first.start = int32(len(p.rules))
	p.first.end = p.first.start
	boxes := make(boxesOf)
	p.build(&p.before, boxes)
	p.build(&p.after, boxes)
	for i := range p.tenants {
		p.build(&p.tenants[i].rules, boxes)
	}
}

// boxesOf has the boxes of services by the first of them: rules share services.
type boxesOf map[*service][]classify.Service

func (m boxesOf) of(services []service) []classify.Service {
	if len(services) == 0 {
		return nil
	}
	if boxes, ok := m[&services[0]]; ok {
		return boxes
	}
	boxes := make([]classify.Service, len(services))
	for i := range services {
		boxes[i] = services[i].box
	}
	m[&services[0]] = boxes
	return boxes
}

func (p *Policy) build(list *ruleList, boxes boxesOf) {
	if list.start == list.end {
		return
	}
	if len(p.verdicts) < len(p.rules) {
		p.verdicts = append(slices.Clip(p.verdicts), make([]verdict, len(p.rules)-len(p.verdicts))...)
	}
	rules := make([]classify.Rule, list.end-list.start)
	var later laterRules
	var ofLater []classify.Rule
	for i := range rules {
		index := list.start + int32(i)
		r := &p.rules[index]
		p.verdicts[index] = r.verdict
		rules[i] = classify.Rule{Src: r.source, Dst: r.destination, Services: boxes.of(r.services), Rest: r.more != nil, Passes: r.bucket >= 0 && !r.overDrops}
		if r.namesLater() {
			later.rules = append(later.rules, index)
			ofLater = append(ofLater, rules[i])
		}
	}
	list.matcher = classify.New(rules)
	if len(ofLater) > 0 {
		later.matcher = classify.New(ofLater)
		list.later = &later
	}
}

// Continue takes over what is left of the limits of old, of which p is to take
// the place: rules with the same name and limit go on with the same tokens. What
// is left of policies that differ in temporary rules alone is one anyway.
func (p *Policy) Continue(old *Policy) {
	if len(p.buckets) == 0 || len(old.buckets) == 0 {
		return
	}
	if &p.buckets[0] == &old.buckets[0] {
		// Another list of temporary rules: they are the same buckets, which must
		// not be written while tokens are taken from them.
		return
	}
	left := make(map[string]*limit.Bucket, len(old.buckets))
	for i := range old.rules {
		if r := &old.rules[i]; r.bucket >= 0 {
			left[r.name] = &old.buckets[r.bucket]
		}
	}
	for i := range p.rules {
		r := &p.rules[i]
		if r.bucket < 0 {
			continue
		}
		if b := left[r.name]; b != nil {
			p.buckets[r.bucket].Continue(b)
		}
	}
}

// Fresh returns the policy with full token buckets and tables of at most that many
// flows and learned bindings: for trying it beside the one that is in force.
func (p *Policy) Fresh(flows int) *Policy {
	q := *p
	q.buckets = make([]limit.Bucket, len(p.rates))
	for i, r := range p.rates {
		q.buckets[i].Init(r)
	}
	q.settings.Flows = min(q.settings.Flows, flows)
	q.settings.Bindings = min(q.settings.Bindings, flows)
	return &q
}
