package binding_test

import (
	"strings"
	"testing"

	"sttwall/binding"
	"sttwall/describe"
	"sttwall/inspect"
)

// said lists what a described frame claims: "mac 02:...:01, address 10.0.0.1".
func said(t testing.TB, text string, o binding.Origin) (list string, announces bool) {
	t.Helper()
	p, err := describe.Parse(text)
	if err != nil {
		t.Fatal(text, err)
	}
	var c binding.Claims
	c.Read(&p.Frame, &o)
	var out []string
	for _, x := range c.All() {
		out = append(out, x.Kind().String()+" "+x.String())
	}
	return strings.Join(out, ", "), c.Announces
}

func TestWhatAFrameClaims(t *testing.T) {
	const mac = "mac 02:00:00:00:00:01"
	for _, tt := range []struct {
		name, text string
		ovn        bool
		want       string
		announces  bool
	}{
		{"IPv4: its MAC and its source", "udp 10.0.0.1:1 > 10.0.0.2:2", false, mac + ", address 10.0.0.1", false},
		{"IPv6", "tcp [2001:db8::1]:1 > [2001:db8::2]:2 syn", false, mac + ", address 2001:db8::1", false},
		{"a later fragment too", "udp 10.0.0.1:1 > 10.0.0.2:2 frag later", false, mac + ", address 10.0.0.1", false},
		{"in the OVN layout its port too", "udp 10.0.0.1:1 > 10.0.0.2:2", true, mac + ", address 10.0.0.1, ingress_port port 3 of datapath 7", false},
		{"ARP: the sender", "arp request 10.0.0.1 > 10.0.0.2", false, mac + ", address 10.0.0.1", false},
		{"an ARP reply", "arp reply 10.0.0.1 > 10.0.0.2", false, mac + ", address 10.0.0.1", false},
		{"gratuitous ARP", "arp request 10.0.0.1 > 10.0.0.1", false, mac + ", address 10.0.0.1", true},
		{"gratuitous ARP as a reply", "arp reply 10.0.0.1 > 10.0.0.1", false, mac + ", address 10.0.0.1", true},
		{"an ARP probe claims no address", "arp request 0.0.0.0 > 10.0.0.1", false, mac, false},
		{"RARP", "ethertype 0x8035 len 46", false, mac, true},
		{"another ethertype", "ethertype 0x88cc len 46", false, mac, false},
		{"a neighbour advertisement in answer: its target", "icmpv6 fe80::1 > fe80::2 nd-neighbor-advert solicited target 2001:db8::1", false, mac + ", address fe80::1, address 2001:db8::1", false},
		{"one that nobody asked for", "icmpv6 2001:db8::1 > ff02::1 nd-neighbor-advert target 2001:db8::1", false, mac + ", address 2001:db8::1", true},
		{"a solicitation claims its source alone", "icmpv6 fe80::1 > ff02::1 nd-neighbor-solicit target 2001:db8::9", false, mac + ", address fe80::1", false},
		{"one for an address that is to be used claims nothing", "icmpv6 :: > ff02::1 nd-neighbor-solicit target 2001:db8::9", false, mac, false},
		{"DHCP from a host without an address", "udp 0.0.0.0:68 > 255.255.255.255:67", false, mac, false},
		{"a multicast source is nobody's", "udp 224.0.0.1:1 > 10.0.0.2:2 mac 01:00:5e:00:00:01 > 02:00:00:00:00:02", false, "", false},
		{"a broadcast source", "udp 255.255.255.255:1 > 10.0.0.2:2 mac 00:00:00:00:00:00 > 02:00:00:00:00:02", false, "", false},
		{"an IPv4-mapped address is IPv6", "udp [::ffff:10.0.0.1]:1 > [2001:db8::1]:2", false, mac + ", address ::ffff:10.0.0.1", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, announces := said(t, tt.text, binding.Origin{Context: 100, OVN: tt.ovn, Datapath: 7, IngressPort: 3})
			if got != tt.want || announces != tt.announces {
				t.Errorf("got %s, announces %v\nwant %s, announces %v", got, announces, tt.want, tt.announces)
			}
		})
	}
}

func TestAnotherSenderInARPIsASecondClaim(t *testing.T) {
	p, err := describe.Parse("arp reply 10.0.0.1 > 10.0.0.2")
	if err != nil {
		t.Fatal(err)
	}
	p.Frame.ARPSender = [6]byte{2, 9, 9, 9, 9, 9}
	var c binding.Claims
	c.Read(&p.Frame, &binding.Origin{OVN: true})
	if n := len(c.All()); n != binding.MaxClaims {
		t.Fatalf("%d claims, want as many as there can be", n)
	}
	if got := c.All()[1].MAC(); got != p.Frame.ARPSender {
		t.Errorf("got %x", got)
	}
}

