package conntrack_test

import (
	"net/netip"
	"slices"
	"time"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

// model is the table as docs/conntrack.md says it: a list of flows that is
// searched from the front. modeltcp_test.go has TCP.
type model struct {
	timeouts map[string]time.Duration
	flows    []*modelFlow
	moved    int // sides
}

type modelFlow struct {
	first      event         // the packet that began it
	ends       [2]netip.Addr // where the sides are; the zero address: not known yet
	status     string
	generation uint32
	rule       int32
	last       int64
	packets    [2]uint32
	bytes      [2]uint64
	contexts   [2]uint64
	replied    bool
	counted    bool // towards the limit of its source
	touched    bool // kept alive by a packet after its first
	handle     conntrack.Handle

	sides      [2]modelSide
	both       bool // sides have sent a SYN before they had the other's
	challenged bool
	challenge  uint32
}

// event is one packet of a random sequence.
type event struct {
	tenant           int32
	ovn              bool
	context          uint64
	vlans            []uint16 // with their priorities
	protocol         uint8
	src, dst         netip.Addr
	srcPort, dstPort uint16 // ICMP: identifier and type
	tcp              modelSegment
	later            bool   // fragment
	quoted           *event // by an ICMP error

	asked                       bool // the rules accept it with its context, by rule
	rule                        int32
	from, to                    netip.Addr
	trusted, anyEndpoint, loose bool
	mayMove                     bool
}

func (e *event) isICMP() bool { return e.protocol == 1 || e.protocol == 58 }

// request returns the type of the request that a query belongs to, and whether
// it is the reply: RFC 792, RFC 950, RFC 4443.
func (e *event) request() (kind uint16, reply, query bool) {
	if e.protocol == 58 {
		return 128, e.dstPort == 129, e.dstPort == 128 || e.dstPort == 129
	}
	switch e.dstPort {
	case 8, 0:
		return 8, e.dstPort == 0, true // echo
	case 13, 14:
		return 13, e.dstPort == 14, true // timestamp
	case 15, 16:
		return 15, e.dstPort == 16, true // information
	case 17, 18:
		return 17, e.dstPort == 18, true // address mask
	}
	return 0, false, false
}

func (e *event) hasPorts() bool { return e.protocol == 6 || e.protocol == 17 || e.protocol == 132 }

// tracked: the packet has a key.
func (e *event) tracked() bool {
	if e.later || e.dst.IsMulticast() || e.dst == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return false
	}
	if e.isICMP() {
		_, _, query := e.request()
		return query
	}
	return true
}

