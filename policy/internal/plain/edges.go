package plain

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// Edges makes packets that lie at the edges of a policy's own values: below, at
// and behind the ends of each range, and near the times at which its windows
// open and close.
type Edges struct {
	r   *rand.Rand
	p   *Policy
	all []*Rule
	now int64
}

// NewEdges returns a source of packets for a policy.
func NewEdges(r *rand.Rand, p *Policy) *Edges {
	e := &Edges{r: r, p: p, all: slices.Concat(p.Before, p.After)}
	for _, t := range p.Tenants {
		e.all = append(e.all, t.Rules...)
	}
	return e
}

func (e *Edges) chance(n int) bool { return e.r.IntN(n) == 0 }

// Packet aims at one rule of one tenant. Half of the packets try to meet all of
// its conditions but one or two, or all of them; the others are left to chance.
func (e *Edges) Packet() *Packet {
	k := new(Packet)
	t := e.p.Tenants[e.r.IntN(len(e.p.Tenants))]
	aim := new(Rule)
	if lists := slices.Concat(e.p.Before, t.Rules, t.Rules, e.p.After); len(lists) > 0 {
		aim = lists[e.r.IntN(len(lists))]
	}
	free := e.chance(2)
	try := func(set func(), met func() bool) {
		careful := !free && !e.chance(12)
		for range 8 {
			set()
			if !careful || met() {
				return
			}
		}
	}
	hold := func(conditions ...string) func() bool {
		return func() bool {
			return !slices.ContainsFunc(conditions, func(c string) bool { return aim.Names(c) && !aim.Holds(c, t, k) })
		}
	}
	inContext := hold("datapath", "ingress_port", "egress_port")
	try(func() { k.Context = e.context(t, aim) }, func() bool { return inContext() && e.p.tenant(k.Context) == t })
	bound := new(Binding) // one that the packet is about
	if len(t.Bindings) > 0 {
		bound = t.Bindings[e.r.IntN(len(t.Bindings))]
	}
	fromEndpoint := hold("from_endpoint")
	try(func() { k.From = e.outer(slices.Concat(t.Endpoints, bound.Endpoints, aim.FromEndpoint)) },
		func() bool { return fromEndpoint() && (t.Endpoints == nil || inRanges(t.Endpoints, k.From)) })
	try(func() { k.To = e.outer(aim.ToEndpoint) }, hold("to_endpoint"))
	try(func() { k.Wall = e.wall(aim) }, hold("time"))
	e.now += e.pause(aim)
	k.Now, k.BeginsNothing = e.now, e.chance(8)
	try(func() { k.EthSrc = e.mac(slices.Concat(bound.MACs, aim.SourceMAC)) }, hold("source_mac"))
	try(func() { k.EthDst = e.mac(aim.DestinationMAC) }, hold("destination_mac"))
	try(func() { e.tags(k, aim) }, hold("vlan", "pcp"))
	ether := *k
	try(func() {
		*k = ether
		e.network(k, aim, bound)
	}, hold("source", "destination", "services", "ethertype", "arp_operation", "tcp_flags", "fragment"))
	return k
}

// network fills in what the Ethernet header carries.
func (e *Edges) network(k *Packet, aim *Rule, bound *Binding) {
	k.EtherType = e.etherType(aim)
	switch k.EtherType {
	case 0x0800:
		e.ip(k, aim, bound, 4, 32)
	case 0x86dd:
		e.ip(k, aim, bound, 6, 128)
		e.target(k, bound)
	case 0x0806:
		k.ARPOperation = uint16(e.number(aim.ARPOperation, 65535, uint64(1+e.r.IntN(2))))
		k.Src, k.Dst = e.addresses(aim, bound, 32)
		if k.ARPSender = k.EthSrc; e.chance(4) {
			k.ARPSender = e.mac(bound.MACs)
		}
	}
}

// target fills in what a neighbour advertisement is about. A fragment that ends
// before its target is no packet that is read.
func (e *Edges) target(k *Packet, bound *Binding) {
	if k.isAdvertisement() && (k.Fragment == "first" || !e.chance(4)) {
		k.Target = e.address(bound.Addresses, 128)
	}
}

func (k *Packet) isAdvertisement() bool {
	return k.IP == 6 && k.Protocol == 58 && k.HasICMP && k.Type == 136
}

