package firewall

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/gaissmai/bart"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/limit"
	"sttwall/policy"
)

// Shared is what the workers of one firewall have in common: the policy that
// holds now, the flows, the first inner fragments, the learned bindings, and the
// frame-ID filter. Its methods may be called from any goroutine.
type Shared struct {
	frameIDs  *FrameIDFilter
	flows     *conntrack.Table
	fragments *conntrack.Fragments
	bindings  *binding.Table
	current   atomic.Pointer[standing]
	looked    atomic.Int64 // second in which time windows were last looked at
	failOpen  atomic.Bool  // see FailOpen

	generations atomic.Uint32 // how many there were: no two standings share one

	mu      sync.Mutex // of what follows
	tenants map[string]int32
	called  []string // the tenants by their numbers
	there   []bool   // likewise: the policy that holds now has them
	named   []ruleNames
	workers []*tallies
}

// standing is a policy as it is in force. It is never changed.
type standing struct {
	policy     *policy.Policy
	settings   policy.Settings
	endpoints  *bart.Lite // nil: any
	generation uint32     // another one wherever flows have to be judged again
	windows    uint64     // see policy.WindowsAt
	tenants    []int32    // numbers of the tenants in the tables, by index
	// tenantRoutes are the tenants as the quick way sees them, by index.
	tenantRoutes []tenantRoute
	rejects      *limit.Bucket
	sets         bool // rules of it change packets
	rebuild      bool // all that leaves is encoded anew; see rebuild.go
}

// flowsPerFragmented is how many flows there are for one packet that is remembered
// because it comes in fragments.
const flowsPerFragmented = 16

// NewShared makes what workers share. The tables of flows and bindings are as large as
// the policy's settings say, and the table of fragments follows that of flows.
func NewShared(p *policy.Policy, ids *FrameIDFilter) (*Shared, error) {
	switch {
	case p == nil:
		return nil, errors.New("firewall without a policy")
	case ids == nil:
		return nil, errors.New("firewall without a frame-ID filter")
	}
	settings := p.Settings()
	flows, err := conntrack.New(conntrack.Config{MaxFlows: settings.Flows, Timeouts: settings.Timeouts})
	if err != nil {
		return nil, fmt.Errorf("flow table: %w", err)
	}
	fragments, err := conntrack.NewFragments(conntrack.FragmentConfig{
		MaxPackets: FragmentedPackets(settings.Flows), Timeout: settings.Timeouts.Fragment,
	})
	if err != nil {
		return nil, fmt.Errorf("table of fragments: %w", err)
	}
	bindings, err := binding.New(binding.Config{MaxBindings: settings.Bindings})
	if err != nil {
		return nil, fmt.Errorf("table of bindings: %w", err)
	}
	s := &Shared{frameIDs: ids, flows: flows, fragments: fragments, bindings: bindings, tenants: make(map[string]int32)}
	s.SetPolicy(p)
	return s, nil
}

// SetPolicy puts p in force, in one step: every frame is decided by the old or
// by the new policy, and flows that the new one denies end with their next
// packet, or at [Shared.Rejudge]. The sizes of the tables stay, and what was
// learned of a tenant that is still there.
func (s *Shared) SetPolicy(p *policy.Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := &standing{policy: p, settings: p.Settings()}
	if len(next.settings.Endpoints) > 0 {
		next.endpoints = new(bart.Lite)
		for _, e := range next.settings.Endpoints {
			next.endpoints.Insert(e)
		}
	}
	for _, name := range p.Tenants() {
		// A tenant keeps its number, and with it its flows, wherever it stands
		// in the file.
		id, known := s.tenants[name]
		if !known {
			id = int32(len(s.tenants))
			s.tenants[name] = id
			s.called = append(s.called, name)
		}
		next.tenants = append(next.tenants, id)
	}
	next.tenantRoutes = tenantRoutesOf(p, next.tenants)
	for i := range p.Rules() {
		next.sets = next.sets || p.Set(int32(i)) != nil
	}
	next.rebuild = next.settings.Forward == policy.ForwardRebuild
	next.rejects = limit.NewBucket(next.settings.RejectRate)
	if old := s.current.Load(); old != nil && old.policy != p {
		// A reload hands out no tokens.
		p.Continue(old.policy)
		next.rejects.Continue(old.rejects)
	}
	for _, t := range s.workers {
		t.prepare(p)
	}
	s.flows.SetTimeouts(next.settings.Timeouts)
	s.fragments.SetTimeout(next.settings.Timeouts.Fragment)
	for stored := false; !stored; { // what is in force later has the later number: rejudge relies on it
		old := s.current.Load()
		next.generation = s.generations.Add(1)
		stored = s.current.CompareAndSwap(old, next)
	}
	s.remember(next)
	s.looked.Store(0)
}