// networks are the VLAN IDs; a tag without one makes no other network.
func (e *event) networks() (ids []uint16) {
	for _, tag := range e.vlans {
		if id := tag % 4096; id != 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// same reports whether the two packets are of one flow, and whether they go in
// the same direction (dir 0).
func same(a, b *event) (dir int, ok bool) {
	if a.tenant != b.tenant || a.protocol != b.protocol || !a.ovn && !b.ovn && a.context != b.context || !slices.Equal(a.networks(), b.networks()) {
		return 0, false
	}
	straight, turned := true, true
	switch {
	case a.isICMP():
		ka, ra, _ := a.request()
		kb, rb, _ := b.request()
		query := a.srcPort == b.srcPort && ka == kb
		straight = query && (ra == rb || a.src == a.dst)
		turned = query && ra != rb
	case a.hasPorts():
		straight = a.srcPort == b.srcPort && a.dstPort == b.dstPort
		turned = a.srcPort == b.dstPort && a.dstPort == b.srcPort
	}
	switch {
	case straight && a.src == b.src && a.dst == b.dst:
		return 0, true
	case turned && a.src == b.dst && a.dst == b.src:
		return 1, true
	}
	return 0, false
}

// find returns the flow of a packet and the packet's direction in it.
func (m *model) find(e *event) (*modelFlow, int) {
	for _, f := range m.flows {
		if dir, ok := same(&f.first, e); ok {
			return f, dir
		}
	}
	return nil, 0
}

func (m *model) timeout(f *modelFlow) int64 {
	name := "other"
	switch {
	case f.first.protocol == 6:
		name = tcpTimeouts[f.status]
	case f.first.protocol == 17 && f.status == "stream":
		name = "udp_stream"
	case f.first.protocol == 17:
		name = "udp"
	case f.first.isICMP():
		name = "icmp"
	}
	return int64(m.timeouts[name])
}

func (m *model) expires(f *modelFlow) int64 { return f.last + m.timeout(f) }

func (m *model) expire(now int64) {
	m.flows = slices.DeleteFunc(m.flows, func(f *modelFlow) bool { return now >= m.expires(f) })
}

func (m *model) remove(f *modelFlow) {
	m.flows = slices.DeleteFunc(m.flows, func(g *modelFlow) bool { return f == g })
}

// verdict is what the table says of a packet.
type verdict struct {
	state  conntrack.State
	reason reason.Reason
}

func invalid(why reason.Reason) verdict { return verdict{conntrack.StateInvalid, why} }

// track is Track. flow is the one that the packet is about, if any.
func (m *model) track(now int64, generation uint32, e *event, bytes int) (v verdict, flow *modelFlow) {
	m.expire(now)
	if !e.tracked() {
		if e.quoted != nil && !e.later {
			return m.related(generation, e)
		}
		return verdict{state: conntrack.StateUntracked}, nil
	}
	_, reply, _ := e.request()
	fresh := verdict{state: conntrack.StateNew}
	if e.protocol == 6 && !startsTCP(&e.tcp, e.loose) || e.isICMP() && reply {
		fresh = invalid(reason.StateInvalid)
	}
	f, dir := m.find(e)
	if f == nil {
		return fresh, nil
	}
	if e.isICMP() && e.src == e.dst && reply {
		dir = 1 // who pings himself: the types tell
	}
	if home := f.ends[dir]; home.IsValid() && home != e.from && !e.anyEndpoint && !e.mayMove {
		return invalid(reason.FlowEndpoint), f
	}
	if f.generation != generation {
		return verdict{state: conntrack.StateStale}, f
	}
	if e.ovn && dir == 0 && e.context != f.contexts[0] {
		if !e.asked {
			return f.otherContext(e, fresh), f
		}
		defer func() {
			if v.state == conntrack.StateOriginal {
				f.rule = e.rule
			}
		}()
	}
	switch {
	case e.protocol == 6:
		why, another := f.tcp(&e.tcp, dir, e.trusted)
		if another {
			return fresh, f
		}
		if why != reason.None {
			return invalid(why), f
		}
	case dir == 1 && e.trusted:
		f.status = "replied"
		if e.protocol == 17 {
			f.status = "stream"
		}
	}
	if dir == 1 {
		f.replied = true
	}
	f.contexts[dir] = e.context
	f.packets[dir]++
	f.bytes[dir] += uint64(bytes)
	switch home := f.ends[dir]; {
	case !home.IsValid():
		f.ends[dir] = e.from
	case home != e.from && !e.anyEndpoint && e.trusted:
		f.ends[dir] = e.from
		m.moved++
	}
	if e.trusted {
		f.last = max(f.last, now)
		f.touched = true
	}
	return verdict{state: conntrack.StateOriginal + conntrack.State(dir)}, f
}

// otherContext is Track for a packet with a context ID that the flow has not had: it
// moves nothing.
func (f *modelFlow) otherContext(e *event, fresh verdict) verdict {
	if e.protocol == 6 {
		copied := *f
		switch why, another := copied.tcp(&e.tcp, 0, e.trusted); {
		case another:
			return fresh
		case why != reason.None:
			return invalid(why)
		}
	}
	return verdict{state: conntrack.StateOtherContext}
}

// related is Track for an ICMP error.
func (m *model) related(generation uint32, e *event) (verdict, *modelFlow) {
	// The quote has no tunnel of its own.
	q := *e.quoted
	q.tenant, q.ovn, q.context, q.vlans = e.tenant, e.ovn, e.context, e.vlans
	none := verdict{state: conntrack.StateUntracked}
	if _, _, query := q.request(); q.later || q.isICMP() && !query {
		return none, nil
	}
	f, dir := m.find(&q)
	if f == nil {
		return none, nil
	}
	home := f.ends[1-dir]
	switch {
	case e.dst != q.src:
		return invalid(reason.StateInvalid), f
	case home.IsValid() && home != e.from && !e.anyEndpoint:
		return invalid(reason.FlowEndpoint), f
	case f.generation != generation:
		return verdict{state: conntrack.StateStale}, f
	case q.protocol == 6 && !f.canBeInFlight(dir, q.tcp.seq):
		return invalid(reason.TCPWindow), f
	}
	return verdict{state: conntrack.StateRelated}, f
}

// create is Create, for a packet that Track has called new.
func (m *model) create(now int64, generation uint32, e *event, bytes int, c *conntrack.Creation) *modelFlow {
	if old, _ := m.find(e); old != nil {
		m.remove(old)
	}
	f := &modelFlow{
		first: *e, ends: [2]netip.Addr{e.from, e.to}, status: "unreplied", generation: generation, rule: c.Rule, last: now,
		packets: [2]uint32{1}, bytes: [2]uint64{uint64(bytes)}, contexts: [2]uint64{e.context}, counted: c.Limits.FlowsPerSource > 0,
	}
	if e.to.IsMulticast() {
		f.ends[1] = netip.Addr{}
	}
	if e.protocol == 6 {
		f.begin(&e.tcp)
	}
	m.flows = append(m.flows, f)
	return f
}

// limited says which limit a new flow meets; [reason.None] if it may begin.
func (m *model) limited(e *event, limits *conntrack.Limits) reason.Reason {
	var flows, ofSource, halfOpen int
	for _, f := range m.flows {
		if f.first.tenant != e.tenant {
			continue
		}
		flows++
		if f.halfOpen() {
			halfOpen++
		}
		if f.counted && f.first.src == e.src {
			ofSource++
		}
	}
	switch {
	case limits.HalfOpen > 0 && halfOpen >= limits.HalfOpen && e.protocol == 6 && e.tcp.has(inspect.SYN):
		return reason.HalfOpenLimit
	case limits.Flows > 0 && flows >= limits.Flows:
		return reason.TenantFlows
	case limits.FlowsPerSource > 0 && ofSource >= limits.FlowsPerSource:
		return reason.SourceFlows
	}
	return reason.None
}

// begunBy returns how many flows an endpoint has begun, and whether nobody has
// answered one of them.
func (m *model) begunBy(endpoint netip.Addr) (n int, spare bool) {
	for _, f := range m.flows {
		if f.ends[0] == endpoint {
			n++
			spare = spare || f.place() >= 0
		}
	}
	return n, spare
}

func (f *modelFlow) halfOpen() bool { return f.status == "syn_sent" || f.status == "syn_received" }

// turn is where a flow stands in the order of eviction: those that wait for an
// answer are one kind.
func (f *modelFlow) turn() int { return max(f.place(), 3) }

// place is the kind of a flow in that order; -1: it is not given up.
func (f *modelFlow) place() int {
	switch {
	case f.status == "syn_sent":
		return 0
	case f.status == "unreplied" && f.first.protocol == 17:
		return 1
	case f.status == "unreplied" && f.first.isICMP():
		return 2
	case f.status == "unreplied":
		return 3
	}
	return slices.Index([]string{"", "", "", "", "close", "time_wait", "syn_received"}, f.status)
}
