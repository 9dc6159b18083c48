package tui

import (
	"context"
	"slices"
	"time"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
)

// trendOf is how many rates of a flow are kept for its sparkline, while it is on the
// page.
const trendOf = 12

// flows is the screen of the flows: a page of those that the filter selects, sorted
// by the firewall.
type flows struct {
	env     *env
	table   *table[control.Flow]
	heard   bool
	page    control.FlowPage // without its flows
	err     error            // of the last question
	trends  map[string][]float64
	columns flowColumns
	// trendAt is when trends grew last.
	trendAt time.Time
	// again is when was asked once more because rows were missing.
	again time.Time
}

func newFlows(e *env) screen {
	s := &flows{env: e, trends: make(map[string][]float64)}
	s.columns = flowColumns{e, s.trends, e.now}
	s.table = newTable(e, s.columns.all(), func(f *control.Flow) string { return f.ID })
	s.table.sortBy = "rate"
	return s
}

func (s *flows) Title() string { return "Flows" }

func (s *flows) Keys() []key.Binding {
	return append([]key.Binding{s.env.keys.Enter, s.env.keys.Filter}, s.table.keys()...)
}

// flowsAnswer is a page, and the frozen flows.
type flowsAnswer struct {
	page   control.FlowPage
	first  int
	frozen []control.Flow // those of asked that there are
	asked  []string
}

// query asks for the rows that can be seen, and as many above and below, so that
// moving about shows rows at once.
func (s *flows) query() control.FlowQuery {
	t := s.table
	q := control.FlowQuery{
		Filter: s.env.filter.String(), Sort: t.sortBy, Descending: t.descending(),
		Offset: max(0, t.top-t.lines()), Limit: min(3*t.lines(), control.MaxFlows),
	}
	if !t.follow {
		q.Find = t.chosen
	}
	return q
}

// Ask asks for a page. The selected flow may have moved off it: then the page goes
// after it.
func (s *flows) Ask() question {
	q, line, frozen := s.query(), s.table.at-s.table.top, frozenQuery(s.table.frozen)
	return func(ctx context.Context, fw Firewall) (any, error) {
		page, err := fw.Flows(ctx, q)
		if err != nil {
			return nil, err
		}
		if at := page.Position; at != nil && (*at < q.Offset || *at >= q.Offset+len(page.Flows)) {
			q.Offset = max(0, *at-line-q.Limit/3)
			if page, err = fw.Flows(ctx, q); err != nil {
				return nil, err
			}
		}
		a := flowsAnswer{page: page, first: q.Offset}
		if len(frozen.IDs) > 0 {
			kept, err := fw.Flows(ctx, frozen)
			if err != nil {
				return nil, err
			}
			a.frozen, a.asked = kept.Flows, frozen.IDs
		}
		return a, nil
	}
}

// frozenQuery asks for frozen flows, which may not be on the page.
func frozenQuery(frozen []control.Flow) (q control.FlowQuery) {
	for i := range frozen {
		q.IDs = append(q.IDs, frozen[i].ID)
	}
	return q
}

// Update takes keys, the mouse and answers.
func (s *flows) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case sizeMsg:
		s.table.resize(s.env.width, s.env.height)
		return nil
	case filterMsg:
		s.heard = false
		s.table.top, s.table.at = 0, 0
		return nil
	case answer:
		s.take(msg)
		// What is missing after that may never come: then the next second asks again.
		if now := s.env.now(); s.err == nil && s.table.missing() && now.Sub(s.again) >= leastApart {
			s.again = now
			return s.env.send(askMsg{})
		}
		return nil
	case tea.KeyPressMsg:
		if key.Matches(msg, s.env.keys.Enter) {
			return s.open()
		}
	case tea.MouseClickMsg:
		if at := s.table.at; msg.Y > len(s.table.frozen) && msg.Y-1-len(s.table.frozen)+s.table.top == at && !s.table.follow {
			return s.open()
		}
	}
	if _, resorted := s.table.Update(msg); resorted || s.table.missing() {
		return s.env.send(askMsg{})
	}
	return nil
}

func (s *flows) open() tea.Cmd {
	if f := s.table.current(); f != nil {
		return s.env.send(openMsg{newFlow(s.env, *f)})
	}
	return nil
}

func (s *flows) take(msg answer) {
	if s.err = msg.err; s.err != nil {
		return
	}
	a := msg.value.(flowsAnswer)
	s.heard = true
	// A page that is asked for between two seconds makes no trend longer.
	now := s.env.now()
	between := now.Sub(s.trendAt) < leastApart
	if !between {
		s.trendAt = now
	}
	kept := make(map[string][]float64, len(a.page.Flows)+len(a.frozen))
	for _, list := range [][]control.Flow{a.page.Flows, a.frozen} {
		for i := range list {
			f := &list[i]
			if _, done := kept[f.ID]; !done {
				past := s.trends[f.ID]
				if !between || len(past) == 0 {
					past = append(past, bothRates(f).Bytes)
				}
				kept[f.ID] = past[max(0, len(past)-trendOf):]
			}
		}
	}
	clear(s.trends)
	for id, past := range kept {
		s.trends[id] = past
	}
	s.page = a.page
	s.table.setPage(a.page.Flows, a.first, max(a.page.Matched, a.first+len(a.page.Flows)), a.page.Position)
	s.table.refresh(a.frozen, func(id string) bool { return slices.Contains(a.asked, id) })
	s.page.Flows = nil
}

// Filtered says how many flows the filter hides.
func (s *flows) Filtered() string {
	if !s.heard {
		return ""
	}
	return "selects " + counted(s.table.total, "flow") + " of " + grouped(uint64(max(s.env.status.Flows, s.table.total)))
}

// Place says where in the table the selection is.
func (s *flows) Place() string { return s.table.place() }

// Chooser is the table.
func (s *flows) Chooser() columnChooser { return s.table }

// Copy copies the selected row.
func (s *flows) Copy() (text, what string) { return s.table.copied() }

// Export asks for as many of the selected flows as a page can have.
func (s *flows) Export() question {
	if s.table.total == 0 {
		return nil
	}
	q := s.query()
	q.Offset, q.Limit, q.Find = 0, control.MaxFlows, ""
	// The cells are written elsewhere: they need a table of their own.
	columns := make([]column[control.Flow], len(s.table.columns))
	copy(columns, s.table.columns)
	e := &env{now: s.env.now}
	return func(ctx context.Context, fw Firewall) (any, error) {
		page, err := fw.Flows(ctx, q)
		if err != nil {
			return nil, err
		}
		of := &table[control.Flow]{columns: columns}
		all := flowColumns{env: e, now: e.now}.all()
		for i := range of.columns {
			for _, c := range all {
				if c.Key == of.columns[i].Key {
					of.columns[i].Cell, of.columns[i].File = c.Cell, c.File
				}
			}
		}
		return of.export("flows", page.Flows, page.Matched), nil
	}
}