func (e *Edges) context(t *Tenant, aim *Rule) uint64 {
	if e.chance(16) {
		return e.r.Uint64() >> e.r.IntN(64)
	}
	if len(t.Claims) > 0 && (len(t.Datapaths) == 0 || e.chance(2)) {
		c := t.Claims[e.r.IntN(len(t.Claims))]
		return []uint64{c.Lo, c.Hi, c.Lo - 1, c.Hi + 1, c.Lo + (c.Hi-c.Lo)/2, c.Lo + e.r.Uint64()%max(1, c.Hi-c.Lo)}[e.r.IntN(6)]
	}
	id := e.number(aim.Datapath, 1<<24-1, 7)
	if e.chance(2) {
		id = e.number(t.Datapaths, 1<<24-1, 7)
	}
	id |= e.number(aim.IngressPort, 1<<15-1, 3)<<40 | e.number(aim.Port, 1<<16-1, 4)<<24
	if e.chance(12) {
		id |= 1 << (55 + e.r.IntN(9))
	}
	return id
}

// number is at an edge of the list, or near the one that is given.
func (e *Edges) number(list []Number, limit, near uint64) uint64 {
	if len(list) == 0 || e.chance(12) {
		return min(limit, near+uint64(e.r.IntN(3)))
	}
	n := list[e.r.IntN(len(list))]
	v := []uint64{n.Lo, n.Hi, n.Lo - 1, n.Hi + 1, n.Lo + (n.Hi-n.Lo)/2}[e.r.IntN(5)]
	if v > limit { // below 0, or above the end
		v = n.Lo
	}
	return v
}

func (e *Edges) outer(list []Range) netip.Addr {
	if len(list) == 0 || e.chance(8) {
		return anyEndpoint(e.r)
	}
	return e.edge(list[e.r.IntN(len(list))])
}

// edge is an address at or next to an end of a range, of the same family.
func (e *Edges) edge(r Range) netip.Addr {
	a := []netip.Addr{r.Lo, r.Hi, r.Lo.Prev(), r.Hi.Next(), r.Lo.Next()}[e.r.IntN(5)]
	if !a.IsValid() { // behind the end of the family
		return r.Lo
	}
	return a
}

// wall is a time near which a window of the rule opens or closes.
func (e *Edges) wall(aim *Rule) int64 {
	day := (&maker{r: e.r}).date()
	if len(aim.Times) == 0 {
		return day.Unix() + int64(e.r.IntN(secondsADay))
	}
	w := aim.Times[e.r.IntN(len(aim.Times))]
	for _, text := range []string{w.NotBefore, w.NotAfter} {
		if text != "" && e.chance(2) {
			day, _ = time.Parse(time.DateOnly, text) // as Random wrote it
		}
	}
	day = day.AddDate(0, 0, e.r.IntN(3)-1)
	minute := []int{w.from(), w.to(), 0, e.r.IntN(minutesADay)}[e.r.IntN(4)]
	at := time.Date(day.Year(), day.Month(), day.Day(), 0, minute, 0, 0, zone(w.Zone)).Unix()
	return at + []int64{0, -1, 59, 60, -60, 3600, -3600, 1800}[e.r.IntN(8)]
}

// pause is about the time that a token of the rule's limit takes.
func (e *Edges) pause(aim *Rule) int64 {
	if aim.Limit == nil || e.chance(4) {
		return int64(e.r.IntN(2)) * 1000
	}
	token := aim.Limit.Per / aim.Limit.Events
	return []int64{0, 1, token - 1, token, token + 1, token / 2, token * (aim.Limit.Burst + 1)}[e.r.IntN(7)]
}

func (e *Edges) mac(list []MAC) [6]byte {
	if len(list) == 0 || e.chance(6) {
		return anyMAC(e.r)
	}
	m := list[e.r.IntN(len(list))]
	switch m.Word {
	case "broadcast":
		return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, byte(0xff - e.r.IntN(2))}
	case "multicast":
		a := anyMAC(e.r)
		a[0] = byte(e.r.IntN(256))
		return a
	}
	a := m.Address
	if e.chance(2) { // the last address of the prefix
		for i := m.Bits; i < 48; i++ {
			a[i/8] |= 0x80 >> (i % 8)
		}
	}
	switch e.r.IntN(3) {
	case 0: // another bit: the last one that counts, or any
		i := max(0, m.Bits-1)
		if e.chance(2) {
			i = e.r.IntN(48)
		}
		a[i/8] ^= 0x80 >> (i % 8)
	case 1:
		a[5]++
	}
	return a
}

