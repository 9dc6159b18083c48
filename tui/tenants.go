package tui

import (
	"context"
	"slices"

	"charm.land/bubbles/v2/key"
	tea "charm.land/bubbletea/v2"

	"sttwall/control"
	"sttwall/filter"
)

// tenants is the screen of the tenants.
type tenants struct {
	listing[control.TenantHits]
}

func newTenants(e *env) screen {
	s := &tenants{}
	s.listing = listing[control.TenantHits]{
		env: e, title: "Tenants", what: "tenant",
		id:   func(t *control.TenantHits) string { return t.Tenant },
		ask:  func(ctx context.Context, fw Firewall) ([]control.TenantHits, error) { return fw.Tenants(ctx) },
		hits: func(t *control.TenantHits) (name string, h *control.Hits) { return t.Tenant, &t.Hits },
		record: func(t *control.TenantHits, r *filter.Record) {
			r.Tenant, r.Bytes, r.Packets = t.Tenant, t.Bytes, t.Frames
		},
		fields: []string{"tenant", "text", "bytes", "packets"},
		open: func(t *control.TenantHits) tea.Cmd {
			return e.send(gotoMsg{"Flows", e.narrowed("tenant", t.Tenant)})
		},
	}
	s.table = newTable(e, tenantColumns(&s.listing), s.id)
	s.table.sortBy = "rate"
	return s
}

// listing is a screen whose rows all come at once: tenants, rules.
type listing[T any] struct {
	env         *env
	title, what string
	table       *table[T]
	id          func(*T) string
	ask         func(context.Context, Firewall) ([]T, error)
	// hits are the counters of a row, whose name stays the same.
	hits func(*T) (name string, h *control.Hits)
	// record fills what a filter with those fields can ask for.
	record func(*T, *filter.Record)
	fields []string
	open   func(*T) tea.Cmd

	heard  bool
	err    error
	all    []T
	rates  hitRates
	hidden int
}

func (s *listing[T]) Title() string { return s.title }

func (s *listing[T]) Keys() []key.Binding {
	return append([]key.Binding{s.env.keys.Enter, s.env.keys.Filter}, s.table.keys()...)
}

func (s *listing[T]) Ask() question {
	ask := s.ask
	return func(ctx context.Context, fw Firewall) (any, error) { return ask(ctx, fw) }
}

func (s *listing[T]) Update(msg tea.Msg) tea.Cmd {
	switch msg := msg.(type) {
	case sizeMsg:
		s.table.resize(s.env.width, s.env.height)
		return nil
	case filterMsg:
		s.sift()
		return nil
	case answer:
		if s.err = msg.err; s.err == nil {
			s.heard, s.all = true, msg.value.([]T)
			s.rates.take(s.env, len(s.all), func(i int) (string, *control.Hits) { return s.hits(&s.all[i]) })
			s.sift()
		}
		return nil
	case tea.KeyPressMsg:
		if key.Matches(msg, s.env.keys.Enter) {
			if r := s.table.current(); r != nil {
				return s.open(r)
			}
			return nil
		}
	}
	if _, resorted := s.table.Update(msg); resorted {
		s.sift()
	}
	return nil
}

// applies reports whether the filter asks for nothing but what rows have here.
func (s *listing[T]) applies() bool {
	for _, field := range s.env.filter.Fields() {
		if !slices.Contains(s.fields, field) {
			return false
		}
	}
	return true
}

// sift gives the table the rows that the filter selects.
func (s *listing[T]) sift() {
	rows := make([]T, 0, len(s.all))
	applies := s.applies()
	for i := range s.all {
		r := filter.Record{Protocol: -1, EtherType: -1, SrcPort: -1, DstPort: -1, Age: -1}
		if s.record(&s.all[i], &r); !applies || s.env.filter.Match(&r) {
			rows = append(rows, s.all[i])
		}
	}
	s.hidden = len(s.all) - len(rows)
	s.table.setRows(rows)
	s.table.refresh(s.all, nil)
}

// Filtered says what the filter does here.
func (s *listing[T]) Filtered() string {
	if !s.applies() {
		return "is not about " + s.what + "s: all are shown"
	}
	return "selects " + counted(s.table.total, s.what) + " of " + grouped(uint64(len(s.all)))
}

// Place says where in the table the selection is.
func (s *listing[T]) Place() string { return s.table.place() }

func (s *listing[T]) Chooser() columnChooser { return s.table }

func (s *listing[T]) Copy() (text, what string) { return s.table.copied() }

// Export exports what is here.
func (s *listing[T]) Export() question {
	if s.table.total == 0 {
		return nil
	}
	rows := s.table.export(s.what+"s", slices.Clone(s.table.rows), len(s.table.rows))
	return func(context.Context, Firewall) (any, error) { return rows, nil }
}

func (s *listing[T]) View(width, height int) string {
	if s.table.total > 0 {
		return s.table.View(width, height)
	}
	return s.env.empty(width, height, emptyTable{
		heard: s.heard, err: s.err, what: s.what, hidden: s.hidden,
		more: []string{"The rules file names none. 'sttwall run --help' says which file it is, docs/rules.md what can stand in it."},
	})
}
