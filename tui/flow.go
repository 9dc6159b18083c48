package tui

import (
	"context"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// flow is the detail of a flow.
type flow struct {
	env   *env
	flow  control.Flow
	ended bool
	err   error
	rule  *control.RuleHits
	// original and reply are bytes a second, the newest last.
	original, reply []float64
	top             int // first line that is seen
}

// flowTrend is how many rates of each direction are kept.
const flowTrend = 120

func newFlow(e *env, f control.Flow) screen { return &flow{env: e, flow: f} }

func (s *flow) Title() string {
	return end(s.flow.Src, s.flow.SrcPort) + " > " + end(s.flow.Dst, s.flow.DstPort)
}

func (s *flow) Keys() []key.Binding {
	k := s.env.keys
	return []key.Binding{k.Up, k.Down, k.Copy}
}

// flowAnswer is the flow, nil if it is not there any more, and its rule.
type flowAnswer struct {
	flow *control.Flow
	rule *control.RuleHits
}

// Ask asks for the flow by what makes it one, and for its rule.
func (s *flow) Ask() question {
	if s.ended {
		return nil
	}
	q, id, name := control.FlowQuery{Filter: flowFilter(&s.flow), Sort: "rate", Limit: 64}, s.flow.ID, s.flow.Rule
	return func(ctx context.Context, fw Firewall) (any, error) {
		page, err := fw.Flows(ctx, q)
		if err != nil {
			return nil, err
		}
		var a flowAnswer
		for i := range page.Flows {
			if page.Flows[i].ID == id {
				a.flow = &page.Flows[i]
				name = a.flow.Rule
			}
		}
		if name == "" {
			return a, nil
		}
		rules, err := fw.Rules(ctx)
		if err != nil {
			return nil, err
		}
		for i := range rules {
			if rules[i].Rule == name {
				a.rule = &rules[i]
			}
		}
		return a, nil
	}
}

func (s *flow) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answer:
		if s.err = msg.err; s.err != nil {
			return nil
		}
		a := msg.value.(flowAnswer)
		s.rule = a.rule
		if s.ended = a.flow == nil; s.ended {
			return nil
		}
		s.flow = *a.flow
		grow := func(past []float64, r *control.Rate) []float64 {
			if r == nil {
				r = new(control.Rate)
			}
			past = append(past, r.Bytes)
			return past[max(0, len(past)-flowTrend):]
		}
		s.original, s.reply = grow(s.original, s.flow.OriginalRate), grow(s.reply, s.flow.ReplyRate)
	case tea.KeyPressMsg:
		k := s.env.keys
		switch {
		case key.Matches(msg, k.Up):
			s.top--
		case key.Matches(msg, k.Down):
			s.top++
		case key.Matches(msg, k.PageUp):
			s.top -= s.env.height
		case key.Matches(msg, k.PageDown):
			s.top += s.env.height
		}
		s.top = max(0, min(s.top, len(s.lines(s.env.width))-s.env.height))
	}
	return nil
}

// Copy copies the filter that selects the flow.
func (s *flow) Copy() (text, what string) { return flowFilter(&s.flow), "a filter for this flow" }
