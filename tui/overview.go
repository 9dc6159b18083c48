package tui

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/filter"
	"sttwall/tui/plot"
)

// overview is the first screen: whether all is well, how much goes through, who sends
// most, and what is dropped.
type overview struct {
	env   *env
	heard bool
	err   error
	// From the last answer; tenants and drops have the most on top.
	history     control.History
	health      control.Health
	tenants     []control.TenantHits
	drops       []control.Drop
	tenantRates hitRates
	dropRates   dropRates
	// The tops of the charts' axes.
	bitsTop, packetsTop plot.Scale
	bits, packets       float64
	// The selected line: of the tenants, or of the drops.
	onDrops bool
	chosen  string // tenant or reason
	found   found
}

func newOverview(e *env) screen { return &overview{env: e} }

func (s *overview) Title() string { return "Overview" }

func (s *overview) Keys() []key.Binding {
	k := s.env.keys
	return []key.Binding{k.Enter, k.Part, k.Filter}
}

// Filtered says where to look for what the filter selects: the numbers here are of all
// that passes.
func (s *overview) Filtered() string {
	if f := s.found; f.filter == s.env.filter.String() {
		return fmt.Sprintf("selects %s (key 2) and %s dropped lately (key 5)", counted(f.flows, "flow"), counted(f.frames, "frame"))
	}
	return ""
}

type overviewAnswer struct {
	history control.History
	health  control.Health
	tenants []control.TenantHits
	drops   []control.Drop
	found   found
}

// found is what a filter selects.
type found struct {
	filter        string
	flows, frames int
}

// Ask asks for all of it.
func (s *overview) Ask() question {
	filter := s.env.filter.String()
	return func(ctx context.Context, fw Firewall) (_ any, err error) {
		var a overviewAnswer
		if a.history, err = fw.History(ctx); err != nil {
			return nil, err
		}
		if a.health, err = fw.Health(ctx); err != nil {
			return nil, err
		}
		if a.tenants, err = fw.Tenants(ctx); err != nil {
			return nil, err
		}
		if a.drops, err = fw.Drops(ctx); err != nil || filter == "" {
			return a, err
		}
		page, err := fw.Flows(ctx, control.FlowQuery{Filter: filter, Sort: "rate", Limit: 1})
		if err != nil {
			return nil, err
		}
		recent, err := fw.RecentDrops(ctx, control.FrameQuery{Filter: filter, Snap: 1, Limit: keptDrops})
		a.found = found{filter, page.Matched, len(recent.Frames)}
		return a, err
	}
}

func (s *overview) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case answer:
		if s.err = msg.err; s.err == nil {
			s.take(msg.value.(overviewAnswer))
		}
	case tea.KeyPressMsg:
		return s.press(msg)
	case tea.MouseClickMsg:
		return s.click(msg.X, msg.Y)
	case tea.MouseWheelMsg:
		switch msg.Button {
		case tea.MouseWheelUp:
			s.move(-1)
		case tea.MouseWheelDown:
			s.move(1)
		}
	}
	return nil
}

func (s *overview) take(a overviewAnswer) {
	s.heard, s.history, s.health, s.tenants, s.drops, s.found = true, a.history, a.health, a.tenants, a.drops, a.found
	s.health.Troubles = worstFirst(s.health.Troubles)
	s.tenantRates.take(s.env, len(s.tenants), func(i int) (string, *control.Hits) { return s.tenants[i].Tenant, &s.tenants[i].Hits })
	s.dropRates.take(s.env.now(), s.drops)
	slices.SortStableFunc(s.tenants, func(a, b control.TenantHits) int {
		return cmp.Or(cmp.Compare(s.tenantRates.now[b.Tenant].bytes, s.tenantRates.now[a.Tenant].bytes), cmp.Compare(b.Bytes, a.Bytes))
	})
	slices.SortStableFunc(s.drops, func(a, b control.Drop) int {
		return cmp.Or(cmp.Compare(s.dropRates.now[b.Reason].rate, s.dropRates.now[a.Reason].rate), cmp.Compare(b.Count, a.Count))
	})
	s.bits = s.bitsTop.Next(plot.Largest(s.values(bitsOf)))
	s.packets = s.packetsTop.Next(plot.Largest(s.values(packetsOf)))
}

