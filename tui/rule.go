package tui

import (
	"context"
	"fmt"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// rule is the detail of a rule: what it says, and what it has decided.
type rule struct {
	env    *env
	rule   control.RuleHits
	err    error
	scroll scroll
}

func newRule(e *env, r control.RuleHits) screen { return &rule{env: e, rule: r} }

func (s *rule) Title() string { return s.rule.Rule }

func (s *rule) Keys() []key.Binding {
	k := s.env.keys
	of := k.FlowsOf
	if s.drops() {
		of.SetHelp(of.Help().Key, "its drops")
	}
	return []key.Binding{of, k.Copy, k.Up, k.Down}
}

// drops reports whether the rule only drops: then it has no flows to show.
func (s *rule) drops() bool { return s.rule.Flows == 0 && s.rule.Dropped+s.rule.Audited > 0 }

func (s *rule) Ask() question {
	name := s.rule.Rule
	return func(ctx context.Context, fw Firewall) (any, error) { return fw.Rule(ctx, name) }
}

func (s *rule) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answer:
		if s.err = msg.err; s.err == nil {
			s.rule = msg.value.(control.RuleHits)
		}
	case tea.KeyPressMsg:
		if key.Matches(msg, s.env.keys.FlowsOf) {
			to := "Flows"
			if s.drops() {
				to = "Drops"
			}
			return s.env.send(gotoMsg{to, s.env.narrowed("rule", s.rule.Rule)})
		}
	}
	s.scroll.Update(msg, s.env, len(s.lines(s.env.width)))
	return nil
}

// Copy copies the rule as it stands in the file.
func (s *rule) Copy() (text, what string) { return s.rule.Text, "the rule" }

func (s *rule) View(width, height int) string {
	return s.scroll.View(s.env, s.lines(width), width, height)
}

func (s *rule) lines(room int) []string {
	e, r, now := s.env, &s.rule, s.env.now()
	lines := []string{e.line(room, piece{toneTitle, "Rule  "}, piece{toneStrong, r.Rule})}
	add := func(label string, pieces ...piece) { lines = append(lines, e.labelled(room, label, pieces...)) }
	place := "temporary: it stands in no file"
	if r.File != "" {
		place = fmt.Sprintf("%s:%d", r.File, r.Line)
	}
	add("place", piece{toneText, place})
	add("decided", piece{toneStrong, grouped(r.Frames)}, piece{toneDim, " frames, "}, piece{toneText, bytesText(r.Bytes)},
		piece{toneDim, ", began "}, piece{toneText, grouped(r.Flows)}, piece{toneDim, " flows"})
	if r.Dropped > 0 {
		add("dropped", piece{toneDrop, grouped(r.Dropped)})
	}
	if r.Audited > 0 {
		add("audited", piece{toneAudit, grouped(r.Audited)}, piece{toneDim, " passed only because of audit mode"})
	}
	switch {
	case r.Last != nil && r.First != nil:
		add("last hit", piece{toneText, ageText(now.Sub(*r.Last)) + " ago"}, piece{toneDim, "   first "}, piece{toneText, ageText(now.Sub(*r.First)) + " ago"})
	case r.UnusedSince != nil:
		add("unused", piece{toneWarn, "since it is in force: " + ageText(now.Sub(*r.UnusedSince))})
	}
	lines = append(lines, "")
	if s.err != nil {
		lines = append(lines, e.line(room, piece{toneBad, s.err.Error()}))
	}
	return append(lines, e.ruleText(room, r)...)
}

// maxSource is how many lines of a rule are shown; what is cut is said.
const maxSource = 500

// ruleText is the text of a rule, with the numbers that its lines have in the file.
func (e *env) ruleText(room int, r *control.RuleHits) (lines []string) {
	if r.Text == "" {
		return nil
	}
	all := strings.Split(strings.ReplaceAll(r.Text, "\r\n", "\n"), "\n")
	for i, text := range all[:min(len(all), maxSource)] {
		number := ""
		if r.File != "" {
			number = fmt.Sprint(r.Line + i)
		}
		// The first line of a rule has lost its indentation.
		if i == 0 && len(all) > 1 {
			last := all[len(all)-1]
			text = last[:len(last)-len(strings.TrimLeft(last, " \t"))] + text
		}
		lines = append(lines, e.line(room, piece{toneDim, fitRight(number, 6) + "  "}, piece{toneText, strings.ReplaceAll(text, "\t", "  ")}))
	}
	if n := len(all) - maxSource; n > 0 {
		lines = append(lines, e.line(room, piece{toneDim, fmt.Sprintf("        %s more", counted(n, "line"))}))
	}
	return lines
}
