package firewall

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// TenantFlows returns how many flows the tenant with that name has, and how many
// of them are half-open TCP.
func (s *Shared) TenantFlows(name string) (flows, halfOpen int) {
	s.mu.Lock()
	id, known := s.tenants[name]
	s.mu.Unlock()
	if !known {
		return 0, 0
	}
	return s.flows.TenantStats(id)
}

// Question is a frame about which it is asked what would become of it.
type Question struct {
	ContextID uint64
	// Frame is what was read of Data, the inner frame.
	Frame *inspect.Frame
	Data  []byte
	// From and To are the outer endpoints. What is not given is taken to be right:
	// as the flow has it, if there is one.
	From, To netip.Addr
	// AnyNumbers: TCP sequence and acknowledgment numbers are taken to be those
	// that the flow expects next, if there is one.
	AnyNumbers bool
}

// Explanation says what would become of a frame, and why.
type Explanation struct {
	// From and To are the outer endpoints it was taken to come from and go to.
	From, To netip.Addr
	// State is what it is to the flow table. Begins: it would begin a flow.
	State  conntrack.State
	Begins bool
	// Flow is the one that it names; nil if there is none. Belongs: it would pass
	// as a packet of that flow. NumbersTaken: with the numbers that it expects.
	Flow         *FlowView
	Belongs      bool
	NumbersTaken bool
	// Rules is how the rules decide about it; where OfFlow is true, about the
	// first packet of Flow, which decides about the others.
	Rules  *policy.Explanation
	OfFlow bool
	// Decision is what would become of it.
	Decision policy.Decision
}

// Explain decides about a frame as a worker would at now, by the rules, the flows
// and the limits of now, and says how; nothing moves. Token buckets are taken to
// be full. It is for people: it takes its time and memory. What a worker looks at
// before the policy, the tunnel and the form of the frame, is taken to be in order.
func (s *Shared) Explain(now int64, q *Question) *Explanation {
	st := s.look(now)
	asked := *q
	anyEndpoint, anyTo := !q.From.IsValid(), !q.To.IsValid()
	from, to := st.policy.DefaultEndpoints(q.ContextID, q.Frame)
	if anyEndpoint {
		asked.From = from
	}
	if anyTo {
		asked.To = to
	}
	x := st.explain(s, now, &asked, anyEndpoint)
	numbers := q.AnyNumbers && q.Frame.HasTCP
	if x.Flow == nil || !anyEndpoint && !anyTo && !numbers {
		return x
	}
	dir := 0
	if backward(q.Frame, x.Flow, x.State) {
		dir = 1
	}
	sides := [2]netip.Addr{x.Flow.From, x.Flow.To}
	if anyEndpoint {
		asked.From = sides[dir]
	}
	if anyTo {
		asked.To = sides[1-dir]
	}
	if numbers {
		asked.Data = slices.Clone(q.Data)
		tcp := asked.Data[q.Frame.L4Offset:]
		binary.BigEndian.PutUint32(tcp[4:], x.Flow.Next[dir])
		binary.BigEndian.PutUint32(tcp[8:], x.Flow.Next[1-dir])
	}
	x = st.explain(s, now, &asked, anyEndpoint)
	x.NumbersTaken = numbers
	return x
}

// backward reports whether a frame goes against the direction of the first packet
// of its flow; an ICMP error goes against the packet that it is about.
func backward(f *inspect.Frame, flow *FlowView, state conntrack.State) bool {
	switch state {
	case conntrack.StateOriginal:
		return false
	case conntrack.StateReply:
		return true
	}
	return f.Dst == flow.Key.Src
}