// join makes the counts of a worker ready for the policy that holds now, and for
// those to come.
func (s *Shared) join(t *tallies) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t.prepare(s.current.Load().policy)
	s.workers = append(s.workers, t)
}

// Policy returns the policy that holds now.
func (s *Shared) Policy() *policy.Policy { return s.current.Load().policy }

// Generation returns the number of what holds now: another one for each policy,
// and whenever a time window opens or closes.
func (s *Shared) Generation() uint32 { return s.current.Load().generation }

// FragmentedPackets is how many inner packets in fragments are remembered where there is
// room for so many flows.
func FragmentedPackets(flows int) int { return min(max(flows/flowsPerFragmented, 1024), 65536) }

// Fragments returns the table of first inner fragments.
func (s *Shared) Fragments() *conntrack.Fragments { return s.fragments }

// ChangesPackets reports whether the policy that holds now has packets changed, by its
// rules or because all are encoded anew, which takes all of their bytes.
func (s *Shared) ChangesPackets() bool { return s.current.Load().changes() }

func (st *standing) changes() bool { return st.sets || st.rebuild }

// GuardFrameIDs has every frame of several packets leave with a new frame ID until then,
// in ns on the workers' clock: packets may have passed that nobody has decided, and their
// frame IDs are in no filter. See [FrameIDConfig.StartupGuard].
func (s *Shared) GuardFrameIDs(until int64) { s.frameIDs.guardUntil(until) }

// FrameIDsGuarded reports whether they do at now.
func (s *Shared) FrameIDsGuarded(now int64) bool { return now < s.frameIDs.guard.Load() }

// Flows returns the flow table.
func (s *Shared) Flows() *conntrack.Table { return s.flows }

// Bindings returns the table of learned bindings.
func (s *Shared) Bindings() *binding.Table { return s.bindings }

// look returns what holds at now. Once a second one of the workers looks whether
// a time window has opened or closed.
func (s *Shared) look(now int64) *standing {
	second := now / 1e9
	if last := s.looked.Load(); last == second || !s.looked.CompareAndSwap(last, second) {
		return s.current.Load()
	}
	old := s.current.Load()
	windows := old.policy.WindowsAt(second)
	if windows == old.windows {
		return old
	}
	next := *old
	next.generation = s.generations.Add(1)
	next.windows = windows
	if !s.current.CompareAndSwap(old, &next) {
		s.looked.Store(0) // another policy: look again
	}
	return s.current.Load()
}

// Rejudge judges all flows that other rules have accepted by those that hold
// now, and ends those that they deny. It returns how many it ended. Packets are
// decided meanwhile.
func (s *Shared) Rejudge(now int64) (ended int) {
	return s.rejudge(now, s.look(now))
}

// rejudge is Rejudge by st. Others may come in force meanwhile, when a time window
// opens for one: what they have accepted is not for st to end.
func (s *Shared) rejudge(now int64, st *standing) (ended int) {
	index := st.tenantIndexes()
	return s.flows.Sweep(now, func(_ conntrack.Handle, f *conntrack.Flow, origin *inspect.Frame) bool {
		return int32(f.Generation-st.generation) >= 0 || st.judge(now, index, f, origin).Action == policy.Accept
	})
}

// tenantIndexes are the indexes of the tenants in a policy by their numbers in the
// flow table; -1 where it has none.
type tenantIndexes []int32

func (st *standing) tenantIndexes() tenantIndexes {
	count := int32(0)
	for _, id := range st.tenants {
		count = max(count, id+1)
	}
	index := make(tenantIndexes, count)
	for i := range index {
		index[i] = -1
	}
	for i, id := range st.tenants {
		index[id] = int32(i)
	}
	return index
}

// of returns the index of a tenant, or -1.
func (t tenantIndexes) of(id int32) int32 {
	if id < 0 || int(id) >= len(t) {
		return -1
	}
	return t[id]
}

// judge decides about a flow that other rules have accepted, by its first packet.
// Without its tenant it is a drop.
func (st *standing) judge(now int64, tenants tenantIndexes, f *conntrack.Flow, origin *inspect.Frame) policy.Decision {
	none := policy.Decision{TenantIndex: -1, RuleIndex: -1}
	tenant := tenants.of(f.Key.Tenant)
	if tenant < 0 {
		return none
	}
	k := policy.Packet{ContextID: f.Contexts[0], Frame: origin, From: f.From, To: f.To, Wall: now / 1e9, Now: now, Peek: true}
	d, found := st.policy.Find(k.ContextID)
	if !found || d.TenantIndex != tenant {
		return none
	}
	if st.policy.Admit(&k, &d) {
		st.policy.Decide(&k, &d)
	}
	return d
}
