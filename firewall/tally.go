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

// tally is a Tally under way.
type tally struct {
	own     Tally // of the worker
	changed bool  // own is in the worker's list of those to be shown
	shown   Tally // what others see; with the worker's showing locked
}

// showAtOnce is how many tallies change before they are shown, if the batch does not
// end before.
const showAtOnce = 128

// count counts the frame of an event.
func (t *tallies) count(to *tally, now int64, e *FrameEvent) {
	own := &to.own
	own.Frames++
	own.Bytes += uint64(e.FrameLength)
	if e.Begins {
		own.Flows++
	}
	if e.Verdict == Drop {
		own.Dropped++
	}
	if e.Decision.Audit {
		own.Audited++
	}
	t.changed(to, now)
}

// passed counts a frame of so many bytes that was accepted without more.
func (t *tallies) passed(to *tally, now int64, bytes int) {
	to.own.Frames++
	to.own.Bytes += uint64(bytes)
	t.changed(to, now)
}

// changed notes that a frame was counted at now.
func (t *tallies) changed(to *tally, now int64) {
	if to.own.First == 0 {
		to.own.First = now
	}
	to.own.Last = now
	if to.changed {
		return
	}
	if t.unshown == len(t.list) {
		t.show()
	}
	to.changed = true
	t.list[t.unshown] = to
	t.unshown++
}

// show lets others see what was counted. One lock is cheaper than an atomic store for
// each number, and is held for a few microseconds: readers take it for each tally.
func (t *tallies) show() {
	if t.unshown == 0 {
		return
	}
	t.showing.Lock()
	for _, one := range t.list[:t.unshown] {
		one.shown = one.own
		one.changed = false
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

	list    [showAtOnce]*tally // those that changed
	unshown int                // how many of list
	showing sync.Mutex         // of shown in all of them

	// next is made by whoever puts a policy in force, and not by the worker: to go
	// through the names of a large file takes as long as thousands of packets.
	next atomic.Pointer[counting]

	mu           sync.Mutex // of the maps
	ruleNames    map[string]*tally
	tenantsNames map[string]*tally
}

// counting is where to count under a policy. It is never changed.
type counting struct {
	policy         *policy.Policy
	rules, tenants []*tally // by index
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
func (t *tallies) exchange(last *counting, p *policy.Policy) []*tally {
	known := make(map[string]*tally)
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
	if f.tallies.generation != f.standing.generation {
		f.tallies.attach(f.standing)
	}
	t := &f.tallies
	t.count(t.tenants[e.Decision.TenantIndex], now, e)
	if e.Decision.RuleIndex >= 0 {
		t.count(t.rules[e.Decision.RuleIndex], now, e)
	}
}

// Tallies adds what f has counted for each rule ("tenant/rule") and tenant to
// the maps; nil is left out. It may be called from any goroutine.
func (f *Firewall) Tallies(rules, tenants map[string]Tally) {
	f.tallies.mu.Lock()
	defer f.tallies.mu.Unlock()
	add := func(to map[string]Tally, from map[string]*tally) {
		for name, t := range from {
			sum := to[name]
			f.tallies.showing.Lock()
			sum.Add(t.shown)
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
