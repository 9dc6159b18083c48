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
	return a.IsMulticast() || a.Is4() && a.As4() == [4]byte{255, 255, 255, 255}
}

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
	m := f.Service
	if !f.Src.IsValid() {
		return false
	}
	e := inspect.Frame{Src: f.Src, Dst: f.Dst, IP: 6, EtherType: inspect.EtherTypeIPv6, Protocol: m.Protocol}
	if f.Src.Is4() {
		e.IP, e.EtherType = 4, inspect.EtherTypeIPv4
	}
	e.HasPorts, e.SrcPort, e.DstPort = m.HasPorts, 40000, m.First
	e.HasICMP, e.ICMPType = m.HasICMP, m.ICMPType
	switch m.Builtin {
	case "dns":
		e.Protocol, e.HasPorts, e.DstPort = inspect.ProtocolUDP, true, portDNS
	case "bfd":
		e.Protocol, e.HasPorts, e.DstPort = inspect.ProtocolUDP, true, portBFD
	case "vrrp":
		e.Protocol = protocolVRRP
	}
	if e.Protocol == inspect.ProtocolTCP {
		e.HasTCP, e.TCPFlags = true, inspect.SYN
	}
	d := p.Evaluate(&policy.Packet{ContextID: f.Network, Frame: &e, Peek: true})
	return d.Action == policy.Accept && !d.Audit
}
