package suggest

import (
	"cmp"
	"net/netip"

	"sttwall/inspect"
	"sttwall/policy"
)

// Flow is what was seen between two hosts by one service, in both directions:
// Src began it. It stands for any number of connections.
type Flow struct {
	// Tenant is whose it is; "" if nobody claims the context ID. The flows of
	// such get a tenant for each context ID, or for OVN datapaths that belong
	// together.
	Tenant string
	// OVN is how context IDs are read.
	OVN bool
	// Network is the context ID, or the OVN datapath, of the first frame; Back
	// that of an answer: routers between datapaths make it another one.
	Network, Back uint64
	// Src and Dst are the inner addresses; not valid where they are no condition.
	Src, Dst netip.Addr
	Service  Match
	// Packets that were noted in both directions. A [Watch] notes less than there
	// are.
	Packets uint64
	// Replied: packets came back. A RST and an ICMP error are no replies.
	Replied bool
	// Guessed: it was there before anybody looked; which side began it was
	// guessed from the ports.
	Guessed bool
}

// manyTo reports whether what goes to the address goes to several hosts, so
// that nobody replies from it.
func manyTo(a netip.Addr) bool {
	return a.IsMulticast() || a == broadcast
}

var broadcast = netip.AddrFrom4([4]byte{255, 255, 255, 255})

// networkOf is the part of a context ID by which flows are put together.
func networkOf(id uint64, ovn bool) uint64 {
	if ovn {
		return uint64(policy.OVNDatapath(id))
	}
	return id
}

func compareFlows(a, b Flow) int {
	return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Network, b.Network),
		a.Src.Compare(b.Src), a.Dst.Compare(b.Dst), compareMatches(a.Service, b.Service))
}

// accepted reports whether the policy accepts the flow's first packet, as far as
// the flow tells of it.
func (f *Flow) accepted(p *policy.Policy) bool {
	d, found := p.Find(f.Network)
	if found { // its endpoints are no matter of rules
		first := f.first()
		p.Decide(&policy.Packet{ContextID: f.Network, Frame: &first, Peek: true}, &d)
	}
	return d.Action == policy.Accept && !d.Audit
}

// first is the first packet of such a flow.
func (f *Flow) first() inspect.Frame {
	m := f.Service
	e := inspect.Frame{
		Src: f.Src, Dst: f.Dst, Protocol: m.Protocol, HasPorts: m.HasPorts, SrcPort: 40000, DstPort: m.First, HasICMP: m.HasICMP, ICMPType: m.ICMPType,
	}
	switch m.Builtin {
	case "arp":
		return inspect.Frame{EtherType: inspect.EtherTypeARP, ARPOperation: 1, Src: netip.IPv4Unspecified(), Dst: netip.IPv4Unspecified()}
	case "nd":
		e.Src, e.Dst, e.Protocol, e.HasICMP, e.ICMPType = netip.IPv6Unspecified(), netip.IPv6LinkLocalAllNodes(), inspect.ProtocolICMPv6, true, ndFirst
	case "dhcp":
		e.Src, e.Dst, e.Protocol, e.HasPorts, e.SrcPort, e.DstPort = netip.IPv4Unspecified(), broadcast, inspect.ProtocolUDP, true, 68, 67
	case "dns":
		e.Protocol, e.HasPorts, e.DstPort = inspect.ProtocolUDP, true, portDNS
	case "bfd":
		e.Protocol, e.HasPorts, e.DstPort = inspect.ProtocolUDP, true, portBFD
	case "vrrp":
		e.Protocol = protocolVRRP
	}
	switch {
	case m.EtherType != 0:
		e = inspect.Frame{EtherType: m.EtherType}
	case e.Src.Is4():
		e.IP, e.EtherType = 4, inspect.EtherTypeIPv4
	default:
		e.IP, e.EtherType = 6, inspect.EtherTypeIPv6
	}
	if e.Protocol == inspect.ProtocolTCP {
		e.HasTCP, e.TCPFlags = true, inspect.SYN
	}
	return e
}