// The numbers of a sample.
var (
	bitsOf     = func(x *control.Sample) float64 { return 8 * float64(x.Bytes) }
	packetsOf  = func(x *control.Sample) float64 { return float64(x.Packets) }
	acceptedOf = func(x *control.Sample) float64 { return float64(x.Accepted - min(x.Audited, x.Accepted)) }
	droppedOf  = func(x *control.Sample) float64 { return float64(x.Dropped - min(x.Rejected, x.Dropped)) }
	auditedOf  = func(x *control.Sample) float64 { return float64(x.Audited) }
	rejectedOf = func(x *control.Sample) float64 { return float64(x.Rejected) }
	lostOf     = func(x *control.Sample) float64 { return float64(x.Lost) }
)

// step is the length of a sample in seconds.
func (s *overview) step() float64 {
	if s.history.Step > 0 {
		return s.history.Step
	}
	return 1
}

// values are a number of each sample, a second.
func (s *overview) values(of func(*control.Sample) float64) []float64 {
	step := s.step()
	out := make([]float64, len(s.history.Samples))
	for i := range out {
		out[i] = of(&s.history.Samples[i]) / step
	}
	return out
}

// window is such numbers for a plot.
func (s *overview) window(of func(*control.Sample) float64) plot.Window {
	w := plot.Window{Values: s.values(of), Steps: s.steps()}
	if len(s.history.Samples) > 0 {
		w.Start = int64(float64(s.history.Samples[0].Time.Unix())/s.step() + 0.5)
	}
	return w
}

// steps is how many samples the plots are wide: soon after the start they show less time,
// and not an empty picture.
func (s *overview) steps() int {
	n := len(s.history.Samples)
	for _, steps := range []int{60, 120, 300} {
		if n <= steps {
			return steps
		}
	}
	return max(n, 600)
}

// names are the tenants or the reasons, in their order.
func (s *overview) names(drops bool) []string {
	var out []string
	if drops {
		for i := range s.drops {
			out = append(out, s.drops[i].Reason)
		}
		return out
	}
	for i := range s.tenants {
		out = append(out, s.tenants[i].Tenant)
	}
	return out
}

// selected is the place of the selected line in its list, -1 if the list is empty.
func (s *overview) selected() int {
	names := s.names(s.onDrops)
	if i := slices.Index(names, s.chosen); i >= 0 {
		return i
	}
	return min(0, len(names)-1)
}

func (s *overview) move(by int) {
	if names := s.names(s.onDrops); len(names) > 0 {
		s.chosen = names[max(0, min(s.selected()+by, len(names)-1))]
	}
}

func (s *overview) press(msg tea.KeyPressMsg) tea.Cmd {
	k := s.env.keys
	switch {
	case key.Matches(msg, k.Up):
		s.move(-1)
	case key.Matches(msg, k.Down):
		s.move(1)
	case key.Matches(msg, k.Top):
		s.move(-len(s.tenants) - len(s.drops))
	case key.Matches(msg, k.Bottom):
		s.move(len(s.tenants) + len(s.drops))
	case key.Matches(msg, k.Part):
		if drops := !backwards(msg); drops != s.onDrops {
			s.onDrops, s.chosen = drops, ""
		}
	case key.Matches(msg, k.Enter):
		return s.open()
	}
	return nil
}

// open shows the flows of a tenant, or the frames dropped for a reason.
func (s *overview) open() tea.Cmd {
	at := s.selected()
	switch {
	case at < 0:
		return nil
	case s.onDrops:
		return s.env.send(gotoMsg{"Drops", "reason:" + filter.Quote(s.drops[at].Reason)})
	}
	return s.env.send(gotoMsg{"Flows", "tenant:" + filter.Quote(s.tenants[at].Tenant)})
}

// click selects a line, and opens the selected one.
func (s *overview) click(x, y int) tea.Cmd {
	p := s.plan(s.env.width, s.env.height)
	drops := x >= p.half
	names := s.names(drops)
	top, _ := s.seen(drops, p.rows)
	at := top + y - p.listTop
	if y < p.listTop || y >= p.listTop+p.rows || at >= len(names) {
		return nil
	}
	if drops == s.onDrops && at == s.selected() && s.chosen != "" {
		return s.open()
	}
	s.onDrops, s.chosen = drops, names[at]
	return nil
}

// seen is which lines of a list are seen: those around the selected one.
func (s *overview) seen(drops bool, rows int) (top, end int) {
	n := len(s.names(drops))
	if drops == s.onDrops {
		top = max(0, min(s.selected()-rows+1, n-rows))
	}
	return top, min(n, top+rows)
}
