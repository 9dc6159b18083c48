package conntrack_test

import (
	"flag"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

var (
	packetsFlag = flag.Int("packets", 300_000, "how many packets in random sequences are compared with the model")
	seedFlag    = flag.Uint64("seed", 0, "of the random sequences; 0: the time")
)

const sequenceLen = 500

func TestRandomSequencesAgreeWithTheModel(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	met := make(map[verdict]int)
	ended := make(map[string]int)
	for n := 0; n < *packetsFlag; n += sequenceLen {
		runSequence(t, sequenceLen, r.IntN, met, ended)
	}
	// The sequences are worth something: they meet all that can be met.
	want := []verdict{{state: conntrack.StateUntracked}, {state: conntrack.StateNew}, {state: conntrack.StateOriginal}, {state: conntrack.StateReply}, {state: conntrack.StateRelated}, {state: conntrack.StateStale}}
	for _, why := range []reason.Reason{reason.StateInvalid, reason.FlowEndpoint, reason.TCPWindow, reason.TCPSyn, reason.TCPReset, reason.HalfOpenLimit, reason.TenantFlows, reason.SourceFlows, reason.FlowTableFull} {
		want = append(want, invalid(why))
	}
	for _, v := range want {
		if met[v] == 0 {
			t.Errorf("no packet was %v %v", v.state, v.reason)
		}
	}
	for _, status := range []string{"syn_sent", "syn_received", "established", "fin_wait", "close_wait", "last_ack", "time_wait", "close", "unreplied", "stream", "replied"} {
		if ended[status] == 0 {
			t.Errorf("no flow was over in status %s", status)
		}
	}
	t.Logf("%d packets: %v; flows that were over: %v", *packetsFlag, met, ended)
}

// sequence is a table and its model side by side.
type sequence struct {
	testing.TB
	next       source
	table      *conntrack.Table
	model      *model
	config     conntrack.Config
	maxFlows   int
	limits     conntrack.Limits
	now        int64
	generation uint32
	n          int // packets so far
	flow       *modelFlow
	over       *modelFlow // whose time was over last
	dead       []conntrack.Handle
	met        map[verdict]int
	ended      map[string]int
}

// runSequence compares the table with the model, packet by packet.
func runSequence(tb testing.TB, steps int, next source, met map[verdict]int, ended map[string]int) {
	tb.Helper()
	var timeouts conntrack.Timeouts
	m := &model{timeouts: make(map[string]time.Duration)}
	for i, name := range conntrack.TimeoutNames() {
		m.timeouts[name] = time.Duration(3+(i*5+next(3))%17) * time.Second
		*timeouts.Field(name) = m.timeouts[name]
	}
	s := &sequence{TB: tb, next: next, model: m, maxFlows: one(next, 1000, 1000, 6, 12), generation: 1, met: met, ended: ended}
	s.config = conntrack.Config{MaxFlows: s.maxFlows, Timeouts: timeouts}
	s.table = newTable(tb, s.config)
	if next(2) == 0 {
		s.limits = conntrack.Limits{Flows: next(10), FlowsPerSource: next(6), HalfOpen: next(4)}
	}
	for s.n = range steps {
		s.step()
	}
	s.compare()
	s.now += 1000 * second
	for s.table.Expire(s.now, 1<<20) > 0 {
	}
	if st := s.table.Stats(); st.Flows != 0 {
		tb.Fatalf("%d flows left when all time is over", st.Flows)
	}
	for tenant := range int32(3) {
		if flows, half := s.table.TenantStats(tenant); flows != 0 || half != 0 {
			tb.Fatalf("tenant %d: %d flows, %d half-open counted in an empty table", tenant, flows, half)
		}
	}
}

// anyFlow is a flow of the model, or nil: as often as not the same as the last
// time, so that some get far.
func (s *sequence) anyFlow() *modelFlow {
	if len(s.model.flows) == 0 {
		return nil
	}
	if s.next(2) == 0 || !slices.Contains(s.model.flows, s.flow) {
		s.flow = s.model.flows[s.next(len(s.model.flows))]
	}
	return s.flow
}

// pass lets time pass, often to just before or just at the end of a flow's time.
func (s *sequence) pass() {
	switch f := s.anyFlow(); {
	case s.next(3) > 0 || f == nil:
		s.now += int64(s.next(2000)) * int64(time.Millisecond)
	default:
		if at := s.model.expires(f) + int64(s.next(3)) - 1; at > s.now && at < s.now+10*second {
			s.now = at
		}
	}
	for _, f := range s.model.flows {
		if s.now < s.model.expires(f) {
			continue
		}
		s.over = f
		if s.ended != nil {
			s.ended[f.status]++
		}
	}
	s.model.expire(s.now)
}

func (s *sequence) step() {
	next := s.next
	switch next(16) {
	case 1, 2:
		s.pass()
	case 3:
		if next(8) == 0 {
			s.generation++ // a reload
		}
	case 4:
		s.table.Expire(s.now, 1+next(4))
	case 5:
		s.tryDead()
	case 6:
		if next(4) == 0 {
			s.compare()
		}
	case 7:
		if next(8) == 0 {
			s.restart()
		}
	}
	e := event{}
	f := s.anyFlow()
	if s.over != nil && next(16) == 0 {
		f = s.over // what comes too late
	}
	switch {
	case f == nil || next(8) == 0:
		e = next.fresh()
	case next(12) == 0:
		e = next.complain(f)
	default:
		e = next.follow(f)
	}
	s.offer(&e)
}

// offer gives the packet to both.
func (s *sequence) offer(e *event) {
	p := e.packet(s)
	if k, ok := conntrack.KeyOf(p); ok && s.next(8) == 0 {
		s.table.Expect([]conntrack.Key{k}) // changes nothing
	}
	var r, peeked conntrack.Result
	look := s.next(8) == 0
	if look {
		s.table.Peek(s.now, s.generation, p, &peeked, new(conntrack.Flow)) // nor does this
	}
	s.table.Track(s.now, s.generation, p, &r)
	if look && peeked != r {
		s.Fatalf("packet %d, %+v: Peek says %+v, Track %+v", s.n, e, peeked, r)
	}
	f := s.track(e, p, &r)
	switch {
	case r.State == conntrack.StateNew && s.next(8) > 0: // the rules accept it
		s.create(e, p)
		if s.next(16) == 0 {
			s.create(e, p) // on another worker, which has called it new as well
		}
	case r.State == conntrack.StateStale:
		s.rejudge(e, f, &r)
	case r.State == conntrack.StateOtherContext && s.next(4) > 0: // the rules accept it
		e.asked, e.rule = true, int32(s.n)
		p.Asked, p.Rule = true, e.rule
		s.table.Track(s.now, s.generation, p, &r)
		s.track(e, p, &r)
	}
}

// track compares a result of Track with the model's.
func (s *sequence) track(e *event, p *conntrack.Packet, r *conntrack.Result) *modelFlow {
	s.Helper()
	before := s.model.moved
	want, f := s.model.track(s.now, s.generation, e, p.Bytes)
	if moved := s.model.moved > before; r.MovedFrom.IsValid() != moved || s.table.Stats().Moved != uint64(s.model.moved) {
		s.Fatalf("packet %d at %d, %+v: moved from %v, want %v; %d moves in all, want %d", s.n, s.now, e, r.MovedFrom, moved, s.table.Stats().Moved, s.model.moved)
	}
	got := verdict{r.State, r.Reason}
	if got != want {
		s.Fatalf("packet %d at %d, %+v (quotes %+v): got %v %v, want %v %v; flow %+v", s.n, s.now, e, e.quoted, got.state, got.reason, want.state, want.reason, f)
	}
	if s.met != nil {
		s.met[got]++
	}
	if f == nil || want.state == conntrack.StateNew || !r.Handle.Valid() {
		return f
	}
	if r.Handle != f.handle || r.Rule != f.rule {
		s.Fatalf("packet %d, %+v: got flow %v by rule %d, want %v by %d", s.n, e, r.Handle, r.Rule, f.handle, f.rule)
	}
	var context uint64
	known := false
	switch r.State {
	case conntrack.StateReply:
		context, known = f.contexts[0], true
	case conntrack.StateOriginal:
		context, known = f.contexts[1], f.replied
	}
	if r.ReverseContext != context || r.HasReverseContext != known {
		s.Fatalf("packet %d, %+v: got context %d of the other direction (%v), want %d (%v)", s.n, e, r.ReverseContext, r.HasReverseContext, context, known)
	}
	return f
}

// create is Create on both.
func (s *sequence) create(e *event, p *conntrack.Packet) {
	s.Helper()
	m := s.model
	before := s.table.Stats()
	late := before.Flows - len(m.flows) // over, but not yet taken out: they still count
	limit := m.limited(e, &s.limits)
	full := before.Flows == s.maxFlows
	share := s.maxFlows - s.maxFlows/4
	begun, spare := m.begunBy(e.from)
	used := share < s.maxFlows && begun+late >= share // by the endpoint
	if share < s.maxFlows && begun >= share && !spare && limit == reason.None {
		limit = reason.EndpointFlows
	}
	c := &conntrack.Creation{Rule: int32(s.n), Limits: s.limits}
	var r conntrack.Result
	s.table.Create(s.now, s.generation, p, c, &r)
	refused := r.State == conntrack.StateInvalid && slices.Contains([]reason.Reason{reason.HalfOpenLimit, reason.TenantFlows, reason.SourceFlows, reason.EndpointFlows, reason.FlowTableFull}, r.Reason)
	evicted := int(s.table.Stats().Evicted - before.Evicted)
	if evicted > 0 {
		old, _ := m.find(e)
		s.evict(e, evicted, full, used, late, old)
	}
	if old, _ := m.find(e); old != nil && refused && old.status != "close" && old.status != "time_wait" {
		s.Fatalf("packet %d, %+v: got %v, but it is of a flow that is there", s.n, e, r.Reason)
	} else if old != nil && !refused && r.State != conntrack.StateOriginal || old != nil && r.Handle == old.handle {
		// Another worker was first: it is as if it had been tracked.
		s.track(e, p, &r)
		return
	}
	if s.met != nil {
		s.met[verdict{r.State, r.Reason}]++
	}
	switch {
	case limit != reason.None && !refused && !(limit == reason.EndpointFlows && late > 0), late == 0 && limit != reason.None && r.Reason != limit:
		s.Fatalf("packet %d, %+v: got %v %v, want %v", s.n, e, r.State, r.Reason, limit)
	case refused && late == 0 && limit == reason.None && !(full && r.Reason == reason.FlowTableFull):
		s.Fatalf("packet %d, %+v: refused by %v, but %d of %d flows are there", s.n, e, r.Reason, before.Flows, s.maxFlows)
	case r.Reason == reason.FlowTableFull && (!full || slices.ContainsFunc(m.flows, func(f *modelFlow) bool { return f.place() >= 0 })):
		s.Fatalf("packet %d: refused, but there is room, or a flow that nobody has answered", s.n)
	case !refused && r.State != conntrack.StateOriginal:
		s.Fatalf("packet %d, %+v: got %v %v for a new flow", s.n, e, r.State, r.Reason)
	}
	if refused {
		return
	}
	if old, _ := m.find(e); old != nil {
		s.dead = append(s.dead, old.handle)
	}
	m.create(s.now, s.generation, e, p.Bytes, c).handle = r.Handle
	if n := s.table.Stats().Flows; n > s.maxFlows {
		s.Fatalf("packet %d: %d flows, the table is for %d", s.n, n, s.maxFlows)
	}
}

// evict takes from the model what the table has given up.
// used says that the endpoint of the new flow has used up its share.
func (s *sequence) evict(e *event, evicted int, full, used bool, late int, replaced *modelFlow) {
	s.Helper()
	m := s.model
	there := make(map[conntrack.Handle]bool)
	s.table.Sweep(s.now, func(h conntrack.Handle, _ *conntrack.Flow, _ *inspect.Frame) bool { there[h] = true; return true })
	var gone []*modelFlow
	for _, f := range m.flows {
		if !there[f.handle] {
			gone = append(gone, f)
		}
	}
	if len(gone) == 2 { // one has given its place to the new flow with its key
		gone = slices.DeleteFunc(gone, func(f *modelFlow) bool { return f == replaced })
	}
	if evicted != 1 || !full && !used || len(gone) > 1 {
		s.Fatalf("packet %d: %d flows given up, %d are gone (the table was full: %v)", s.n, evicted, len(gone), full)
	}
	for _, f := range gone { // none, if it was over
		if used && late == 0 && f.ends[0] != e.from {
			s.Fatalf("packet %d: %s, which has used up its share, has pushed out a flow of %s", s.n, e.from, f.ends[0])
		}
		if used && f.ends[0] == e.from && f.place() >= 0 {
			m.remove(f)
			s.dead = append(s.dead, f.handle)
			continue
		}
		for _, other := range m.flows {
			if late > 0 && f == replaced {
				break // what was given up was over
			}
			earlier := other.place() == f.place() && f.place() < 4 && !other.touched && !f.touched && other.last < f.last
			if f.place() < 0 || other.place() >= 0 && other.turn() < f.turn() || earlier {
				s.Fatalf("packet %d: a flow in %s of %d was given up before one in %s of %d", s.n, f.status, f.last, other.status, other.last)
			}
		}
		m.remove(f)
		s.dead = append(s.dead, f.handle)
	}
}

// rejudge is what a worker does with a flow that other rules have accepted.
func (s *sequence) rejudge(e *event, f *modelFlow, r *conntrack.Result) {
	s.Helper()
	var o inspect.Frame
	id, from, to, ok := s.table.Origin(r.Handle, &o)
	q := &f.first
	wantTo := f.ends[1]
	if !wantTo.IsValid() {
		wantTo = netip.IPv6Unspecified()
	}
	if !ok || id != f.contexts[0] || from != f.ends[0] || to != wantTo || o.Src != q.src || o.Dst != q.dst || o.Protocol != q.protocol || int(o.TagCount) != len(q.vlans) ||
		q.hasPorts() && (o.SrcPort != q.srcPort || o.DstPort != q.dstPort) || q.protocol == 6 && o.TCPFlags != q.tcp.flags || q.isICMP() && uint16(o.ICMPType) != q.dstPort {
		s.Fatalf("packet %d: origin %v %d %v %v %+v, want that of %+v", s.n, ok, id, from, to, o, f)
	}
	if s.next(4) == 0 { // the new rules deny it
		if !s.table.End(r.Handle) || s.table.End(r.Handle) {
			s.Fatalf("packet %d: a flow ends once", s.n)
		}
		s.model.remove(f)
		s.dead = append(s.dead, f.handle)
		return
	}
	f.generation, f.rule = s.generation, int32(s.n)
	if !s.table.Confirm(r.Handle, s.generation, f.rule, 0) {
		s.Fatalf("packet %d: Confirm of a flow that is there", s.n)
	}
}

// tryDead: a handle of a flow that has ended is of no use, whatever has taken its
// place.
func (s *sequence) tryDead() {
	if len(s.dead) == 0 {
		return
	}
	h := s.dead[s.next(len(s.dead))]
	var o inspect.Frame
	_, _, _, ok := s.table.Origin(h, &o)
	if ok || s.table.End(h) || s.table.Confirm(h, s.generation, 1, 1) {
		s.Fatalf("packet %d: a handle outlives its flow", s.n)
	}
	s.dead = s.dead[max(0, len(s.dead)-32):]
}

// compare looks at every flow.
func (s *sequence) compare() {
	s.Helper()
	m := s.model
	m.expire(s.now)
	byHandle := make(map[conntrack.Handle]*modelFlow)
	for _, f := range m.flows {
		byHandle[f.handle] = f
	}
	seen := 0
	s.table.Sweep(s.now, func(h conntrack.Handle, got *conntrack.Flow, _ *inspect.Frame) bool {
		f := byHandle[h]
		seen++
		if f == nil {
			s.Errorf("packet %d: the table has %+v, the model not", s.n, got)
			return true
		}
		to := f.ends[1]
		if !to.IsValid() {
			to = netip.IPv6Unspecified()
		}
		k := &got.Key
		if got.Status != f.status || got.Generation != f.generation || got.Rule != f.rule || got.From != f.ends[0] || got.To != to ||
			got.Packets != f.packets || got.Bytes != f.bytes || got.HasReply != f.replied || got.Last != f.last ||
			got.Contexts[0] != f.contexts[0] || f.replied && got.Contexts[1] != f.contexts[1] ||
			k.Tenant != f.first.tenant || k.Src != f.first.src || k.Dst != f.first.dst || k.Protocol != f.first.protocol {
			s.Errorf("packet %d: got %+v, want %+v", s.n, got, f)
		}
		return true
	})
	if seen != len(m.flows) {
		s.Errorf("packet %d: %d flows, want %d", s.n, seen, len(m.flows))
	}
	halfOpen := make(map[int32]int)
	for _, f := range m.flows {
		if f.halfOpen() {
			halfOpen[f.first.tenant]++
		}
	}
	for tenant := range int32(3) {
		flows, half := s.table.TenantStats(tenant)
		if late := s.table.Stats().Flows - len(m.flows); half < halfOpen[tenant] || half > halfOpen[tenant]+late || flows < half {
			s.Errorf("packet %d: %d half-open flows counted of tenant %d, want %d, and at most %d of %d that are over", s.n, half, tenant, halfOpen[tenant], late, flows)
		}
	}
	if s.Failed() {
		s.FailNow()
	}
}

// FuzzSequences reads bytes as a sequence of packets.
func FuzzSequences(f *testing.F) {
	f.Add([]byte("\x05\x00\x00\x00\x00\x01\x01\x00\x00\x05\x01\x00\x00\x00\x01\x01\x00\x00"))
	f.Add(make([]byte, 400))
	r := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 4000)
	for i := range long {
		long[i] = byte(r.Uint32())
	}
	f.Add(long)
	f.Fuzz(func(t *testing.T, data []byte) {
		at := 0
		take := func() int {
			if at >= len(data) {
				return 0
			}
			at++
			return int(data[at-1])
		}
		runSequence(t, min(len(data)/6, 400), func(n int) int {
			v := take()
			if n > 256 {
				v = v<<8 | take()
			}
			return v % n
		}, nil, nil)
	})
}
