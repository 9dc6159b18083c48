package suggest

import (
	"maps"
	"net/netip"
	"slices"

	"sttwall/conntrack"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
)

// Sighting is a frame that the policy would drop because no rule accepts it. It
// shares no memory with the frame.
type Sighting struct {
	Time      int64 // ns; see [firewall.FrameEvent]
	ContextID uint64
	State     conntrack.State
	Begins    bool
	// Reverse is the context ID of the other direction; that of the frame where
	// nobody knows.
	Reverse uint64
	Frame   inspect.Frame
}

// Sight fills s from what a firewall tells of a frame; false if that is not for
// a rule to change, and why: [reason.None] if the policy wants it so.
func (s *Sighting) Sight(e *firewall.FrameEvent) (bool, reason.Reason) {
	switch {
	case e.Verdict != firewall.Accept:
		return false, e.Reason
	case !e.Decision.Audit:
		return false, reason.None
	case e.Decision.Would != reason.TenantDefault:
		return false, e.Decision.Would
	}
	*s = Sighting{e.Time, e.Header.ContextID, e.State, e.Begins, e.Header.ContextID, e.Inner}
	if e.HasReverse {
		s.Reverse = e.Reverse
	}
	return true, reason.None
}

const (
	// DefaultMaxFlows is some 60 MB.
	DefaultMaxFlows = 262144
	// maxEndpoints is how many outer sources are told one by one.
	maxEndpoints = 256
	// maxNeighbors is of how many context IDs it is kept that neighbour discovery
	// was seen.
	maxNeighbors = 4096
	// pruneEvery is how often a full collector looks for what it can forget, in
	// ns.
	pruneEvery = 1e9
)

// Collector makes flows of frames.
type Collector struct {
	max       int
	flows     map[Flow]*counts // by a flow without Back and what is in counts
	endpoints map[netip.Addr]bool
	neighbors map[uint64]bool
	pruned    int64
	beyond    uint64
	unused    uint64
}

// counts are what a flow learns after its first frame.
type counts struct {
	back             uint64
	packets          uint64
	replied, guessed bool
}

// NewCollector returns one that keeps at most that many flows, of some 240 bytes
// each; 0 means [DefaultMaxFlows]. When it is full, those that nobody answered
// go first; frames of flows for which there is no room even so are counted and
// nothing more.
func NewCollector(maxFlows int) *Collector {
	if maxFlows <= 0 {
		maxFlows = DefaultMaxFlows
	}
	return &Collector{max: maxFlows, flows: map[Flow]*counts{}, endpoints: map[netip.Addr]bool{}, neighbors: map[uint64]bool{}, pruned: -pruneEvery}
}

// Add takes a frame that p, the policy in force, or one in audit mode made of
// it, would drop. The sighting is borrowed until Add returns. Frames of a known
// flow allocate nothing.
func (c *Collector) Add(p *policy.Policy, s *Sighting) {
	d, found := p.Find(s.ContextID)
	rst := s.Frame.HasTCP && s.Frame.TCPFlags&inspect.RST != 0
	there, ok := matchOf(&s.Frame)
	if !found || rst || !ok {
		c.unused++
		return
	}
	ovn := p.Tenant(d.TenantIndex).OVN
	flow := Flow{Tenant: d.Tenant, OVN: ovn, Network: networkOf(s.ContextID, ovn), Service: there}
	if !there.anywhere() {
		flow.Src, flow.Dst = s.Frame.Src, s.Frame.Dst
	}
	reply, guessed := c.orient(&flow, s)
	n := c.flows[flow]
	if n == nil {
		if len(c.flows) >= c.max {
			c.prune(s.Time)
		}
		if len(c.flows) >= c.max {
			c.beyond++
			return
		}
		n = &counts{back: flow.Network, guessed: guessed}
		c.flows[flow] = n
	}
	n.packets++
	if reply {
		n.replied, n.back = true, networkOf(s.ContextID, ovn)
	}
	if s.Frame.HasTCP && s.Frame.TCPFlags&inspect.SYN != 0 {
		n.guessed = false
	}
}

// AddEndpoint notes the outer source of a frame that may pass.
func (c *Collector) AddEndpoint(a netip.Addr) {
	if len(c.endpoints) <= maxEndpoints && !c.endpoints[a] {
		c.endpoints[a] = true
	}
}

// AddNeighbor notes that ARP or neighbour discovery was seen in a context ID that no
// tenant has. That of tenants needs nothing.
func (c *Collector) AddNeighbor(contextID uint64, ovn bool) {
	if len(c.neighbors) < maxNeighbors {
		c.neighbors[networkOf(contextID, ovn)] = true
	}
}

