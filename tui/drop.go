package tui

import (
	"context"
	"encoding/hex"
	"strings"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/dissect"
	"sttwall/stt"
)

// dropPart is a part of the detail of a drop: the one that has the keys.
type dropPart int

const (
	partWhy   dropPart = iota // why it was dropped, and which rules were tried
	partFrame                 // its bytes, with the fields named
	partRule                  // the rule that would let it pass
	dropParts
)

// drop is the detail of a frame, of a dropped one mostly.
type drop struct {
	env   *env
	frame control.Frame
	// layers are what is in it, entries a line of the list of fields each, and at
	// the selected one.
	layers  []dissect.Layer
	entries []entry
	at      int
	part    dropPart
	top     [dropParts]int // first line of the parts that are text

	explained  bool
	why        control.Explanation
	whyErr     error
	ruleAsked  bool
	ruleHeard  bool
	rule       control.Remedy
	ruleErr    error
	otherSince bool // the rules in force decide otherwise now

	// open ends when the detail is closed.
	open  context.Context
	close context.CancelFunc
}

// entry is a layer, or a field of one.
type entry struct {
	layer *dissect.Layer
	field *dissect.Field // nil: the layer
}

func newDrop(e *env, f control.Frame) *drop {
	s := &drop{env: e, frame: f}
	s.open, s.close = context.WithCancel(e.ctx)
	s.nameFields(plainLayout)
	// Where something is wrong is where to look first.
	for i, each := range s.entries {
		if each.field != nil && each.field.Note != "" || each.field == nil && each.layer.Note != "" {
			s.at = i
			break
		}
	}
	return s
}

// Close lets go of the rule that is waited for.
func (s *drop) Close() { s.close() }

func (s *drop) Title() string {
	if s.passed() {
		return "Packet"
	}
	return "Drop"
}

// passed reports whether the rules let it pass: then there is nothing to allow.
func (s *drop) passed() bool { return s.frame.Verdict == "accept" }

// parts is how many of the parts there are.
func (s *drop) parts() dropPart {
	if s.passed() {
		return partRule
	}
	return dropParts
}

func (s *drop) Keys() []key.Binding {
	k := s.env.keys
	keys := []key.Binding{k.Part, k.Copy, k.Up, k.Down}
	if !s.passed() {
		keys = append([]key.Binding{k.Rule}, keys...)
	}
	return keys
}

// layout is how a tenant's context IDs are read.
type layout bool

const (
	plainLayout layout = false
	ovnLayout   layout = true
)

// nameFields takes the frame apart; the selected field stays selected.
func (s *drop) nameFields(as layout) {
	var was dissect.Field
	if s.at < len(s.entries) && s.entries[s.at].field != nil {
		was = *s.entries[s.at].field
	}
	f := &s.frame
	s.layers = dissect.Dissect(&dissect.Frame{Header: f.Header, Data: f.Data, Length: f.InnerBytes, OVN: as == ovnLayout})
	s.entries = nil
	for i := range s.layers {
		l := &s.layers[i]
		s.entries = append(s.entries, entry{layer: l})
		for j := range l.Fields {
			field := &l.Fields[j]
			if field.Name == was.Name && field.Offset == was.Offset {
				s.at = len(s.entries)
			}
			s.entries = append(s.entries, entry{l, field})
		}
	}
}

// layoutIn is the layout of the tenant that an explanation is about.
func layoutIn(x *control.Explanation) layout {
	return layout(strings.HasPrefix(x.Claim, "datapaths ") || strings.Contains(x.Tenant, "(OVN: "))
}

// Answers of what a drop asks.
type (
	explainAnswer struct {
		why control.Explanation
		err error
	}
	remedyAnswer struct {
		rule control.Remedy
		err  error
	}
)

// Ask asks once what becomes of such a frame now.
func (s *drop) Ask() question {
	if s.explained || len(s.frame.Data) == 0 {
		return nil
	}
	ask := control.ExplainRequest{
		Frame: s.frame.Data, InnerBytes: s.frame.InnerBytes, Header: s.frame.Header, From: addressText(s.frame.From), To: addressText(s.frame.To),
	}
	if s.frame.Context != nil {
		ask.Context = *s.frame.Context
	}
	return func(ctx context.Context, fw Firewall) (any, error) {
		x, err := fw.Explain(ctx, ask)
		return explainAnswer{x, err}, nil
	}
}

