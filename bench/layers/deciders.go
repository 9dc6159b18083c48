package main

import (
	"fmt"
	"net/netip"
	"strings"

	"go4.org/netipx"
	"tailscale.com/net/packet"
	"tailscale.com/types/ipproto"
	"tailscale.com/types/views"
	"tailscale.com/wgengine/filter"

	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
)

// ourDecider is sttwall's policy.
type ourDecider struct {
	policy *policy.Policy
	packet policy.Packet
	frame  inspect.Frame
	// decision is the event's of a packet, which a worker uses again.
	decision policy.Decision
}

func newOurDecider(rules []wanted, each int) (*ourDecider, error) {
	var b strings.Builder
	b.WriteString("settings {\n  endpoints = [\"any\"]\n}\n")
	for i := range rules {
		if i%each == 0 {
			fmt.Fprintf(&b, "tenant \"t%d\" {\n  context_ids = [%d]\n  endpoints = [\"192.0.2.0/24\"]\n", i/each, i/each+1)
		}
		w := &rules[i]
		fmt.Fprintf(&b, "  rule \"r%d\" {\n    action = \"accept\"\n    source = %s\n    destination = %s\n    services = [\"tcp/%d-%d\"]\n  }\n",
			i, listed(w.src), listed(w.dst), w.lo, w.hi)
		if (i+1)%each == 0 {
			b.WriteString("}\n")
		}
	}
	return loadDecider(b.String())
}

func listed(prefixes []netip.Prefix) string {
	var quoted []string
	for _, p := range prefixes {
		quoted = append(quoted, fmt.Sprintf("%q", p))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func loadDecider(text string) (*ourDecider, error) {
	p, diagnostics := policy.Load("layers.hcl", []byte(text))
	if diagnostics.HasErrors() {
		return nil, diagnostics
	}
	o := &ourDecider{policy: p}
	frame := tcpFrame4.bytes(bytesOfPacket)
	if o.frame.Decode(frame, len(frame), 0, inspect.NoTag) != reason.None {
		return nil, errRefused
	}
	o.frame.TCPFlags = inspect.SYN
	o.packet = policy.Packet{Frame: &o.frame, From: netip.MustParseAddr("192.0.2.1"), To: netip.MustParseAddr("192.0.2.2")}
	return o, nil
}

func (o *ourDecider) accepts(p *first) bool {
	f := &o.frame
	f.Src, f.Dst, f.SrcPort, f.DstPort = p.src.Addr(), p.dst.Addr(), p.src.Port(), p.dst.Port()
	o.packet.ContextID = p.contextID
	d := &o.decision
	if o.policy.FindInto(o.packet.ContextID, d) && o.policy.Admit(&o.packet, d) {
		o.policy.Decide(&o.packet, d)
	}
	return d.Action == policy.Accept
}

// tailscaleDecider is tailscale's filter for what comes in. It knows no tenants.
type tailscaleDecider struct {
	filter *filter.Filter
	packet packet.Parsed
}

func newTailscaleDecider(rules []wanted) (*tailscaleDecider, error) {
	var matches []filter.Match
	for i := range rules {
		w := &rules[i]
		m := filter.Match{IPProto: views.SliceOf([]ipproto.Proto{ipproto.TCP}), Srcs: w.src}
		for _, dst := range w.dst {
			m.Dsts = append(m.Dsts, filter.NetPortRange{Net: dst, Ports: filter.PortRange{First: w.lo, Last: w.hi}})
		}
		matches = append(matches, m)
	}
	var everywhere netipx.IPSetBuilder
	everywhere.AddPrefix(netip.MustParsePrefix("0.0.0.0/0"))
	local, err := everywhere.IPSet()
	if err != nil {
		return nil, err
	}
	t := &tailscaleDecider{filter: filter.New(matches, nil, local, nil, nil, func(string, ...any) {})}
	t.packet.Decode(tcpFrame4.bytes(bytesOfPacket)[14:])
	t.packet.TCPFlags = packet.TCPSyn
	return t, nil
}

func (t *tailscaleDecider) accepts(p *first) bool {
	t.packet.Src, t.packet.Dst = p.src, p.dst
	return t.filter.RunIn(&t.packet, 0) == filter.Accept
}

// plainTenant is what the lists are about: they do what sttwall does, the plain way.
// A map has the tenant of the context ID, and its endpoints are a list too.
type plainTenant struct {
	endpoints []netip.Prefix
	rules     []wanted
	boxes     []listBox
}

type plainTenants struct {
	tenants map[uint64]*plainTenant
	from    netip.Addr
	decided int // the rule
}

func newPlainTenants(rules []wanted, each int) plainTenants {
	p := plainTenants{tenants: make(map[uint64]*plainTenant), from: netip.MustParseAddr("192.0.2.1")}
	for i := range len(rules) / each {
		p.tenants[uint64(i)+1] = &plainTenant{
			endpoints: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
			rules:     rules[i*each : (i+1)*each],
		}
	}
	return p
}

// tenant returns the tenant of a context ID, or nil if the endpoint may not speak for
// it.
func (p *plainTenants) tenant(contextID uint64) *plainTenant {
	t := p.tenants[contextID]
	if t == nil || !holds(t.endpoints, p.from) {
		return nil
	}
	return t
}

// listDecider is the plain list: each rule in turn, as it is written.
type listDecider struct{ plainTenants }

func newListDecider(rules []wanted, each int) *listDecider {
	return &listDecider{newPlainTenants(rules, each)}
}

func (l *listDecider) accepts(p *first) bool {
	t := l.tenant(p.contextID)
	if t == nil {
		return false
	}
	for i := range t.rules {
		w := &t.rules[i]
		if port := p.dst.Port(); w.lo <= port && port <= w.hi && holds(w.src, p.src.Addr()) && holds(w.dst, p.dst.Addr()) {
			l.decided = i
			return true
		}
	}
	return false
}

func holds(prefixes []netip.Prefix, a netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// boxDecider is the list made tight: for TCP over IPv4 alone, a box for each pair of
// prefixes, the ports in front because they tell the most.
type boxDecider struct{ plainTenants }

type listBox struct {
	lo, hi       uint16
	src, srcMask uint32
	dst, dstMask uint32
	rule         int32
}

func newBoxDecider(rules []wanted, each int) *boxDecider {
	l := &boxDecider{newPlainTenants(rules, each)}
	for _, t := range l.tenants {
		for i := range t.rules {
			w := &t.rules[i]
			for _, src := range w.src {
				for _, dst := range w.dst {
					t.boxes = append(t.boxes, listBox{w.lo, w.hi, word(src.Addr()), mask(src), word(dst.Addr()), mask(dst), int32(i)})
				}
			}
		}
	}
	return l
}

func (l *boxDecider) accepts(p *first) bool {
	t := l.tenant(p.contextID)
	if t == nil {
		return false
	}
	src, dst, port := word(p.src.Addr()), word(p.dst.Addr()), p.dst.Port()
	for i := range t.boxes {
		b := &t.boxes[i]
		if b.lo <= port && port <= b.hi && src&b.srcMask == b.src && dst&b.dstMask == b.dst {
			l.decided = int(b.rule)
			return true
		}
	}
	return false
}

func word(a netip.Addr) uint32 {
	b := a.As4()
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func mask(p netip.Prefix) uint32 { return uint32(^uint64(0) << (32 - p.Bits())) }