// Neighbors returns the networks in which it was seen, as [Flow.Network] has them,
// in order.
func (c *Collector) Neighbors() []uint64 { return slices.Sorted(maps.Keys(c.neighbors)) }

// orient turns a flow round if the frame is an answer, or looks like one, and
// reports whether it is, and whether that is a guess.
func (c *Collector) orient(flow *Flow, s *Sighting) (reply, guessed bool) {
	f := &s.Frame
	back, ok := answered(f)
	if !ok || !flow.Src.IsValid() || manyTo(f.Dst) {
		return false, false
	}
	turned := *flow
	turned.Src, turned.Dst, turned.Service = flow.Dst, flow.Src, back
	turned.Network = networkOf(s.Reverse, flow.OVN)
	const syn, synAck = inspect.SYN, inspect.SYN | inspect.ACK
	switch flags := f.TCPFlags & synAck; {
	case f.HasICMP:
		reply = true // a request has no answered
	case f.HasTCP && flags == syn:
	case f.HasTCP && flags == synAck:
		reply = true
	case s.Begins && !f.HasTCP:
		// An answer from a known port to one without a name is the middle of a
		// flow.
		_, from := knownPort(f.Protocol, f.SrcPort)
		_, to := knownPort(f.Protocol, f.DstPort)
		reply = from && !to
		guessed = reply
	default:
		reply = s.State == conntrack.StateReply
		if s.State != conntrack.StateReply && s.State != conntrack.StateOriginal || s.Begins {
			reply, guessed = backwards(f), true
		}
		// What was seen begin, or guessed before, stays as it is.
		if _, known := c.flows[*flow]; known {
			reply = false
		} else if _, known := c.flows[turned]; known {
			reply = true
		}
	}
	if reply {
		*flow = turned
	}
	return reply, guessed
}

// backwards reports whether the source looks like the server: by a name of its
// port, a privileged port, the lower port. The first that tells decides.
func backwards(f *inspect.Frame) bool {
	_, from := knownPort(f.Protocol, f.SrcPort)
	_, to := knownPort(f.Protocol, f.DstPort)
	switch {
	case from != to:
		return from
	case (f.SrcPort < 1024) != (f.DstPort < 1024):
		return f.SrcPort < 1024
	}
	return f.SrcPort < f.DstPort
}

// echoes are ICMP answers and what they answer (RFC 792, RFC 950; RFC 4443
// section 4).
var echoes = map[[2]uint8]uint8{
	{inspect.ProtocolICMP, 0}: 8, {inspect.ProtocolICMP, 14}: 13, {inspect.ProtocolICMP, 16}: 15, {inspect.ProtocolICMP, 18}: 17,
	{inspect.ProtocolICMPv6, 129}: 128,
}

// answered returns the service that a frame is an answer of; false if it cannot
// be one.
func answered(f *inspect.Frame) (Match, bool) {
	switch {
	case f.HasICMP:
		request, ok := echoes[[2]uint8{f.Protocol, f.ICMPType}]
		return Match{Protocol: f.Protocol, HasICMP: true, ICMPType: request}, ok
	case f.HasPorts:
		turned := *f
		turned.SrcPort, turned.DstPort = f.DstPort, f.SrcPort
		return matchOf(&turned)
	case f.IP == 0:
		return Match{}, false
	}
	return matchOf(f)
}

// prune forgets flows that nobody has answered. What goes one way only is seen
// again if it goes on; it is counted all the same.
func (c *Collector) prune(now int64) {
	if now-c.pruned < pruneEvery {
		return
	}
	c.pruned = now
	for f, n := range c.flows {
		if n.replied {
			continue
		}
		if flow := n.flow(f); !flow.unanswered() {
			c.beyond += n.packets
		}
		delete(c.flows, f)
	}
}

func (n *counts) flow(f Flow) Flow {
	f.Back, f.Packets, f.Replied, f.Guessed = n.back, n.packets, n.replied, n.guessed
	return f
}

// Flows returns what was seen, in an order that depends on nothing else. The
// slice is the caller's; the collector may go on.
func (c *Collector) Flows() []Flow {
	out := make([]Flow, 0, len(c.flows))
	for f, n := range c.flows {
		out = append(out, n.flow(f))
	}
	slices.SortFunc(out, compareFlows)
	return out
}

// Endpoints returns the outer sources, in order; nil if they are too many to be
// told one by one.
func (c *Collector) Endpoints() []netip.Addr {
	if len(c.endpoints) > maxEndpoints {
		return nil
	}
	return setOf(c.endpoints)
}

// Beyond is how many frames belonged to flows for which there was no room.
func (c *Collector) Beyond() uint64 { return c.beyond }

// Unused is how many frames make no flow: ICMP errors, later fragments, resets,
// and what belongs to no tenant any more.
func (c *Collector) Unused() uint64 { return c.unused }
