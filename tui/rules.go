package tui

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/filter"
)

// rules is the screen of the rules, in the order of the rules file unless sorted.
type rules struct {
	listing[control.RuleHits]
	// reload is until when a second press of the key reloads.
	reload time.Time
	// reloading: that is under way.
	reloading bool
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

func (s *rules) Keys() []key.Binding {
	return append(s.listing.Keys(), s.env.keys.Reload)
}

// reloaded is the answer to a reload.
type reloaded control.Reloaded

// Update takes the key that has the rules file read again, which wants to be pressed
// twice, and leaves the rest to the listing.
func (s *rules) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case tea.KeyPressMsg:
		if !key.Matches(msg, s.env.keys.Reload) {
			s.reload = time.Time{}
			break
		}
		if s.reloading {
			return notice(toneWarn, "the firewall reads its rules already")
		}
		now := s.env.now()
		if now.Before(s.reload) {
			s.reload, s.reloading = time.Time{}, true
			return s.env.call(s, func(ctx context.Context, fw Firewall) (any, error) {
				r, err := fw.Reload(ctx)
				return reloaded(r), err
			})
		}
		s.reload = now.Add(noticeFor)
		return notice(toneWarn, s.env.keys.Reload.Help().Key+" once more puts the rules file in force: "+s.env.status.Rules)
	case answer:
		if r, ok := msg.value.(reloaded); ok {
			s.reloading = false
			return tea.Batch(reloadNotice(r, msg.err), s.env.send(askMsg{}))
		}
	}
	return s.listing.Update(msg)
}

// withoutFolder cuts the folder from what begins with a path, a colon and a line, so
// that there is room for what is said.
func withoutFolder(text string) string {
	path, _, _ := strings.Cut(text, ":")
	return text[strings.LastIndexByte(path, '/')+1:]
}

// reloadNotice says what came of a reload.
func reloadNotice(r reloaded, err error) tea.Cmd {
	if err != nil {
		text := err.Error()
		var refused *control.Error
		if errors.As(err, &refused) && refused.Diagnostics != "" {
			text = withoutFolder(refused.Diagnostics)
		}
		first, _, more := strings.Cut(text, "\n")
		if more {
			first += " ... ('sttwall check' says all)"
		}
		return notice(toneBad, "nothing has changed: "+first)
	}
	text := fmt.Sprintf("in force: %s, %s", counted(r.Tenants, "tenant"), counted(r.Rules, "rule"))
	if r.FlowsEnded > 0 {
		text += fmt.Sprintf("; %s ended", counted(r.FlowsEnded, "flow"))
	}
	if n := len(r.Warnings); n > 0 {
		return notice(toneWarn, text+fmt.Sprintf("; %s, see 'sttwall check'", counted(n, "warning")))
	}
	return notice(toneGood, text)
}
