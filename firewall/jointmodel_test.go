package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"

	"sttwall/conntrack"
	"sttwall/stt"
)

// The whole core against two plain models: a policy is a list of rules that is
// read from the front, state is a list of flows that is searched from the front. A
// packet passes iff it belongs to a flow that the rules in force accept by its
// first packet, or if they accept it for itself.

// jointRule is a rule of the model.
type jointRule struct {
	name              string
	accept, stateless bool
	protocol          string // "": any
	ports             []int
	src, dst          string // "": any
	audit             string // "": as the tenant
	ingress           []int  // ports of the OVN layout; none: any
}

type jointTenant struct {
	name                       string
	contexts                   []uint64 // not of the OVN layout
	rules                      []jointRule
	accept, audit, anyEndpoint bool // the default action; modes
}

// jointPolicy is a random policy.
type jointPolicy struct {
	tenants []jointTenant
	accept  bool // what nobody claims
}

// Context IDs: of plain, of trial, of one of them or of nobody, and of ovn.
const (
	jointPlain, jointTrial, jointMoves = 400, 700, 401
	jointOVN                           = 3<<40 | 5<<24 | 7
)

// owner is the tenant of a context ID, or nil.
func (p *jointPolicy) owner(context uint64) *jointTenant {
	for i := range p.tenants {
		t := &p.tenants[i]
		if slices.Contains(t.contexts, context) || t.name == "ovn" && context%(1<<24) >= 7 && context%(1<<24) <= 8 {
			return t
		}
	}
	return nil
}

