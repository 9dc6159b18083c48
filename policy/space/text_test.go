package space_test

import (
	"net/netip"
	"testing"

	"sttwall/policy/space"
)

func prefixes(f space.Field, texts ...string) space.Set {
	var out []space.Range
	for _, text := range texts {
		r, _ := space.Prefix(netip.MustParsePrefix(text))
		out = append(out, r)
	}
	return f.Of(out...)
}

func TestProductsReadLikeRules(t *testing.T) {
	var any space.Product
	v4 := any.With(space.Family, space.Family.Values(4))
	tcp := v4.With(space.Kind, space.Kind.Values(6))
	tests := []struct {
		product space.Product
		want    string
	}{
		{any, "every packet"},
		{v4, "IPv4"},
		{tcp.With(space.Dst, prefixes(space.Dst, "10.1.0.0/24")).With(space.DstPort, space.DstPort.Values(443)), "tcp, destination 10.1.0.0/24, port 443"},
		{any.With(space.Family, space.Family.Values(6)).With(space.Src, prefixes(space.Src, "2001:db8::/32", "2001:db9::1/128")), "source {2001:db8::/32, 2001:db9::1}"},
		{v4.With(space.Dst, space.Dst.Complement(prefixes(space.Dst, "10.0.0.0/8"))), "destination not 10.0.0.0/8"},
		{v4.With(space.Src, space.Src.Between(0x0a000001, 0x0a000009)), "source 10.0.0.1-10.0.0.9"},
		{tcp.With(space.DstPort, space.DstPort.Of(space.Range{Lo: space.V(1), Hi: space.V(1023)})), "tcp, IPv4, port 1-1023"},
		{tcp.With(space.DstPort, space.DstPort.Between(0, 0xffff)).With(space.DstPort, space.DstPort.Values(1, 3, 5, 7, 9, 11)), "tcp, IPv4, port {1, 3, 5, 7, and 2 more}"},
		{v4.With(space.Kind, space.Kind.Values(1)).With(space.DstPort, space.DstPort.Between(8<<8, 8<<8|0xff)), "icmp, IPv4, type 8"},
		{v4.With(space.Kind, space.Kind.Values(1)).With(space.DstPort, space.DstPort.Values(3<<8|4)), "icmp, IPv4, type 3 code 4"},
		{any.With(space.Kind, space.Kind.Values(space.NotIP|0x0806)).With(space.ARPOperation, space.ARPOperation.Values(1)), "arp, ARP operation 1"},
		{any.With(space.Kind, space.Kind.Values(space.NotIP|0x88cc)), "ethertype 0x88cc"},
		{any.With(space.Kind, space.Kind.Values(89)), "protocol 89"},
		{any.With(space.Kind, space.Kind.Values(6)).With(space.TCPFlags, space.MaskedFlags(0x12, 0x02)), "tcp, TCP flags syn !ack"},
		{any.With(space.VLAN, space.VLAN.Values(space.NoVLAN)), "VLAN none"},
		{any.With(space.VLAN, space.VLAN.Between(space.NoVLAN, 100)), "VLAN 1-100, none"},
		{any.With(space.VLAN, space.VLAN.Values(space.NoVLAN, 1)), "VLAN 1, none"},
		{any.With(space.VLAN, space.VLAN.Between(1, 4095)), "VLAN 1-4095"},
		{any.With(space.VLAN, space.VLAN.Subtract(space.VLAN.Between(1, 4095), space.VLAN.Values(43))), "VLAN not 43"},
		{any.With(space.VLAN, space.VLAN.Between(1, 100)).With(space.PCP, space.PCP.Values(3)), "VLAN 1-100, PCP 3"},
		{any.With(space.EthSrc, space.EthSrc.Values(0x0200000000ab)), "source MAC 02:00:00:00:00:ab"},
		{any.With(space.Fragment, space.Fragment.Values(space.LaterFragment)), "later fragments"},
		{any.With(space.Fragment, space.Fragment.Values(space.FirstFragment, space.LaterFragment)), "fragments"},
		{any.With(space.From, prefixesOuter("192.0.2.0/24")), "from endpoint 192.0.2.0/24"},
		{any.With(space.Context, space.Context.Between(0x1000, 0x1fff)), "context ID 4096-8191"},
		{any.With(space.Context, space.Context.Values(0xab00000000000000)), "context ID 0xab00000000000000"},
		{any.With(space.Datapath, space.Datapath.Values(7)).With(space.Ingress, space.Ingress.Values(3)), "datapath 7, ingress port 3"},
		// The universe is not said again: UDP has no flags anyway.
		{v4.With(space.Kind, space.Kind.Values(17)).With(space.TCPFlags, space.TCPFlags.Values(space.NoFlags)), "udp, IPv4"},
		{any.With(space.To, space.Nothing()), "to endpoint nothing"},
	}
	for _, test := range tests {
		if got := test.product.String(); got != test.want {
			t.Errorf("got  %q\nwant %q", got, test.want)
		}
	}
}

func prefixesOuter(text string) space.Set {
	p := netip.MustParsePrefix(text)
	lo := space.Endpoint(p.Addr())
	hi := lo
	hi.Lo |= 1<<(32-p.Bits()) - 1
	return space.From.Of(space.Range{Lo: lo, Hi: hi})
}

func TestTypicalPacketsLookReal(t *testing.T) {
	var p space.Product
	x, _ := p.Typical()
	if x[space.Kind] != space.V(6) || x[space.DstPort] != space.V(443) || x[space.TCPFlags] != space.V(2) || x[space.VLAN] != space.V(space.NoVLAN) {
		t.Errorf("a typical packet is %v, want an untagged SYN to port 443", x)
	}
	if got := x[space.Src].IPv4(); got != netip.MustParseAddr("10.0.0.10") {
		t.Errorf("it comes from %v", got)
	}
	p = p.With(space.Kind, space.Kind.Values(58))
	x, _ = p.Typical()
	if x[space.Family] != space.V(6) || x[space.DstPort] != space.V(128<<8) {
		t.Errorf("typical ICMPv6 is %v, want an echo request", x)
	}
	if got := x[space.Src].IPv6(); got != netip.MustParseAddr("2001:db8::10") {
		t.Errorf("it comes from %v", got)
	}
	p = space.Product{}.With(space.Family, space.Family.Values(4)).With(space.Dst, prefixes(space.Dst, "10.1.0.0/24")).With(space.DstPort, space.DstPort.Between(6000, 6100))
	x, _ = p.Typical()
	if x[space.Dst] == space.V(0x0a010000) || x[space.Dst] == space.V(0x0a0100ff) || x[space.DstPort] == space.V(6000) || x[space.DstPort] == space.V(6100) {
		t.Errorf("typical packet on the edge: %v port %d", x[space.Dst].IPv4(), x[space.DstPort].Lo)
	}
}