func (st *standing) explain(s *Shared, now int64, q *Question, anyEndpoint bool) *Explanation {
	p := &peek{anyEndpoint: anyEndpoint}
	f := Firewall{shared: s, standing: st, now: now}
	f.peek, f.fragment.why = p, reason.FragmentFirstMissing // nobody waits for an answer
	fr := reassembly.Frame{Key: reassembly.Key{Src: q.From, Dst: q.To}, FrameLength: stt.FrameHeaderLen + len(q.Data)}
	e := f.beginEvent(fr.Key, 0, fr.FrameLength, nil, now)
	e.Header = stt.FrameHeader{ContextID: q.ContextID, Flags: stt.FlagChecksumVerified}
	e.HasHeader, e.HasInner = true, true
	e.Inner, e.InnerData = *q.Frame, q.Data
	f.judgePolicy(now, &fr)

	x := &Explanation{From: q.From, To: q.To, State: e.State, Begins: e.Begins, Decision: e.Decision}
	about := policy.Packet{ContextID: q.ContextID, Frame: q.Frame, From: q.From, To: q.To, Wall: now / 1e9, Now: now, Peek: true}
	var origin inspect.Frame
	if p.named {
		id, first, other, there := s.flows.Origin(p.handle, &origin)
		view := st.view(now, st.tenantIndexes(), &p.flow, &origin)
		x.Flow = &view
		x.Belongs = e.State == conntrack.StateOriginal && !e.Begins || e.State == conntrack.StateReply || e.State == conntrack.StateRelated
		switch {
		case e.Decision.Action == policy.Accept:
		case p.ended:
			x.State = conntrack.StateStale
		case p.denied:
			x.State = conntrack.StateOtherContext
		}
		if x.OfFlow = there && (x.Belongs || p.denied); x.OfFlow {
			about.Frame, about.From, about.To = &origin, first, other
			if !p.otherContext {
				about.ContextID = id
			}
		}
	}
	x.Rules = st.policy.Explain(&about)
	x.Rules.Bindings = append(x.Rules.Bindings, f.learnedText(p.anyEndpoint)...)
	return x
}

// learnedText says of each claim of the frame at hand that was learned where it lives.
func (f *Firewall) learnedText(anyEndpoint bool) (lines []string) {
	o := &f.packet.Origins
	claims := o.Claims.All()
	for i := range claims {
		found := &f.found[i]
		if o.Learned&(1<<i) == 0 || found.Standing == binding.Unbound {
			continue // nobody has it, or it may be anybody's
		}
		line := fmt.Sprintf("%s lives behind %s (learned)", policy.ClaimText(&claims[i]), found.Endpoint)
		switch {
		case anyEndpoint: // taken to be right
		case found.Standing == binding.Here:
			line += ", and comes from there"
		case found.Standing == binding.Moves:
			line += fmt.Sprintf(", and moves to %s with such a packet", f.packet.From)
		default:
			line += fmt.Sprintf(", but the packet comes from %s: %v", f.packet.From, reason.BindingLearned)
		}
		lines = append(lines, line)
	}
	return lines
}

// peek stands between a firewall that is only asked and the flow table: it does
// as if, and keeps what it saw.
type peek struct {
	anyEndpoint bool // the outer endpoints are taken to be the flow's

	named     bool // handle and flow are valid
	handle    conntrack.Handle
	flow      conntrack.Flow
	confirmed *policy.Decision // about the flow, by the rules that hold now
	ended     bool             // the rules that hold now end the flow
	denied    bool             // what they say of its first packet is what becomes of this one

	otherContext bool // the rules were asked about the flow with another context ID
}

func (k *peek) track(f *Firewall, now int64) {
	flows, c, r := f.shared.flows, &f.tracked, &f.result
	switch {
	case k.ended:
		flows.Fresh(c, r)
	case k.confirmed != nil:
		flows.Peek(now, k.flow.Generation, c, r, &k.flow)
		if !c.Asked {
			r.Rule, r.Mark = k.confirmed.RuleIndex, markOf(k.confirmed)
		}
	default:
		flows.Peek(now, f.standing.generation, c, r, &k.flow)
	}
	k.otherContext = k.otherContext || r.State == conntrack.StateOtherContext
	if r.Handle.Valid() {
		k.named, k.handle = true, r.Handle
	}
}

func (k *peek) create(f *Firewall, now int64, c *conntrack.Creation) {
	f.result = conntrack.Result{State: conntrack.StateOriginal, Rule: c.Rule, Mark: c.Mark, Begun: true}
	if why := f.shared.flows.Room(now, &f.tracked, &c.Limits); why != reason.None {
		f.result = conntrack.Result{State: conntrack.StateInvalid, Reason: why}
	}
}

// explainFlows is the size of the flow table of a firewall that is asked one
// question.
const explainFlows = 64

// ExplainFirst explains as [Shared.Explain] does what would become of a frame that
// is the first that a firewall with these rules sees.
func ExplainFirst(p *policy.Policy, now int64, q *Question) (*Explanation, error) {
	ids, err := NewFrameIDFilter(FrameIDConfig{Bits: minFrameIDBits}) // nothing leaves
	if err != nil {
		return nil, err
	}
	s, err := NewShared(p.Fresh(explainFlows), ids)
	if err != nil {
		return nil, err
	}
	return s.Explain(now, q), nil
}
