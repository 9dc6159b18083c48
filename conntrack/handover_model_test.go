package conntrack_test

import (
	"slices"
	"time"

	"sttwall/conntrack"
)

// exported returns all flows of a table as they are handed over.
func exported(table *conntrack.Table, now int64) (list []byte) {
	table.Export(now, func(record []byte) error {
		list = append(list, record...)
		return nil
	})
	return list
}

func sameTenant(tenant int32) (int32, bool) { return tenant, true }

// restart has another table take all flows, which the model goes on with: they are as
// they were, but no rules have accepted them yet.
func (s *sequence) restart() {
	s.Helper()
	s.model.expire(s.now)
	was := s.table
	list := exported(was, s.now)
	elapsed := int64(s.next(3)) * int64(time.Second)
	s.now += elapsed
	before := len(s.model.flows)
	s.model.expire(s.now)
	s.table = newTable(s, s.config)
	done, err := s.table.Import(&conntrack.Importing{Now: s.now, Elapsed: elapsed, Tenant: sameTenant}, list)
	if want := (conntrack.Imported{Flows: len(s.model.flows), Over: before - len(s.model.flows)}); err != nil || done != want {
		s.Fatalf("packet %d: restarted with %+v, %v; want %+v", s.n, done, err, want)
	}
	s.table.SortImported()
	s.dead, s.model.moved = nil, 0
	for _, f := range s.model.flows {
		var r conntrack.Result
		p := f.first.packet(s)
		s.table.Peek(s.now, s.generation, p, &r, new(conntrack.Flow))
		if !r.Handle.Valid() {
			s.Fatalf("packet %d: a flow is gone in a restart: %+v", s.n, f)
		}
		f.handle, f.generation, f.rule, f.touched = r.Handle, 0, -1, false
	}
	if !slices.Contains(s.model.flows, s.flow) {
		s.flow = nil
	}
	s.compare()
}
