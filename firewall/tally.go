package firewall

import (
	"maps"
	"sync"
	"sync/atomic"

	"sttwall/policy"
)

// Tally counts what one rule, or one tenant, has decided.
type Tally struct {
	Frames, Bytes    uint64 // of inner frames
	Flows            uint64 // begun
	Dropped, Audited uint64 // frames; audited ones would have been dropped
	First, Last      int64  // ns on the clock; 0: never
}

// Add adds what another worker has counted.
func (t *Tally) Add(o Tally) {
	t.Frames += o.Frames
	t.Bytes += o.Bytes
	t.Flows += o.Flows
	t.Dropped += o.Dropped
	t.Audited += o.Audited
	t.Last = max(t.Last, o.Last)
	if t.First == 0 || o.First != 0 && o.First < t.First {
		t.First = o.First
	}
}

// tally is a Tally under way: one worker writes, anybody reads.
type tally struct {
	frames, bytes, flows, dropped, audited atomic.Uint64
	first, last                            atomic.Int64
}

func (t *tally) read() Tally {
	return Tally{
		Frames: t.frames.Load(), Bytes: t.bytes.Load(), Flows: t.flows.Load(),
		Dropped: t.dropped.Load(), Audited: t.audited.Load(), First: t.first.Load(), Last: t.last.Load(),
	}
}

func (t *tally) count(now int64, e *FrameEvent) {
	t.frames.Add(1)
	t.bytes.Add(uint64(e.FrameLength))
	if e.Begins {
		t.flows.Add(1)
	}
	if e.Verdict == Drop {
		t.dropped.Add(1)
	}
	if e.Decision.Audit {
		t.audited.Add(1)
	}
	if t.first.Load() == 0 {
		t.first.Store(now)
	}
	t.last.Store(now)
}

// tallies are the counts of one worker. Those of a rule go on under the next
// policy if that has a rule with its name, and end with it otherwise: names come
// and go without end.
type tallies struct {
	policy         *policy.Policy // of the slices
	rules, tenants []*tally       // by index

	mu           sync.Mutex // of the maps: the worker writes them at a reload
	ruleNames    map[string]*tally
	tenantsNames map[string]*tally
}

// attach brings the counts to another policy.
func (t *tallies) attach(p *policy.Policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.policy != nil && t.policy.SameFile(p) {
		t.exchange(p)
		return
	}
	t.rules, t.ruleNames = pick(t.ruleNames, p.Rules())
	t.tenants, t.tenantsNames = pick(t.tenantsNames, p.Tenants())
	t.policy = p
}

// exchange is attach to a policy that differs in its temporary rules alone. The
// names of a large file are not gone through for that: packets wait meanwhile.
func (t *tallies) exchange(p *policy.Policy) {
	known := make(map[string]*tally)
	for _, name := range t.policy.TemporaryRules() {
		if tally := t.ruleNames[name]; tally != nil {
			known[name] = tally
			delete(t.ruleNames, name)
		}
	}
	list, kept := pick(known, p.TemporaryRules())
	maps.Copy(t.ruleNames, kept)
	file := p.FileRules()
	t.rules = append(t.rules[:file:file], list...)
	t.policy = p
}

// pick returns the tallies of the names, those that are known and new ones.
func pick(known map[string]*tally, names []string) (list []*tally, kept map[string]*tally) {
	list, kept = make([]*tally, len(names)), make(map[string]*tally, len(names))
	for i, name := range names {
		t := kept[name]
		if t == nil {
			if t = known[name]; t == nil {
				t = new(tally)
			}
			kept[name] = t
		}
		list[i] = t
	}
	return list, kept
}

// countDecision counts the frame that was decided last.
func (f *Firewall) countDecision(now int64) {
	e := &f.event
	if e.Decision.TenantIndex < 0 || !e.HasInner {
		return
	}
	if f.tallies.policy != f.standing.policy {
		f.tallies.attach(f.standing.policy)
	}
	f.tallies.tenants[e.Decision.TenantIndex].count(now, e)
	if e.Decision.RuleIndex >= 0 {
		f.tallies.rules[e.Decision.RuleIndex].count(now, e)
	}
}

// Tallies adds what f has counted for each rule ("tenant/rule") and tenant to
// the maps. It may be called from any goroutine.
func (f *Firewall) Tallies(rules, tenants map[string]Tally) {
	f.tallies.mu.Lock()
	defer f.tallies.mu.Unlock()
	add := func(to map[string]Tally, from map[string]*tally) {
		for name, t := range from {
			sum := to[name]
			sum.Add(t.read())
			to[name] = sum
		}
	}
	add(rules, f.tallies.ruleNames)
	add(tenants, f.tallies.tenantsNames)
}

// Since remembers since when each rule and tenant is in force: over reloads, as
// long as its name stays. The zero value is ready, for any goroutine.
type Since struct {
	mu             sync.Mutex
	rules, tenants map[string]int64 // ns on the caller's clock
}

// Put says that p is in force from now on.
func (s *Since) Put(now int64, p *policy.Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rules, s.tenants = stay(s.rules, p.Rules(), now), stay(s.tenants, p.Tenants(), now)
}

func stay(old map[string]int64, names []string, now int64) map[string]int64 {
	is := make(map[string]int64, len(names))
	for _, name := range names {
		if since, known := old[name]; known {
			is[name] = since
		} else {
			is[name] = now
		}
	}
	return is
}

// Get returns since when each is in force. The maps are never changed.
func (s *Since) Get() (rules, tenants map[string]int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.rules, s.tenants
}