func (e *Edges) tags(k *Packet, aim *Rule) {
	k.TagCount, k.VLAN, k.PCP = []int{0, 0, 1, 1, 2}[e.r.IntN(5)], [2]uint16{}, [2]uint16{}
	if aim.VLAN == nil && aim.PCP == nil && e.chance(2) {
		k.TagCount = 0
	}
	for i := range k.TagCount {
		k.VLAN[i] = uint16(e.number(aim.VLAN, 4095, vlans[e.r.IntN(len(vlans))]))
		k.PCP[i] = uint16(e.number(aim.PCP, 7, uint64(e.r.IntN(8))))
	}
	if k.TagCount == 2 && k.VLAN[0] == 0 { // no such frame is read
		k.TagCount, k.VLAN[1], k.PCP[1] = 1, 0, 0
	}
}

// etherType is what the rule is about.
func (e *Edges) etherType(aim *Rule) uint16 {
	kind := []uint16{0x0800, 0x0800, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x88cc}[e.r.IntN(8)]
	switch {
	case e.chance(8):
	case aim.EtherType != nil:
		kind = uint16(e.number(aim.EtherType, 0xffff, 0x88cc))
	case aim.ARPOperation != nil:
		kind = 0x0806
	case aim.Services != nil:
		switch s := e.leaf(aim.Services); {
		case s.Word == "arp":
			kind = 0x0806
		case s.Word == "ethertype":
			kind = s.Number + uint16(e.r.IntN(3)) - 1
		case s.Word == "nd" || s.Word == "icmpv6" || s.Named != nil && s.Named.Protocol == 58:
			kind = 0x86dd
		}
	}
	switch kind {
	case 0x8100, 0x88a8, 0x9100: // tags are no ethertype that a frame ends with
		return 0x88cc
	}
	if kind < 0x0600 { // a length
		return 0x0600
	}
	return kind
}

// leaf is one entry of a list of services, or of a group in it.
func (e *Edges) leaf(list []Service) Service {
	for {
		s := list[e.r.IntN(len(list))]
		if s.Named == nil || s.Named.Services == nil {
			return s
		}
		list = s.Named.Services
	}
}

// addresses are two of one family, at the edges of the rule's lists.
func (e *Edges) addresses(aim *Rule, bound *Binding, bits int) (src, dst netip.Addr) {
	return e.address(slices.Concat(bound.Addresses, aim.Source), bits), e.address(aim.Destination, bits)
}

func (e *Edges) address(list []Address, bits int) netip.Addr {
	for range 6 {
		a := anyAddress(e.r)
		if len(list) > 0 && !e.chance(6) {
			if r, ok := e.rangeOf(list[e.r.IntN(len(list))]); ok {
				a = e.edge(r)
			}
		}
		if a.BitLen() == bits {
			return a
		}
	}
	if bits == 32 {
		return netip.AddrFrom4([4]byte{10, 0, 0, byte(e.r.IntN(16))})
	}
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: byte(e.r.IntN(16))})
}

// rangeOf is a range of an entry, or of a group in it.
func (e *Edges) rangeOf(a Address) (Range, bool) {
	for a.Group != nil {
		n := len(a.Group.Entries)
		if i := e.r.IntN(n + len(a.Group.Lines) + 1); i < n {
			a = a.Group.Entries[i]
		} else if i -= n; i < len(a.Group.Lines) {
			return a.Group.Lines[i], true
		} else {
			return Range{}, false
		}
	}
	return a.Range, !a.Any
}

// ip fills in an IP packet.
func (e *Edges) ip(k *Packet, aim *Rule, bound *Binding, version, bits int) {
	k.IP = version
	k.Src, k.Dst = e.addresses(aim, bound, bits)
	k.Fragment = "whole"
	if aim.Fragment != nil || e.chance(6) {
		k.Fragment = []string{"whole", "first", "later"}[e.r.IntN(3)]
	}
	s := Service{Word: "any", Type: -1, Code: -1}
	if aim.Services != nil {
		s = e.leaf(aim.Services)
	}
	e.transport(k, s)
	if k.IP == 6 && isExtension(k.Protocol) {
		k.Protocol = 47
	}
	if k.Fragment == "later" {
		k.HasPorts, k.SrcPort, k.DstPort, k.HasICMP, k.Type, k.Code = false, 0, 0, false, 0, 0
		return
	}
	switch k.Protocol {
	case 6:
		k.HasPorts, k.HasTCP, k.Flags = true, true, e.flags(aim, s)
	case 17, 132:
		k.HasPorts = true
	case 1, 58:
		k.HasICMP = true
	}
	if !k.HasPorts {
		k.SrcPort, k.DstPort = 0, 0
	}
	if !k.HasICMP {
		k.Type, k.Code = 0, 0
	}
}

