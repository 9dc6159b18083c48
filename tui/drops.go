package tui

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

const (
	// keptDrops is how many dropped frames are listed; of more, the newest.
	keptDrops = 1000
	// dropSnap is how many bytes of each are asked for: headers, and what follows.
	dropSnap = 512
)

// drops is the screen of what is dropped: how much for which reason, and the frames
// that were dropped lately.
type drops struct {
	env     *env
	reasons *table[control.Drop]
	frames  *table[*control.Frame]
	rates   dropRates
	// onReasons: keys go to the table of reasons.
	onReasons bool
	heard     bool
	err       error
	// kept are the frames that the filter selects, the oldest first; last is the
	// largest number of those that were told, of the firewall that started then.
	kept    []*control.Frame
	last    uint64
	started time.Time
	skipped uint64
	// asking counts changes of the filter: answers to questions before are late.
	asking int
}

func newDrops(e *env) screen {
	s := &drops{env: e}
	s.reasons = newTable(e, reasonColumns(s), func(d *control.Drop) string { return d.Reason })
	s.reasons.sortBy = "count"
	s.frames = newTable(e, byPointer(frameColumns(e)), func(f **control.Frame) string { return strconv.FormatUint((*f).Seq, 10) })
	s.frames.sortBy = "time"
	return s
}

func (s *drops) Title() string { return "Drops" }

func (s *drops) Keys() []key.Binding {
	k := s.env.keys
	keys := []key.Binding{k.Enter, k.Part, k.Filter}
	if !s.onReasons {
		keys = []key.Binding{k.Enter, k.Filter, k.Rule, k.Part}
	}
	return append(keys, s.focus().keys()...)
}

// focused is what keys go to.
type focused interface {
	Update(tea.Msg) (used, resorted bool)
	keys() []key.Binding
	copied() (text, what string)
	place() string
	Columns() []columnChoice
	SetColumns([]columnChoice)
}

func (s *drops) focus() focused {
	if s.onReasons {
		return s.reasons
	}
	return s.frames
}

type dropsAnswer struct {
	drops   []control.Drop
	recent  control.RecentDrops
	asking  int
	started time.Time
}

// Ask asks for the counters, and for the frames since the last answer.
func (s *drops) Ask() question {
	if started := s.env.status.Started; !started.Equal(s.started) {
		s.forget()
		s.started = started
	}
	a := dropsAnswer{asking: s.asking, started: s.started}
	q := control.FrameQuery{Filter: s.env.filter.String(), Snap: dropSnap, Limit: keptDrops, After: s.last}
	return func(ctx context.Context, fw Firewall) (_ any, err error) {
		if a.drops, err = fw.Drops(ctx); err != nil {
			return nil, err
		}
		a.recent, err = fw.RecentDrops(ctx, q)
		return a, err
	}
}

// forget begins anew: another filter, or another firewall.
func (s *drops) forget() {
	s.asking++
	s.kept, s.last = nil, 0
	s.frames.setRows(nil)
}

func (s *drops) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case sizeMsg:
		s.resize()
	case filterMsg:
		s.forget()
		s.heard = false
		s.frames.follow = true
	case answer:
		if s.err = msg.err; s.err == nil {
			s.take(msg.value.(dropsAnswer))
		}
	case tea.KeyPressMsg:
		return s.press(msg)
	case tea.MouseClickMsg:
		return s.click(msg)
	case tea.MouseWheelMsg:
		if p := s.plan(s.env.height); msg.Y < p.reasons {
			s.reasons.Update(msg)
		} else {
			s.frames.Update(msg)
		}
	}
	return nil
}

func (s *drops) take(a dropsAnswer) {
	s.rates.take(s.env.now(), a.drops)
	s.reasons.setRows(a.drops)
	if a.asking != s.asking {
		return
	}
	s.heard, s.skipped = true, a.recent.Skipped
	before := s.last
	for i := range a.recent.Frames {
		if f := &a.recent.Frames[i]; f.Seq > s.last {
			s.last = f.Seq
			s.kept = append(s.kept, f)
		}
	}
	if over := len(s.kept) - keptDrops; over > 0 {
		s.kept = slices.Clone(s.kept[over:]) // what is over is let go of
	}
	if s.last != before {
		// The table changes the order.
		s.frames.setRows(slices.Clone(s.kept))
	}
	s.resize()
}