// askRule asks for the smallest rule that would let it pass.
func (s *drop) askRule() tea.Cmd {
	if s.passed() {
		return notice(toneText, "it passes: nothing has to be allowed")
	}
	s.part = partRule
	if s.ruleAsked {
		return nil
	}
	s.ruleAsked = true
	f := &s.frame
	ask := control.RemedyRequest{
		Header: f.Header, Data: f.Data, InnerBytes: f.InnerBytes, Reason: f.Reason, From: addressText(f.From), To: addressText(f.To),
	}
	if f.Context != nil {
		ask.Context = *f.Context
	}
	return s.env.callUntil(s.open, s, func(ctx context.Context, fw Firewall) (any, error) {
		r, err := fw.Remedy(ctx, ask)
		return remedyAnswer{r, err}, nil
	})
}

func (s *drop) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answer:
		switch a := msg.value.(type) {
		case explainAnswer:
			s.explained, s.why, s.whyErr = true, a.why, a.err
			if a.err == nil && layoutIn(&a.why) == ovnLayout {
				s.nameFields(ovnLayout)
			}
			s.otherSince = a.err == nil && s.decides() != s.frame.Verdict
		case remedyAnswer:
			s.ruleHeard, s.rule, s.ruleErr = true, a.rule, a.err
			s.ruleAsked = a.err == nil // else r asks again
		}
	case tea.KeyPressMsg:
		return s.press(msg)
	case tea.MouseClickMsg:
		return s.click(msg.X, msg.Y)
	case tea.MouseWheelMsg:
		switch msg.Button {
		case tea.MouseWheelUp:
			s.move(-3)
		case tea.MouseWheelDown:
			s.move(3)
		}
	}
	return nil
}

// decides is the verdict of the rules now, in the words of filters.
func (s *drop) decides() string {
	if s.why.Audit {
		return "audit"
	}
	return s.why.Action
}

func (s *drop) press(msg tea.KeyPressMsg) tea.Cmd {
	k := s.env.keys
	switch {
	case key.Matches(msg, k.Rule):
		return s.askRule()
	case key.Matches(msg, k.Part):
		step := dropPart(1)
		if backwards(msg) {
			step = s.parts() - 1
		}
		return s.show((s.part + step) % s.parts())
	case key.Matches(msg, k.Up):
		s.move(-1)
	case key.Matches(msg, k.Down):
		s.move(1)
	case key.Matches(msg, k.PageUp):
		s.move(-s.env.height / 2)
	case key.Matches(msg, k.PageDown):
		s.move(s.env.height / 2)
	case key.Matches(msg, k.Top):
		s.move(-len(s.entries) - s.top[s.part])
	case key.Matches(msg, k.Bottom):
		s.move(len(s.entries) + len(s.text(s.part, s.env.width)))
	}
	return nil
}

// move moves through the fields, or the text.
func (s *drop) move(by int) {
	if s.part == partFrame {
		s.at = max(0, min(s.at+by, len(s.entries)-1))
		return
	}
	most := len(s.text(s.part, s.textWidth(s.env.width))) - s.textHeight(s.env.height)
	s.top[s.part] = max(0, min(s.top[s.part]+by, most))
}

// click chooses a part by its name, or a field.
func (s *drop) click(x, y int) tea.Cmd {
	if y == dropHead-1 {
		left := 0
		for part, name := range partNames[:s.parts()] {
			if x >= left && x < left+width(name)+partGap {
				return s.show(dropPart(part))
			}
			left += width(name) + partGap
		}
		return nil
	}
	left := 0
	if s.beside(s.env.width, s.env.height) {
		left = s.textWidth(s.env.width) + 2
	} else if s.part != partFrame {
		return nil
	}
	height := s.listHeight(s.env.height)
	if at := s.listTop(height) + y - dropHead; y >= dropHead && y < dropHead+height && x >= left && at < len(s.entries) {
		s.at, s.part = at, partFrame
	}
	return nil
}

// show gives a part the keys.
func (s *drop) show(part dropPart) tea.Cmd {
	if s.part = part; part == partRule {
		return s.askRule()
	}
	return nil
}

// Copy copies the rule, the bytes or the explanation, as the part is.
func (s *drop) Copy() (text, what string) {
	switch s.part {
	case partRule:
		if s.rule.Text != "" {
			return s.rule.Text, "the rule"
		}
		return "", ""
	case partFrame:
		return hex.EncodeToString(append(append(make([]byte, 0, stt.FrameHeaderLen+len(s.frame.Data)), s.frame.Header...), s.frame.Data...)), "the frame in hex"
	}
	return strings.Join(s.plainText(partWhy), "\n") + "\n", "why"
}
