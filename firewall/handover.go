package firewall

import (
	"encoding/binary"
	"runtime"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/handover"
)

// TakingOver says when and how a state is taken over.
type TakingOver struct {
	// Now is the time on the clock of the workers to be, in ns; Elapsed is how long
	// ago the state was written, in ns.
	Now, Elapsed int64
	// Unwatched: packets may have passed since that nobody has decided. Then the
	// frame-ID filter is of no use, and TCP goes on wherever its numbers are now.
	Unwatched bool
}

// TakenOver says what of a state was taken.
type TakenOver struct {
	Flows    conntrack.Imported
	Bindings binding.Imported
	// FrameIDs: the frame-ID filter was taken, so that no startup guard is needed
	// but what was left of the other's.
	FrameIDs bool
}

// HandOver writes what workers share, for another instance: the names of the tenants,
// the flows, the learned bindings and the frame-ID filter. No worker may run. First
// inner fragments stay behind, and the tokens of limits.
func (s *Shared) HandOver(now int64, w *handover.Writer) error {
	defer runtime.KeepAlive(s) // and with it memory that is outside of Go's heap
	s.mu.Lock()
	defer s.mu.Unlock()
	var b []byte
	for id, name := range s.called {
		b = binary.LittleEndian.AppendUint32(b[:0], uint32(id))
		b = binary.LittleEndian.AppendUint16(b, uint16(len(name)))
		b = append(b, name...)
		if err := w.Record(handover.KindTenants, b); err != nil {
			return err
		}
	}
	if err := s.flows.Export(now, func(record []byte) error { return w.Record(handover.KindFlows, record) }); err != nil {
		return err
	}
	if err := s.bindings.Export(now, func(record []byte) error { return w.Record(handover.KindBindings, record) }); err != nil {
		return err
	}
	return s.frameIDs.export(now, w)
}

// TakeOver takes what another instance has handed over, behind its header, before any
// worker runs. Flows are judged by the rules that hold now at their next packet, or at
// [Shared.Rejudge]. After an error s is of no use any more, and has to be made anew.
func (s *Shared) TakeOver(c TakingOver, r *handover.Reader) (done TakenOver, err error) {
	defer runtime.KeepAlive(s)
	tenants := make(map[int32]int32)
	tenant := func(old int32) (id int32, ok bool) {
		id, ok = tenants[old]
		return id, ok
	}
	flows := conntrack.Importing{Now: c.Now, Elapsed: c.Elapsed, Tenant: tenant, Unwatched: c.Unwatched}
	bindings := binding.Importing{Now: c.Now, Elapsed: c.Elapsed, Tenant: tenant}
	filter := filterImport{into: s.frameIDs}
	for {
		kind, payload, err := r.Next()
		if err != nil {
			return done, err
		}
		switch kind {
		case handover.KindTenants:
			err = s.takeTenants(tenants, payload)
		case handover.KindFlows:
			var more conntrack.Imported
			if more, err = s.flows.Import(&flows, payload); err != nil {
				err = handover.Broken("%w", err)
			}
			done.Flows.Add(more)
		case handover.KindBindings:
			var more binding.Imported
			if more, err = s.bindings.Import(&bindings, payload); err != nil {
				err = handover.Broken("%w", err)
			}
			done.Bindings.Add(more)
		case handover.KindFilter:
			if !c.Unwatched {
				err = filter.begin(c.Now, c.Elapsed, payload)
			}
		case handover.KindLines:
			if !c.Unwatched {
				err = filter.take(payload)
			}
		case handover.KindEnd:
			s.flows.SortImported()
			done.FrameIDs = filter.lines != 0
			return done, nil
		}
		if err != nil {
			return done, err
		}
	}
}

// takeTenants finds tenants of another instance by their names: their numbers may be
// others here.
func (s *Shared) takeTenants(into map[int32]int32, b []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(b) > 0 {
		if len(b) < 6 {
			return handover.Broken("a tenant is cut off")
		}
		old, length := binary.LittleEndian.Uint32(b), int(binary.LittleEndian.Uint16(b[4:]))
		if b = b[6:]; len(b) < length || old > 1<<31-1 {
			return handover.Broken("tenant %d has a name of %d bytes", old, length)
		}
		if _, twice := into[int32(old)]; twice {
			return handover.Broken("tenant %d is there twice", old)
		}
		id, known := s.tenants[string(b[:length])]
		if known && s.there[id] {
			into[int32(old)] = id
		}
		b = b[length:]
	}
	return nil
}