func (s *drops) resize() {
	p := s.plan(s.env.height)
	s.reasons.resize(s.env.width, p.reasons)
	s.frames.resize(s.env.width, p.frames)
}

func (s *drops) press(msg tea.KeyPressMsg) tea.Cmd {
	k := s.env.keys
	switch {
	case key.Matches(msg, k.Part):
		s.toReasons(!s.onReasons)
	case key.Matches(msg, k.Enter):
		return s.open()
	case key.Matches(msg, k.Rule):
		return s.openRule()
	default:
		s.focus().Update(msg)
	}
	return nil
}

// toReasons gives the keys to the table of reasons, or to that of frames. That of
// reasons is left at its top: without a selected row nothing says that it is not.
func (s *drops) toReasons(on bool) {
	if s.onReasons && !on {
		s.reasons.toTop()
	}
	s.onReasons = on
}

// open shows a frame, or the frames of a reason.
func (s *drops) open() tea.Cmd {
	if s.onReasons {
		if d := s.reasons.current(); d != nil {
			s.toReasons(false)
			return s.env.send(gotoMsg{"Drops", s.env.narrowed("reason", d.Reason)})
		}
		return nil
	}
	if f := s.frames.current(); f != nil {
		return s.env.send(openMsg{newDrop(s.env, **f)})
	}
	return nil
}

// openRule shows a frame, and the rule that would let it pass.
func (s *drops) openRule() tea.Cmd {
	f := s.frames.current()
	if s.onReasons || f == nil {
		return nil
	}
	d := newDrop(s.env, **f)
	s.env.send(openMsg{d})
	return d.askRule()
}

func (s *drops) click(msg tea.MouseClickMsg) tea.Cmd {
	p := s.plan(s.env.height)
	before, was := s.onReasons, s.focus()
	switch framesTop := s.env.height - p.frames; {
	case msg.Y < p.reasons:
		s.toReasons(true)
	case msg.Y >= framesTop:
		s.toReasons(false)
		msg.Y -= framesTop
	default:
		return nil
	}
	at, follow := s.frames.at, s.frames.follow
	if s.onReasons {
		at, follow = s.reasons.at, s.reasons.follow
	}
	s.focus().Update(msg)
	now := s.frames.at
	if s.onReasons {
		now = s.reasons.at
	}
	// A click on what is selected opens it.
	if s.focus() == was && s.onReasons == before && now == at && !follow && msg.Y > 0 {
		return s.open()
	}
	return nil
}

// Filtered says what the filter selects here.
func (s *drops) Filtered() string {
	if !s.heard {
		return ""
	}
	return "selects " + counted(len(s.kept), "frame")
}

// Place says where the selected row of the table with the keys stands.
func (s *drops) Place() string { return s.focus().place() }

func (s *drops) Chooser() columnChooser { return s.focus() }

func (s *drops) Copy() (text, what string) { return s.focus().copied() }

// Export exports the table that has the keys.
func (s *drops) Export() question {
	var rows exportRows
	switch {
	case s.onReasons && s.reasons.total > 0:
		rows = s.reasons.export("reasons", slices.Clone(s.reasons.rows), s.reasons.total)
	case !s.onReasons && s.frames.total > 0:
		rows = s.frames.export("drops", slices.Clone(s.frames.rows), s.frames.total)
	default:
		return nil
	}
	return func(context.Context, Firewall) (any, error) { return rows, nil }
}

// frameProtocol is the inner protocol, or the ethertype.
func frameProtocol(f *control.Frame) string {
	if f.ICMPType != nil && f.ICMPCode != nil {
		return f.Protocol + "/" + strconv.Itoa(int(*f.ICMPType)) + "/" + strconv.Itoa(int(*f.ICMPCode))
	}
	return cmp.Or(f.Protocol, f.EtherType)
}