// Two claims are one thing or two by the network that they are in.
func TestClaimsAreOfANetwork(t *testing.T) {
	claim := func(kind binding.Kind, text string, o binding.Origin) binding.Claim {
		p, err := describe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		var c binding.Claims
		c.Read(&p.Frame, &o)
		for _, x := range c.All() {
			if x.Kind() == kind {
				return x
			}
		}
		t.Fatal("no such claim in", text)
		return binding.Claim{}
	}
	const text, local = "udp 10.0.0.1:1 > 10.0.0.2:2", "udp [fe80::1]:1 > [fe80::2]:2"
	plain := func(context uint64) binding.Origin { return binding.Origin{Context: context} }
	ovn := func(datapath uint32, port uint16) binding.Origin {
		return binding.Origin{Context: uint64(port)<<40 | uint64(datapath), OVN: true, Datapath: datapath, IngressPort: port}
	}
	for _, tt := range []struct {
		name string
		kind binding.Kind
		a, b string
		x, y binding.Origin
		same bool
	}{
		{"two context IDs may hold the same addresses", binding.Address, text, text, plain(1), plain(2), false},
		{"and MACs", binding.MAC, text, text, plain(1), plain(2), false},
		{"the ports of OVN make no network", binding.MAC, text, text, ovn(7, 1), ovn(7, 2), true},
		{"a routed address is one in all datapaths", binding.Address, text, text, ovn(7, 1), ovn(8, 2), true},
		{"a link-local one is not", binding.Address, local, local, ovn(7, 1), ovn(8, 1), false},
		{"a MAC is of a datapath", binding.MAC, text, text, ovn(7, 1), ovn(8, 1), false},
		{"so is a port", binding.IngressPort, text, text, ovn(7, 1), ovn(8, 1), false},
		{"two ports", binding.IngressPort, text, text, ovn(7, 1), ovn(7, 2), false},
		{"a VLAN is a network", binding.Address, text, text + " vlan 5", plain(1), plain(1), false},
		{"a priority tag is none", binding.Address, text, text + " vlan 0 pcp 3", plain(1), plain(1), true},
		{"nor is one behind a tag", binding.Address, text + " vlan 5", text + " vlan 5 vlan 0 pcp 3", plain(1), plain(1), true},
		{"tags are in order", binding.Address, text + " vlan 5 vlan 6", text + " vlan 6 vlan 5", plain(1), plain(1), false},
		{"an IPv4-mapped address is another one", binding.Address, text, "udp [::ffff:10.0.0.1]:1 > [2001:db8::1]:2", plain(1), plain(1), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := claim(tt.kind, tt.a, tt.x) == claim(tt.kind, tt.b, tt.y); got != tt.same {
				t.Errorf("the same: got %v", got)
			}
		})
	}
}

func TestReadAllocatesNothing(t *testing.T) {
	p, err := describe.Parse("icmpv6 fe80::1 > ff02::1 nd-neighbor-advert target 2001:db8::1")
	if err != nil {
		t.Fatal(err)
	}
	var c binding.Claims
	o := binding.Origin{OVN: true, Datapath: 7, IngressPort: 3}
	if n := testing.AllocsPerRun(100, func() { c.Read(&p.Frame, &o) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// FuzzRead: the claims of any frame are at most as many as there is room for, and
// none is of what cannot be a host.
func FuzzRead(f *testing.F) {
	for _, text := range []string{"arp request 10.0.0.1 > 10.0.0.1", "udp 10.0.0.1:1 > 10.0.0.2:2 vlan 3 vlan 4", "ethertype 0x8035",
		"icmpv6 fe80::1 > ff02::1 nd-neighbor-advert target 2001:db8::1", "udp [ff02::1]:1 > [fe80::1]:2"} {
		p, err := describe.Parse(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(p.Data, uint64(3<<40|7), true)
	}
	f.Fuzz(func(t *testing.T, data []byte, context uint64, ovn bool) {
		var frame inspect.Frame
		frame.Decode(data, len(data), 0, inspect.NoTag)
		var c binding.Claims
		c.Read(&frame, &binding.Origin{Context: context, OVN: ovn, Datapath: uint32(context), IngressPort: uint16(context >> 40)})
		for i, x := range c.All() {
			for _, y := range c.All()[:i] {
				if x == y {
					t.Fatalf("%v twice", x)
				}
			}
			switch x.Kind() {
			case binding.Address:
				if a := x.Address(); a.IsMulticast() || a.IsUnspecified() || a != frame.Src && a != frame.Target {
					t.Fatalf("address %v of %v", a, frame.Src)
				}
			case binding.MAC:
				if m := x.MAC(); m[0]&1 != 0 || m != frame.EthSrc && m != frame.ARPSender {
					t.Fatalf("MAC %x of %x", m, frame.EthSrc)
				}
			}
		}
	})
}
