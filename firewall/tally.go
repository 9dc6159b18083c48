package firewall

import (
	"maps"
	"sync"
	"sync/atomic"
	"unsafe"

	"sttwall/internal/prefetch"
	"sttwall/policy"
)

// Tally counts what one rule, or one tenant, has decided. It is in one cache line.
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

// showAtOnce is how many frames are counted before others see it, if the batch does not
// end before.
const showAtOnce = 128

// counted is a frame that is in no tally yet. The line of memory that holds its rule's
// is on its way meanwhile: rules are many, and most in no cache.
type counted struct {
	tenant, rule             *Tally // rule: nil for the default
	bytes                    uint64
	begins, dropped, audited bool
}

func (c *counted) in(t *Tally, now int64) {
	t.Frames++
	t.Bytes += c.bytes
	if c.begins {
		t.Flows++
	}
	if c.dropped {
		t.Dropped++
	}
	if c.audited {
		t.Audited++
	}
	if t.First == 0 {
		t.First = now
	}
	t.Last = now
}

// count counts a frame. The caller fills in what is not its tenant and its rule.
func (t *tallies) count(now int64, tenant, rule int32) *counted {
	if t.unshown == len(t.list) {
		t.show(now)
	}
	c := &t.list[t.unshown]
	t.unshown++
	c.tenant, c.rule, c.bytes = t.tenants[tenant], nil, 0
	c.begins, c.dropped, c.audited = false, false, false
	if rule >= 0 {
		c.rule = t.rules[rule]
		prefetch.Line(unsafe.Pointer(c.rule))
	}
	return c
}

// show lets others see what was counted, all of it at now. One lock is cheaper than an
// atomic addition for each number, and is held for a few microseconds: readers take it
// for each tally.
func (t *tallies) show(now int64) {
	if t.unshown == 0 {
		return
	}
	t.showing.Lock()
	for i := range t.list[:t.unshown] {
		c := &t.list[i]
		c.in(c.tenant, now)
		if c.rule != nil {
			c.in(c.rule, now)
		}
	}
	t.showing.Unlock()
	t.unshown = 0
}

// tallies are the counts of one worker. Those of a rule go on under the next
// policy if that has a rule with its name, and end with it otherwise: names come
// and go without end.
type tallies struct {
	counting          // by the policy of the packet at hand
	generation uint32 // see standing: a policy can come back

	list    [showAtOnce]counted
	unshown int        // how many of list
	showing sync.Mutex // of all tallies

	// next is made by whoever puts a policy in force, and not by the worker: to go
	// through the names of a large file takes as long as thousands of packets.
	next atomic.Pointer[counting]

	mu           sync.Mutex // of the maps
	ruleNames    map[string]*Tally
	tenantsNames map[string]*Tally
}

// counting is where to count under a policy. It is never changed.
type counting struct {
	policy         *policy.Policy
	rules, tenants []*Tally // by index
}

// prepare makes the counts ready for a policy that comes in force next. One
// goroutine at a time.
func (t *tallies) prepare(p *policy.Policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := &counting{policy: p}
	if last := t.next.Load(); last != nil && last.policy.SameFile(p) {
		next.rules, next.tenants = t.exchange(last, p), last.tenants
	} else {
		next.rules, t.ruleNames = pick(t.ruleNames, p.Rules())
		next.tenants, t.tenantsNames = pick(t.tenantsNames, p.Tenants())
	}
	t.next.Store(next)
}

// exchange returns the tallies of the rules of a policy that differs from the last
// one in its temporary rules alone.
func (t *tallies) exchange(last *counting, p *policy.Policy) []*Tally {
	known := make(map[string]*Tally)
	for _, name := range last.policy.TemporaryRules() {
		if tally := t.ruleNames[name]; tally != nil {
			known[name] = tally
			delete(t.ruleNames, name)
		}
	}
	list, kept := pick(known, p.TemporaryRules())
	maps.Copy(t.ruleNames, kept)
	file := p.FileRules()
	return append(last.rules[:file:file], list...)
}

// attach brings the worker to what is in force.
func (t *tallies) attach(st *standing) {
	p := st.policy
	t.generation = st.generation
	if next := t.next.Load(); next.policy == p {
		t.counting = *next
		return
	}
	// For a moment it was, and another one has followed: what has no name any more
	// is not counted.
	t.mu.Lock()
	defer t.mu.Unlock()
	t.policy = p
	t.rules, _ = pick(t.ruleNames, p.Rules())
	t.tenants, _ = pick(t.tenantsNames, p.Tenants())
}

// pick returns the tallies of the names, those that are known and new ones.
func pick(known map[string]*Tally, names []string) (list []*Tally, kept map[string]*Tally) {
	list, kept = make([]*Tally, len(names)), make(map[string]*Tally, len(names))
	for i, name := range names {
		t := kept[name]
		if t == nil {
			if t = known[name]; t == nil {
				t = new(Tally)
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
	if f.tallies.generation != f.standing.generation {
		f.tallies.attach(f.standing)
	}
	c := f.tallies.count(now, e.Decision.TenantIndex, e.Decision.RuleIndex)
	c.bytes = uint64(e.FrameLength)
	c.begins, c.dropped, c.audited = e.Begins, e.Verdict == Drop, e.Decision.Audit
}

// Tallies adds what f has counted for each rule ("tenant/rule") and tenant to
// the maps; nil is left out. It may be called from any goroutine.
func (f *Firewall) Tallies(rules, tenants map[string]Tally) {
	f.tallies.mu.Lock()
	defer f.tallies.mu.Unlock()
	add := func(to map[string]Tally, from map[string]*Tally) {
		for name, t := range from {
			sum := to[name]
			f.tallies.showing.Lock()
			sum.Add(*t)
			f.tallies.showing.Unlock()
			to[name] = sum
		}
	}
	if rules != nil {
		add(rules, f.tallies.ruleNames)
	}
	if tenants != nil {
		add(tenants, f.tallies.tenantsNames)
	}
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
