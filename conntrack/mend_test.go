package conntrack

import (
	"testing"

	"sttwall/inspect"
)

// mended is a table of many flows, one shard of which is to be damaged.
type mended struct {
	*Table
	t     *testing.T
	flows int
}

const mendedFlows = 600

func newMended(t *testing.T) *mended {
	m := &mended{newTable(t, 2048), t, mendedFlows}
	for i := range m.flows {
		if r := meet(m.Table, second, m.packet(i), Limits{FlowsPerSource: 5000}); r.State != StateOriginal {
			t.Fatal(word(r))
		}
	}
	return m
}

func (m *mended) packet(i int) *Packet { return other(inspect.ProtocolUDP, uint16(1000+i), 53, false) }

// panics runs what damaged memory makes panic.
func (m *mended) panics(do func()) {
	m.t.Helper()
	defer func() {
		m.t.Helper()
		if recover() == nil {
			m.t.Error("nothing panicked")
		}
	}()
	do()
}

// sound checks that all locks are free, that what is counted is there, and that so many
// flows are known.
func (m *mended) sound(want int) {
	m.t.Helper()
	live, counted := 0, 0
	for i := range m.shards {
		s := &m.shards[i]
		if !s.mu.TryLock() {
			m.t.Fatalf("shard %d is locked", i)
		}
		listed := 0
		for st := range s.lists {
			for at := s.lists[st].head; at != 0; at = s.record(at - 1).next {
				listed++
			}
		}
		if listed != s.count {
			m.t.Errorf("shard %d: %d flows in lists, of %d", i, listed, s.count)
		}
		counted += s.count
		s.mu.Unlock()
	}
	for i := range 3 * m.flows {
		var r Result
		if m.Track(second, 1, m.packet(i), &r); r.State == StateOriginal {
			live++
		}
	}
	tenant, _ := m.TenantStats(0)
	if live != want || counted != want || m.Stats().Flows != want || tenant != want ||
		m.endpoints.count(clientHost.As16()) != want || m.sources.count(sourceOf(0, client)) != want {
		m.t.Errorf("%d flows are found and %d in shards; counted %d, tenant %d, endpoint %d, source %d; want %d", live, counted,
			m.Stats().Flows, tenant, m.endpoints.count(clientHost.As16()), m.sources.count(sourceOf(0, client)), want)
	}
}

const nowhere = 1 << 23 // an entry that is not there

// A panic while a shard is locked leaves it free, and the flows that others have in it.
func TestAPanicUnderTheLockOfAShardCostsAtMostTheFlowAtHand(t *testing.T) {
	t.Run("a flow is looked for", func(t *testing.T) {
		for _, plain := range []bool{false, true} {
			m := newMended(t)
			p := m.packet(7)
			var l lookup
			l.read(p)
			h := m.hash(&l.packed)
			s, _ := m.shardOf(h)
			hash, tag := split(h)
			s.slots[s.home(hash)] = tag | nowhere
			var r Result
			m.panics(func() {
				if plain {
					m.TrackPlain(second, 1, &Plain{terms: l.terms, hash: h}, &r)
				} else {
					m.Track(second, 1, p, &r)
				}
			})
			m.Mend(&r)
			m.Mend(&r) // does nothing more
			m.sound(mendedFlows)
		}
	})
	t.Run("a flow moves", func(t *testing.T) {
		m := newMended(t)
		p := other(inspect.ProtocolUDP, 1007, 53, true) // an answer: into another list
		var l lookup
		l.read(p)
		h := m.hash(&l.packed)
		s, _ := m.shardOf(h)
		i, _ := s.find(&l.packed, h)
		s.record(i).prev = nowhere
		var r Result
		m.panics(func() { m.Track(second, 1, p, &r) })
		m.Mend(&r)
		m.sound(mendedFlows - 1)
	})
	t.Run("a flow begins", func(t *testing.T) {
		for _, damage := range []func(s *shard){
			func(s *shard) { s.lists[statusUDPStream].head = nowhere }, // before it has an entry
			func(s *shard) { s.lists[statusUDP].tail = nowhere },       // when it has
		} {
			m := newMended(t)
			p := m.packet(mendedFlows)
			var l lookup
			l.read(p)
			s, _ := m.shardOf(m.hash(&l.packed))
			damage(s)
			var r Result
			m.Track(second, 1, p, &r)
			m.panics(func() { m.Create(second, 1, p, &Creation{Limits: Limits{FlowsPerSource: 5000}}, &r) })
			m.Mend(&r)
			m.sound(mendedFlows)
			if r := meet(m.Table, second, p, Limits{FlowsPerSource: 5000}); r.State != StateOriginal || !r.Begun {
				t.Errorf("it begins now: %s", word(r))
			}
			m.sound(mendedFlows + 1)
		}
	})
	t.Run("a flow ends", func(t *testing.T) {
		m := newMended(t)
		r := meet(m.Table, second, m.packet(7), Limits{})
		m.shards[r.Handle.shard].record(r.Handle.index).prev = nowhere
		m.panics(func() { m.End(r.Handle) })
		m.sound(mendedFlows)
		if !m.End(r.Handle) {
			t.Error("it does not end now")
		}
		m.sound(mendedFlows - 1)
	})
	t.Run("somebody looks at all flows", func(t *testing.T) {
		m := newMended(t)
		m.panics(func() {
			m.Sweep(second, func(Handle, *Flow, *inspect.Frame) bool { panic("a mistake") })
		})
		m.sound(mendedFlows)
	})
}

// A bucket of fragments in which something panicked forgets what it had, and is free.
func TestABucketOfFragmentsIsEmptyBehindAPanic(t *testing.T) {
	f, err := NewFragments(FragmentConfig{MaxPackets: 8})
	if err != nil {
		t.Fatal(err)
	}
	p := other(inspect.ProtocolUDP, 1, 53, false)
	p.Frame.Fragmented, p.Frame.Fragment = true, inspect.Fragment{More: true, Bytes: 16}
	id := f.ID(p)
	f.Decided(1, &id, p, &FragmentVerdict{Accept: true})
	if !f.Knows(1, &id) {
		t.Fatal("it is not known")
	}
	broken := *p
	broken.Data = nil
	func() {
		defer func() {
			if recover() == nil {
				t.Error("nothing panicked")
			}
		}()
		f.Decided(1, &id, &broken, &FragmentVerdict{})
	}()
	if f.Knows(1, &id) {
		t.Error("it is still known")
	}
}