func anyOf[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

func randomPolicy(r *rand.Rand) *jointPolicy {
	p := &jointPolicy{accept: r.IntN(3) == 0}
	names := []string{"plain", "trial", "ovn"}
	r.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
	if r.IntN(8) == 0 {
		names = names[1:] // its flows end
	}
	moves := anyOf(r, "plain", "trial", "nobody")
	for _, name := range names {
		t := jointTenant{name: name, audit: name == "trial", accept: r.IntN(6) == 0, anyEndpoint: r.IntN(4) == 0}
		switch name {
		case "plain":
			t.contexts = []uint64{jointPlain}
		case "trial":
			t.contexts = []uint64{jointTrial}
		}
		if name == moves {
			t.contexts = append(t.contexts, jointMoves)
		}
		for i := range 1 + r.IntN(5) {
			rule := jointRule{
				name: fmt.Sprintf("r%d", i), accept: r.IntN(3) > 0, stateless: r.IntN(5) == 0, protocol: anyOf(r, "", "tcp", "tcp", "udp", "udp", "icmp"),
				src: anyOf(r, "", "", jointHosts[0], jointHosts[1]), dst: anyOf(r, "", "", jointHosts[2], jointHosts[1]), audit: anyOf(r, "", "", "", "audit", "enforce"),
			}
			for range r.IntN(3) {
				rule.ports = append(rule.ports, 1+r.IntN(4))
			}
			if name == "ovn" && r.IntN(3) == 0 {
				rule.ingress = append(rule.ingress, r.IntN(4), r.IntN(4))
			}
			t.rules = append(t.rules, rule)
		}
		p.tenants = append(p.tenants, t)
	}
	return p
}

// text is the policy as an operator would write it.
func (p *jointPolicy) text() string {
	b := &strings.Builder{}
	action := map[bool]string{true: "accept", false: "drop"}
	fmt.Fprintf(b, "settings {\n endpoints = [\"192.0.2.0/24\"]\n default_action = %q\n}\n", action[p.accept])
	for _, t := range p.tenants {
		fmt.Fprintf(b, "tenant %q {\n default_action = %q\n", t.name, action[t.accept])
		if t.name == "ovn" {
			b.WriteString(" context_layout = \"ovn\"\n datapaths = [7, 8]\n")
		} else {
			fmt.Fprintf(b, " context_ids = [%s]\n", strings.ReplaceAll(strings.Trim(fmt.Sprint(t.contexts), "[]"), " ", ", "))
		}
		if t.audit {
			b.WriteString(" mode = \"audit\"\n")
		}
		if t.anyEndpoint {
			b.WriteString(" pairing = \"tenant\"\n")
		}
		for _, r := range t.rules {
			fmt.Fprintf(b, " rule %q {\n  action = %q\n", r.name, action[r.accept])
			var services []string
			switch {
			case r.protocol == "icmp":
				services = []string{`"icmp/echo-request"`}
			case r.protocol != "" && len(r.ports) == 0:
				services = []string{fmt.Sprintf("%q", r.protocol)}
			case r.protocol != "":
				for _, port := range r.ports {
					services = append(services, fmt.Sprintf(`"%s/%d"`, r.protocol, port))
				}
			}
			if services != nil {
				fmt.Fprintf(b, "  services = [%s]\n", strings.Join(services, ", "))
			}
			if r.src != "" {
				fmt.Fprintf(b, "  source = [%q]\n", r.src)
			}
			if r.dst != "" {
				fmt.Fprintf(b, "  destination = [%q]\n", r.dst)
			}
			if r.ingress != nil {
				fmt.Fprintf(b, "  ingress_port = [%d, %d]\n", r.ingress[0], r.ingress[1])
			}
			if r.stateless && r.accept {
				b.WriteString("  state = \"stateless\"\n")
			}
			if r.audit != "" {
				fmt.Fprintf(b, "  mode = %q\n", r.audit)
			}
			b.WriteString(" }\n")
		}
		b.WriteString("}\n")
	}
	return b.String()
}

// jointPacket is what the models see of a packet.
type jointPacket struct {
	tenant   string // "": nobody's
	context  uint64
	protocol string
	src, dst string
	sp, dp   int  // icmp: the identifier in both
	reply    bool // of a ping
	from, to netip.Addr
	begins   bool // it may begin a flow
	alien    bool // TCP that its flow does not allow
	last     bool // a RST that its flow does allow
	tcp      string
}

// text is the packet in the language of package describe.
func (p *jointPacket) text(length int) string {
	if p.protocol == "icmp" {
		kind := "echo-request"
		if p.reply {
			kind = "echo-reply"
		}
		return fmt.Sprintf("icmp %s > %s %s id %d", p.src, p.dst, kind, p.sp)
	}
	return fmt.Sprintf("%s %s:%d > %s:%d %s len %d", p.protocol, p.src, p.sp, p.dst, p.dp, p.tcp, length)
}

// jointDecision is a model's answer; would: it is audit mode that lets it pass.
type jointDecision struct {
	accept, would, stateless bool
	rule                     string // "": the default
}

func (t *jointTenant) decide(p *jointPacket) jointDecision {
	for _, r := range t.rules {
		switch {
		case r.protocol != "" && r.protocol != p.protocol,
			r.protocol == "icmp" && p.reply,
			(r.protocol == "tcp" || r.protocol == "udp") && len(r.ports) > 0 && !slices.Contains(r.ports, p.dp),
			r.src != "" && r.src != p.src,
			r.dst != "" && r.dst != p.dst,
			r.ingress != nil && !slices.Contains(r.ingress, int(p.context>>40)):
			continue
		}
		audit := t.audit && r.audit == "" || r.audit == "audit"
		return jointDecision{accept: r.accept || audit, would: !r.accept, stateless: r.stateless && r.accept, rule: t.name + "/" + r.name}
	}
	return jointDecision{accept: t.accept || t.audit, would: !t.accept}
}

// jointFlow is a flow of the model.
type jointFlow struct {
	first      jointPacket
	ends       [2]netip.Addr
	generation int
	decision   jointDecision
	closed     bool
	talk       jointTalk
}

// jointTalk is how far an honest TCP connection is.
type jointTalk struct {
	phase int       // 0: a SYN; 1: SYN+ACK; 2: open
	next  [2]uint32 // numbers
}

// jointModel is the state and the policy in force.
type jointModel struct {
	policy     *jointPolicy
	generation int
	flows      []*jointFlow
}

func (m *jointModel) find(p *jointPacket) (*jointFlow, int) {
	for _, f := range m.flows {
		q := &f.first
		if q.tenant != p.tenant || q.protocol != p.protocol || p.tenant != "ovn" && q.context != p.context {
			continue
		}
		switch {
		case q.src == p.src && q.dst == p.dst && q.sp == p.sp && q.dp == p.dp && !p.reply:
			return f, 0
		case q.src == p.dst && q.dst == p.src && q.sp == p.dp && q.dp == p.sp && p.reply == (p.protocol == "icmp"):
			return f, 1
		}
	}
	return nil, 0
}

func (m *jointModel) remove(f *jointFlow) {
	m.flows = slices.DeleteFunc(m.flows, func(g *jointFlow) bool { return f == g })
}

// step decides about a packet; state is what it is to the flows.
func (m *jointModel) step(p *jointPacket) (d jointDecision, state conntrack.State) {
	t := m.policy.owner(p.context)
	if t == nil {
		return jointDecision{accept: m.policy.accept}, conntrack.StateUntracked
	}
	f, dir := m.find(p)
	switch {
	case f == nil:
	case f.ends[dir] != p.from && !t.anyEndpoint:
		return m.refuse(t, p, true), conntrack.StateInvalid
	case f.generation != m.generation:
		// Its first packet is judged again.
		again := t.decide(&f.first)
		switch {
		case !again.accept:
			m.remove(f)
			return again, conntrack.StateStale
		case again.stateless:
			m.remove(f)
			f = nil
		default:
			f.generation, f.decision = m.generation, again
		}
	}
	switch {
	case f != nil && f.closed && p.begins: // another one
	case f != nil && p.alien:
		return m.refuse(t, p, true), conntrack.StateInvalid
	case f != nil && t.name == "ovn" && dir == 0 && f.first.context != p.context:
		// From another port: its first packet is judged as if it had come from there.
		first := f.first
		first.context = p.context
		again := t.decide(&first)
		switch {
		case !again.accept:
			return again, conntrack.StateOtherContext
		case again.stateless && !p.begins:
			return m.refuse(t, p, false), conntrack.StateUntracked
		case again.stateless:
			return t.decide(p), conntrack.StateUntracked
		}
		f.first.context, f.decision, f.closed = p.context, again, f.closed || p.last
		return again, conntrack.StateOriginal
	case f != nil:
		f.closed = f.closed || p.last
		return f.decision, conntrack.StateOriginal + conntrack.State(dir)
	case !p.begins:
		return m.refuse(t, p, false), conntrack.StateInvalid
	}
	d = t.decide(p)
	if !d.accept || d.stateless {
		return d, conntrack.StateNew
	}
	if f != nil {
		m.remove(f)
	}
	f = &jointFlow{first: *p, ends: [2]netip.Addr{p.from, p.to}, generation: m.generation, decision: d}
	m.flows = append(m.flows, f)
	return d, conntrack.StateOriginal
}

// refuse decides about a packet that begins no flow and is of none, or of one
// (known) that does not allow it: only rules without state let it pass.
func (m *jointModel) refuse(t *jointTenant, p *jointPacket, known bool) jointDecision {
	d := t.decide(p)
	passes := d.accept && !d.would
	if passes && (d.stateless || d.rule == "") {
		return d
	}
	if passes || known {
		return jointDecision{accept: t.audit, would: true}
	}
	return d
}

// reload puts another policy in force.
func (m *jointModel) reload(p *jointPolicy) {
	m.policy = p
	m.generation++
}

// rejudge ends the flows whose first packet the rules now deny, and returns how
// many.
func (m *jointModel) rejudge() (ended int) {
	before := len(m.flows)
	m.flows = slices.DeleteFunc(m.flows, func(f *jointFlow) bool {
		if f.generation == m.generation {
			return false
		}
		t := m.policy.owner(f.first.context)
		return t == nil || t.name != f.first.tenant || !t.decide(&f.first).accept
	})
	return before - len(m.flows)
}

var (
	jointHosts = []string{"10.0.0.1", "10.0.0.2", "10.0.0.3"}
	jointEnds  = []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")}
)

// header is the frame header of a packet.
func (p *jointPacket) header() stt.FrameHeader {
	return stt.FrameHeader{ContextID: p.context, Flags: stt.FlagChecksumVerified}
}
