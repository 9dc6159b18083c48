package tui

import (
	"context"
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// health is the screen of how the firewall itself does: what is wrong, and how full
// everything is that has a bound.
type health struct {
	env   *env
	heard bool
	err   error
	now   control.Health
	// before is the answer before it, for what happens a second.
	before  control.Health
	seconds float64 // between them; 0: there is none before
	scroll  scroll
}

func newHealth(e *env) screen { return &health{env: e} }

func (s *health) Title() string { return "Health" }

func (s *health) Keys() []key.Binding {
	k := s.env.keys
	return []key.Binding{k.Up, k.Down}
}

func (s *health) Ask() question {
	return func(ctx context.Context, fw Firewall) (any, error) { return fw.Health(ctx) }
}

func (s *health) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answer:
		if s.err = msg.err; s.err == nil {
			s.take(msg.value.(control.Health))
		}
	default:
		s.scroll.Update(msg, s.env, len(s.lines(s.env.width)))
	}
	return nil
}

func (s *health) take(h control.Health) {
	// A firewall that was started anew counts from 0.
	s.seconds = 0
	if s.heard && h.Uptime > s.now.Uptime {
		s.seconds = h.Uptime - s.now.Uptime
	}
	h.Troubles = worstFirst(h.Troubles)
	s.before, s.now, s.heard = s.now, h, true
}

// worstFirst puts what is critical before what is not.
func worstFirst(troubles []control.Trouble) []control.Trouble {
	critical := func(t *control.Trouble) int {
		if t.Severity == severityCritical {
			return 0
		}
		return 1
	}
	out := slices.Clone(troubles)
	slices.SortStableFunc(out, func(a, b control.Trouble) int { return critical(&a) - critical(&b) })
	return out
}

const severityCritical = "critical"

// Copy copies the troubles.
func (s *health) Copy() (text, what string) {
	for _, t := range s.now.Troubles {
		text += clean(t.Severity) + ": " + clean(t.What) + "; do: " + clean(t.Remedy) + "\n"
	}
	return text, counted(len(s.now.Troubles), "trouble")
}
