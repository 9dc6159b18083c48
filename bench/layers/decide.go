package main

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
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

// wanted is a rule that all contestants can express: it accepts TCP from and to
// these prefixes and ports.
type wanted struct {
	src, dst []netip.Prefix
	lo, hi   uint16 // destination ports
}

// first is a packet that would begin a flow.
type first struct {
	contextID uint64
	src, dst  netip.AddrPort
}

// decideRules makes rules, four of five a CIDR and a port, the others ranges of
// ports, sets of addresses, any source or any destination; and first packets, seven
// of eight of which were made for some rule. The first tenant has the first of the
// rules, and so on, each the same number; its context ID is its number, from 1.
func decideRules(tenants, each int) ([]wanted, []first) {
	n := tenants * each
	r := rand.New(rand.NewPCG(3, uint64(n)))
	address := func(bits int) netip.Prefix {
		a := netip.AddrFrom4([4]byte{10, byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))})
		return netip.PrefixFrom(a, bits).Masked()
	}
	bits := func() int { return []int{24, 28, 32}[r.IntN(3)] }
	anywhere := netip.MustParsePrefix("0.0.0.0/0")
	ports := []uint16{80, 443, 22, 53, 5432, 8080, 3306, 9000, 9042, 6379}
	rules := make([]wanted, n)
	for i := range rules {
		port := ports[r.IntN(len(ports))]
		w := wanted{[]netip.Prefix{address(bits())}, []netip.Prefix{address(bits())}, port, port}
		switch r.IntN(20) {
		case 0:
			w.hi += 1000
		case 1:
			for range 10 {
				w.dst = append(w.dst, address(32))
			}
		case 2:
			w.src[0] = anywhere
		case 3:
			w.dst[0] = anywhere
		}
		rules[i] = w
	}
	packets := make([]first, 4096)
	for i := range packets {
		number := r.IntN(n)
		w := &rules[number]
		port := w.lo
		if r.IntN(8) == 0 {
			port = 7 // none
		}
		inside := func(p netip.Prefix) netip.Addr {
			if p.Bits() == 0 {
				return address(32).Addr()
			}
			return p.Addr()
		}
		packets[i] = first{
			uint64(number/each) + 1,
			netip.AddrPortFrom(inside(w.src[r.IntN(len(w.src))]), uint16(1024+r.IntN(60000))),
			netip.AddrPortFrom(inside(w.dst[r.IntN(len(w.dst))]), port),
		}
	}
	return rules, packets
}

// decider decides about first packets.
type decider interface {
	accepts(p *first) bool
}

// decideContests: whether a first packet may begin a flow. sttwall finds the tenant
// of the context ID, looks whether the endpoint may speak for it, and names the rule;
// the lists do so the plain way. tailscale's filter knows no tenants.
func decideContests(at *place) ([]*contest, error) {
	type size struct {
		job           string
		tenants, each int
	}
	sizes := []size{{"rules=10", 1, 10}, {"rules=100", 1, 100}, {"rules=1000", 1, 1000}, {"rules=10000", 1, 10_000}}
	tenants := []int{10, 1000, 10_000}
	if at.quick {
		tenants = []int{10, 1000}
	}
	for _, n := range tenants {
		sizes = append(sizes, size{fmt.Sprintf("tenants=%d/rules=2", n), n, 2})
	}
	var out []*contest
	for _, s := range sizes {
		rules, packets := decideRules(s.tenants, s.each)
		all, err := deciders(rules, s.each)
		if err != nil {
			return nil, err
		}
		c := &contest{job: s.job, units: 1}
		for _, d := range all {
			run := singly(d.decider, packets)
			if o, is := d.decider.(*ourDecider); is {
				run = o.batches(packets)
			}
			c.contestants = append(c.contestants, contestant{variant: d.variant, run: run})
		}
		out = append(out, c)
	}
	return out, nil
}

type namedDecider struct {
	variant string
	decider
}

// deciders returns all that can express the rules, of which each tenant has so many.
func deciders(rules []wanted, each int) ([]namedDecider, error) {
	o, err := newOurDecider(rules, each)
	if err != nil {
		return nil, err
	}
	out := []namedDecider{{ours, o}}
	if each == len(rules) {
		t, err := newTailscaleDecider(rules)
		if err != nil {
			return nil, err
		}
		out = append(out, namedDecider{"tailscale", t})
	}
	return append(out, namedDecider{"linear_list", newListDecider(rules, each)}, namedDecider{"linear_boxes", newBoxDecider(rules, each)}), nil
}

// singly decides about the packets again and again.
func singly(d decider, packets []first) func(int) error {
	at := 0
	return func(n int) error {
		accepted := 0
		for range n {
			at = (at + 1) % len(packets)
			if d.accepts(&packets[at]) {
				accepted++
			}
		}
		runtime.KeepAlive(accepted)
		return nil
	}
}

// batches does the same as a worker does it: it expects a batch where that pays.
func (o *ourDecider) batches(packets []first) func(int) error {
	const batch = 64
	ids := make([]uint64, batch)
	at := 0
	return func(n int) error {
		accepted := 0
		for n > 0 {
			some := packets[at:min(at+min(n, batch), len(packets))]
			if o.policy.Cold() {
				for i := range some {
					ids[i] = some[i].contextID
				}
				o.policy.Expect(ids[:len(some)])
			}
			for i := range some {
				if o.accepts(&some[i]) {
					accepted++
				}
			}
			n -= len(some)
			at = (at + len(some)) % len(packets)
		}
		runtime.KeepAlive(accepted)
		return nil
	}
}

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
	b.WriteString("settings {\n  endpoints = [\"192.0.2.0/24\"]\n}\n")
	for i := range rules {
		if i%each == 0 {
			fmt.Fprintf(&b, "tenant \"t%d\" {\n  context_ids = [%d]\n", i/each, i/each+1)
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
