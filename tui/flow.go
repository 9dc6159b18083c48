package tui

import (
	"context"
	"errors"

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
	frames          []control.Frame // the oldest first
	sampling        bool
	noFrames        error // why there are none to be had
	scroll          scroll
	// open ends when the detail is closed.
	open  context.Context
	close context.CancelFunc
}

// flowTrend is how many rates of each direction are kept.
const flowTrend = 120

func newFlow(e *env, f control.Flow) screen {
	s := &flow{env: e, flow: f}
	s.open, s.close = context.WithCancel(e.ctx)
	return s
}

// Close lets go of the frames that are waited for.
func (s *flow) Close() { s.close() }

func (s *flow) Title() string {
	return end(s.flow.Src, s.flow.SrcPort) + " > " + end(s.flow.Dst, s.flow.DstPort)
}

func (s *flow) Keys() []key.Binding {
	k := s.env.keys
	keys := []key.Binding{k.Copy, k.Up, k.Down}
	if len(s.frames) > 0 {
		keys = append([]key.Binding{k.Packet}, keys...)
	}
	if s.audited() != nil {
		keys = append([]key.Binding{k.Rule}, keys...)
	}
	if s.rule != nil {
		keys = append([]key.Binding{k.RuleOf}, keys...)
	}
	return keys
}

// flowAnswer is the flow, nil if it is not there any more, and its rule.
type flowAnswer struct {
	flow *control.Flow
	rule *control.RuleHits
}

// Ask asks for the flow, which costs the firewall nothing, and for its rule.
func (s *flow) Ask() question {
	if s.ended {
		return nil
	}
	q, name := control.FlowQuery{IDs: []string{s.flow.ID}}, s.flow.Rule
	return func(ctx context.Context, fw Firewall) (any, error) {
		page, err := fw.Flows(ctx, q)
		if err != nil {
			return nil, err
		}
		var a flowAnswer
		if len(page.Flows) > 0 {
			a.flow = &page.Flows[0]
			name = a.flow.Rule
		}
		if name == "" {
			return a, nil
		}
		// It may have gone with a reload.
		rule, err := fw.Rule(ctx, name)
		var refused *control.Error
		if err != nil && !errors.As(err, &refused) {
			return nil, err
		}
		if err == nil {
			a.rule = &rule
		}
		return a, nil
	}
}

func (s *flow) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answer:
		if sample, ok := msg.value.(frameSample); ok {
			s.takeFrames(sample, msg.err)
			return nil
		}
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
		return s.sample()
	case tea.KeyPressMsg:
		switch k := s.env.keys; {
		case key.Matches(msg, k.RuleOf) && s.rule != nil:
			return s.env.send(openMsg{newRule(s.env, *s.rule)})
		case key.Matches(msg, k.Rule):
			if f := s.audited(); f != nil {
				d := newDrop(s.env, *f)
				s.env.send(openMsg{d})
				return d.askRule()
			}
			return notice(toneText, s.noRule())
		case key.Matches(msg, k.Packet) && len(s.frames) > 0:
			return s.env.send(openMsg{newDrop(s.env, s.frames[len(s.frames)-1])})
		}
	}
	s.scroll.Update(msg, s.env, len(s.lines(s.env.width)))
	return nil
}

// audited is the newest of the packets that pass by audit mode alone, nil if none does.
func (s *flow) audited() *control.Frame {
	for i := len(s.frames) - 1; i >= 0; i-- {
		if s.frames[i].Verdict == "audit" {
			return &s.frames[i]
		}
	}
	return nil
}

// noRule says why there is no packet to ask a rule for.
func (s *flow) noRule() string {
	if flowVerdict(&s.flow) == "audit" {
		return "a rule is asked for by a packet of the flow, and none has come since this was opened"
	}
	return "it passes: nothing has to be allowed"
}

// Copy copies the filter that selects the flow.
func (s *flow) Copy() (text, what string) { return flowFilter(&s.flow), "a filter for this flow" }
