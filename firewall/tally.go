package firewall

import (
	"maps"
	"sync"

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
	t.met(o.First, o.Last)
}

// met takes in when frames came; 0 is never.
func (t *Tally) met(first, last int64) {
	t.Last = max(t.Last, last)
	if t.First == 0 || first != 0 && first < t.First {
		t.First = first
	}
}

// tallies are the counts of one worker. Those of a rule go on under the next
// policy if that has a rule with its name, and end with it otherwise: names come
// and go without end.
type tallies struct {
	generation uint32 // see standing: a policy can come back
	list       [showAtOnce]counted
	unshown    int // how many of list

	// showing is of all tallies, of what has passed, and of what follows.
	showing sync.Mutex
	now     *counting // for the policy of the packet at hand; the worker sets it
	// next is made by whoever puts a policy in force, and not by the worker: to go
	// through the names of a large file takes as long as thousands of packets.
	next *counting

	mu           sync.Mutex // of what follows; taken before showing
	ruleNames    map[string]*Tally
	tenantsNames map[string]*Tally
	unsettled    []*counting // those that may have something in passed
}

// counting is where to count under a policy.
type counting struct {
	policy         *policy.Policy
	rules, tenants []*Tally // by index
	// passed is by the index of the rule, and behind all rules by that of the tenant,
	// for what no rule decides.
	passed []passed
}

// prepare makes the counts ready for a policy that comes in force next. One
// goroutine at a time.
func (t *tallies) prepare(p *policy.Policy) {
	t.mu.Lock()
	defer t.mu.Unlock()
	next := &counting{policy: p}
	if last := t.next; last != nil && last.policy.SameFile(p) {
		next.rules, next.tenants = t.exchange(last, p), last.tenants
	} else {
		next.rules, t.ruleNames = pick(t.ruleNames, p.Rules())
		next.tenants, t.tenantsNames = pick(t.tenantsNames, p.Tenants())
	}
	t.settle()
	t.begin(next)
	t.showing.Lock()
	t.next = next
	t.showing.Unlock()
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

// attach brings the worker to what is in force. What was counted before is shown.
func (t *tallies) attach(now int64, st *standing) {
	t.show(now)
	p := st.policy
	t.generation = st.generation
	if t.isNext(p) {
		return
	}
	// For a moment it was, and another one has followed: what has no name any more
	// is not counted.
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &counting{policy: p}
	c.rules, _ = pick(t.ruleNames, p.Rules())
	c.tenants, _ = pick(t.tenantsNames, p.Tenants())
	t.begin(c)
	t.showing.Lock()
	t.now = c
	t.showing.Unlock()
}

// isNext makes the counting that comes next that of the worker, if it is for p.
func (t *tallies) isNext(p *policy.Policy) bool {
	t.showing.Lock()
	defer t.showing.Unlock()
	if t.next.policy != p {
		return false
	}
	t.now = t.next
	return true
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

// Tallies adds what f has counted for each rule ("tenant/rule") and tenant to
// the maps; nil is left out. It may be called from any goroutine.
func (f *Firewall) Tallies(rules, tenants map[string]Tally) {
	f.tallies.mu.Lock()
	defer f.tallies.mu.Unlock()
	f.tallies.settle()
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
