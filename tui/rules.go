package tui

import (
	"context"

	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/filter"
)

// rules is the screen of the rules, in the order of the rules file unless sorted.
type rules struct {
	listing[control.RuleHits]
}

func newRules(e *env) screen {
	s := &rules{}
	s.listing = listing[control.RuleHits]{
		env: e, title: "Rules", what: "rule",
		id:   func(r *control.RuleHits) string { return r.Rule },
		ask:  func(ctx context.Context, fw Firewall) ([]control.RuleHits, error) { return fw.Rules(ctx) },
		hits: func(r *control.RuleHits) (name string, h *control.Hits) { return r.Rule, &r.Hits },
		record: func(r *control.RuleHits, into *filter.Record) {
			into.Rule, into.Tenant, into.Bytes, into.Packets = r.Rule, tenantOf(r.Rule), r.Bytes, r.Frames
		},
		fields: []string{"tenant", "rule", "text", "bytes", "packets"},
		open: func(r *control.RuleHits) tea.Cmd {
			return e.send(openMsg{newRule(e, *r)})
		},
	}
	s.table = newTable(e, ruleColumns(&s.listing), s.id)
	s.table.sortBy = "place"
	return s
}