func isExtension(protocol uint8) bool {
	return protocol == 0 || protocol == 43 || protocol == 44 || protocol == 51 || protocol == 60
}

// transport sets the protocol, ports, type and code for a service, or nearly.
func (e *Edges) transport(k *Packet, s Service) {
	port := func(p PortRange) uint16 { return []uint16{p.Lo, p.Hi, p.Lo - 1, p.Hi + 1}[e.r.IntN(4)] }
	some := func() uint16 { return portEdges[e.r.IntN(len(portEdges))] + uint16(e.r.IntN(4)) - 1 }
	k.Protocol = []uint8{1, 6, 6, 6, 17, 17, 47, 58, 112, 132}[e.r.IntN(10)]
	k.SrcPort, k.DstPort, k.Type, k.Code = some(), some(), uint8(e.r.IntN(20)), uint8(e.r.IntN(6))
	if e.chance(4) {
		k.Type = uint8(131 + e.r.IntN(8)) // around neighbour discovery
	}
	if e.chance(8) {
		return
	}
	switch s.Word {
	case "nd":
		k.Protocol, k.Type = 58, uint8(132+e.r.IntN(7))
	case "dhcp":
		k.Protocol = 17
		k.SrcPort, k.DstPort = uint16(66+e.r.IntN(4)), uint16(66+e.r.IntN(4))
		if e.chance(2) {
			k.SrcPort, k.DstPort = uint16(545+e.r.IntN(4)), uint16(545+e.r.IntN(4))
		}
	case "bfd":
		k.Protocol, k.DstPort = 17, uint16(3783+e.r.IntN(3))
	case "dns":
		k.Protocol, k.DstPort = []uint8{6, 17}[e.r.IntN(2)], uint16(52+e.r.IntN(3))
	case "vrrp":
		k.Protocol = 112
	case "tcp", "udp", "sctp":
		k.Protocol = protocolNumbers[s.Word]
		if s.Ports != nil {
			k.DstPort = port(*s.Ports)
		}
	case "icmp", "icmpv6":
		k.Protocol = protocolNumbers[s.Word]
		e.icmp(k, s.Type, s.Code)
	case "protocol":
		k.Protocol = uint8(s.Number)
	case "service":
		n := s.Named
		if n.Protocol >= 0 {
			k.Protocol = uint8(n.Protocol)
		}
		if n.Ports != nil {
			k.DstPort = port(n.Ports[e.r.IntN(len(n.Ports))])
		}
		if n.SourcePorts != nil {
			k.SrcPort = port(n.SourcePorts[e.r.IntN(len(n.SourcePorts))])
		}
		e.icmp(k, n.Type, n.Code)
	}
}

func (e *Edges) icmp(k *Packet, kind, code int) {
	near := func(n int) uint8 { return uint8(n + []int{0, 0, -1, 1}[e.r.IntN(4)]) }
	if kind >= 0 {
		k.Type = near(kind)
	}
	if code >= 0 {
		k.Code = near(code)
	}
}

// flags are those that the rule and the service want, made possible: a stack
// sends one of SYN, RST and ACK, and not two of SYN, RST and FIN.
func (e *Edges) flags(aim *Rule, s Service) uint16 {
	const fin, syn, rst, ack = 1, 2, 4, 16
	flags := uint16(e.r.IntN(512))
	want := aim.TCPFlags
	if s.Named != nil {
		want = slices.Concat(want, s.Named.Flags)
	}
	for _, f := range want {
		if e.chance(8) {
			continue
		}
		flags |= 1 << f.Bit
		if f.Not {
			flags &^= 1 << f.Bit
		}
	}
	switch {
	case flags&syn != 0:
		flags &^= rst | fin
	case flags&rst != 0:
		flags &^= fin
	}
	if flags&(syn|rst|ack) == 0 {
		flags |= ack
	}
	return flags
}
