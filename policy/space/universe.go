package space

import "slices"

// The possible packets are those that are possible in each of three regards,
// which share no field: the inner packet, its tag, and the layout of its context.
//
// A regard is a list of products that do not overlap.
type regard struct {
	fields []Field
	rows   []Product
}

var regards = []regard{packets(), tags(), layouts()}

// Protocols that have more than a number; IANA, Assigned Internet Protocol Numbers.
const (
	icmp   = 1
	tcp    = 6
	udp    = 17
	icmpv6 = 58
	sctp   = 132
)

// packets lists what package inspect makes of frames. Two kinds of packets that
// it lets through are left out, since no host reads them: ICMPv6 in IPv4 and ICMP
// in IPv6.
func packets() regard {
	r := regard{fields: []Field{Family, Src, Dst, Kind, SrcPort, DstPort, ARPOperation, TCPFlags, Fragment}}
	// plain is a packet without anything that only some protocols have.
	var plain Product
	plain[SrcPort] = SrcPort.Values(NoPort)
	plain[DstPort] = DstPort.Values(NoPort)
	plain[ARPOperation] = ARPOperation.Values(NoARP)
	plain[TCPFlags] = TCPFlags.Values(NoFlags)
	plain[Fragment] = Fragment.Values(Whole)

	ports := SrcPort.Between(0, 0xffff)
	for _, version := range []struct {
		family, icmp, otherICMP uint64
		last                    Value // address
		extensions              []uint64
	}{
		{family: 4, icmp: icmp, otherICMP: icmpv6, last: V(1<<32 - 1)},
		// Extension headers are walked over, so no whole packet has them as its
		// protocol: hop-by-hop, routing, fragment, AH, destination options.
		{family: 6, icmp: icmpv6, otherICMP: icmp, last: Src.Max(), extensions: []uint64{0, 43, 44, 51, 60}},
	} {
		ip := plain
		ip[Family] = Family.Values(version.family)
		ip[Src] = Src.Of(Range{Value{}, version.last})
		ip[Dst] = ip[Src]
		ip[Fragment] = NotLater
		withPorts := ip.With(SrcPort, ports).With(DstPort, ports)

		r.rows = append(r.rows,
			withPorts.With(Kind, Kind.Values(tcp)).With(TCPFlags, possibleFlags()),
			withPorts.With(Kind, Kind.Values(udp)),
			ip.With(Kind, Kind.Values(version.icmp)).With(DstPort, ports),
			withPorts.With(Kind, Kind.Values(sctp)),
		)
		special := Kind.Values(append([]uint64{icmp, tcp, udp, icmpv6, sctp}, version.extensions...)...)
		protocols := Kind.Between(0, 255)
		r.rows = append(r.rows,
			ip.With(Kind, Kind.Subtract(protocols, special)),
			ip.With(Kind, Kind.Subtract(protocols, Kind.Values(version.otherICMP))).With(Fragment, Fragment.Values(LaterFragment)),
		)
	}

	const arp, ipv4, ipv6, customerTag, serviceTag, oldTag = 0x0806, 0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100
	other := plain.With(Family, Family.Values(0))
	r.rows = append(r.rows, other.With(Kind, Kind.Values(NotIP|arp)).
		With(Src, Src.Between(0, 1<<32-1)).With(Dst, Dst.Between(0, 1<<32-1)).
		With(ARPOperation, ARPOperation.Between(0, 0xffff)))
	// Below 0x0600 the field is an 802.3 length (IEEE 802.3 clause 3.2.6).
	types := Kind.Subtract(Kind.Between(NotIP|0x0600, NotIP|0xffff),
		Kind.Values(NotIP|arp, NotIP|ipv4, NotIP|ipv6, NotIP|customerTag, NotIP|serviceTag, NotIP|oldTag))
	r.rows = append(r.rows, other.With(Kind, types).With(Src, Src.Values(0)).With(Dst, Dst.Values(0)))
	return r
}

// possibleFlags are those that inspect does not refuse (reason InnerTCPFlags):
// one of SYN, RST and ACK is set, and at most one of SYN, RST and FIN.
func possibleFlags() Set {
	const fin, syn, rst, ack = 1, 2, 4, 16
	var out []Range
	for v := range uint64(NoFlags) {
		three := v & (fin | syn | rst)
		if v&(syn|rst|ack) != 0 && three&(three-1) == 0 {
			out = appendJoined(out, Range{V(v), V(v)})
		}
	}
	return TCPFlags.normal(out)
}

func tags() regard {
	var untagged, tagged Product
	untagged[VLAN], untagged[PCP] = VLAN.Values(NoVLAN), PCP.Values(NoPriority)
	tagged[PCP] = PCP.Between(0, NoPriority-1) // in no VLAN: a priority tag
	return regard{fields: []Field{VLAN, PCP}, rows: []Product{untagged, tagged}}
}

// layouts: either a context ID is read in the OVN layout, or it is opaque.
func layouts() regard {
	var opaque, ovn Product
	opaque[Datapath], ovn[Datapath] = Datapath.Values(NoDatapath), Datapath.Between(0, NoDatapath-1)
	opaque[Ingress], ovn[Ingress] = Ingress.Values(NoIngress), Ingress.Between(0, NoIngress-1)
	opaque[Egress], ovn[Egress] = Egress.Values(NoEgress), Egress.Between(0, NoEgress-1)
	return regard{fields: []Field{Datapath, Ingress, Egress}, rows: []Product{opaque, ovn}}
}

// Universe returns the possible packets as products that do not overlap. The
// slice is the caller's.
func Universe() []Product {
	out := []Product{{}}
	for _, r := range regards {
		var next []Product
		for i := range out {
			for j := range r.rows {
				if p, ok := out[i].Intersect(&r.rows[j]); ok {
					next = append(next, p)
				}
			}
		}
		out = next
	}
	return out
}

// Possible reports whether the product holds a packet that can be.
func (p *Product) Possible() bool {
	if p.IsEmpty() {
		return false
	}
	for i := range regards {
		r := &regards[i]
		if !slices.ContainsFunc(r.fields, func(f Field) bool { return p[f].ranges != nil }) {
			continue
		}
		if r.first(p) < 0 {
			return false
		}
	}
	return true
}

// first returns the first row that has something in common with p; -1 for none.
func (r *regard) first(p *Product) int {
	for i := range r.rows {
		row := &r.rows[i]
		if !slices.ContainsFunc(r.fields, func(f Field) bool { return p[f].ranges != nil && !p[f].Overlaps(row[f]) }) {
			return i
		}
	}
	return -1
}
