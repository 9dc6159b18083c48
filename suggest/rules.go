package suggest

import (
	"cmp"
	"net/netip"
	"slices"
)

// workshop makes the rules of one tenant.
type workshop struct {
	*builder
	tenant *tenant
	flows  []Flow
	apart  map[netip.Addr][]*apart // by source
	rules  names
}

// build makes rules of flows, as few as it can.
func (w *workshop) build(flows []Flow) {
	var hosts []Flow
	anywhere := map[Match]int{}
	for _, f := range flows {
		if f.Service.anywhere() {
			anywhere[f.Service]++
		} else {
			hosts = append(hosts, f)
		}
	}
	room := w.options.MaxRules
	if len(anywhere) > 0 {
		room--
		w.anywhere(sortedMatches(anywhere))
	}
	exact := w.options.Exact
	if !exact {
		dynamic(hosts)
	}
	parts := partsOf(usesOf(hosts))
	kept, over := atMost(merged(drafts(parts, exact), exact), room, exact)
	for _, d := range over {
		for _, u := range d.uses {
			w.setApart(overMaxRules, u.flows...)
		}
	}
	w.nameServers(parts, kept)
	for _, d := range kept {
		w.rule(d)
	}
	slices.SortStableFunc(w.tenant.rules, func(a, b rule) int { return cmp.Compare(b.flows, a.flows) })
}

// anywhere makes a rule for which addresses are no condition.
func (w *workshop) anywhere(services []Match) {
	r := rule{name: w.rules.fresh(labels(services, services[0].label()))}
	for _, m := range services {
		r.services = append(r.services, entry{match: m})
	}
	w.tenant.rules = append(w.tenant.rules, r)
}

// rule makes a rule of a draft.
func (w *workshop) rule(d *draft) {
	r := rule{flows: d.flows, from: len(d.clients), to: len(d.servers)}
	for _, u := range d.uses {
		for _, f := range u.flows {
			if f.Guessed {
				r.guessed++
			}
		}
	}
	first := mainOf(d.uses).label()
	r.destination = w.list(d.servers, nil, first+"-servers")
	candidates := []string{labels(d.services, first)}
	if len(r.destination.groups) == 1 && len(r.destination.ranges) == 0 {
		candidates = append(candidates, candidates[0]+"-to-"+r.destination.groups[0])
	}
	r.name = w.rules.fresh(candidates...)
	if w.groupOf(d.clients) != nil {
		r.source = w.list(d.clients, nil, "")
	} else {
		r.source = w.list(d.rest, d.cover, first+"-clients")
	}
	r.services = w.services(d.services, r.name)
	w.tenant.rules = append(w.tenant.rules, r)
}

// mainOf is the service that a rule is called by: one that tells what a server is
// for, one with a name, what most flows use.
func mainOf(uses []*use) Match {
	flows := map[Match]int{}
	for _, u := range uses {
		flows[u.service] += len(u.flows)
	}
	return slices.MinFunc(sortedMatches(flows), func(a, b Match) int {
		return cmp.Or(falseFirst(a.aux(), b.aux()), falseFirst(!a.isKnown(), !b.isKnown()), cmp.Compare(flows[b], flows[a]))
	})
}

func falseFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}
