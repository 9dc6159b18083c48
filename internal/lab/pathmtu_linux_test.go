package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"

	"sttwall/conntrack"
	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/stt"
)

// Behind the host acme-b is another network, whose link takes smaller packets
// than the hosts send.
const (
	acmeFar   = Place("acme-far")
	narrowMTU = 1280
)

var (
	farRouter, farHost   = netip.MustParseAddr("192.168.9.1"), netip.MustParseAddr("192.168.9.2")
	farRouter6, farHost6 = netip.MustParseAddr("fd00:192:169::1"), netip.MustParseAddr("fd00:192:169::2")
)

// buildFar makes a router of acme-b, with a host behind it that believes that
// the link takes as much as any.
func (l *Lab) buildFar() error {
	far, err := newNamespace(string(acmeFar))
	if err != nil {
		return err
	}
	l.namespaces[acmeFar] = far
	if err := l.Do(AcmeB, func() error {
		link := netlink.NewVeth(netlink.NewLinkAttrs())
		link.Name, link.MTU, link.PeerName, link.PeerMTU = "far0", narrowMTU, HostInterface, hostMTU
		link.PeerNamespace = netlink.NsFd(far.fd)
		if err := netlink.LinkAdd(link); err != nil {
			return fmt.Errorf("link far0: add: %w", err)
		}
		return errors.Join(
			writeSysctl("net/ipv4/ip_forward", "1"), writeSysctl("net/ipv6/conf/all/forwarding", "1"),
			address("far0", farRouter, 24), address("far0", farRouter6, 64), raise("far0"))
	}); err != nil {
		return err
	}
	if err := l.Do(acmeFar, func() error {
		return errors.Join(raise("lo"), quiet(), address(HostInterface, farHost, 24), address(HostInterface, farHost6, 64), raise(HostInterface),
			route(HostInterface, "0.0.0.0/0", farRouter, 0), route(HostInterface, "::/0", farRouter6, 0))
	}); err != nil {
		return err
	}
	return l.Do(AcmeA, func() error {
		return errors.Join(
			route(HostInterface, netip.PrefixFrom(farHost, 24).Masked().String(), InnerB, hostMTU),
			route(HostInterface, netip.PrefixFrom(farHost6, 64).Masked().String(), InnerB6, hostMTU))
	})
}

func TestPathMTUDiscoveryWorksThroughTheFirewall(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := newLab(t, Config{RulesName: "mtu.hcl", Rules: []byte(`
settings {
  endpoints = ["10.47.1.1", "10.47.2.1"]
}
tenant "acme" {
  context_ids = [100]
  rule "bulk" {
    action   = "accept"
    services = ["tcp/5201"]
  }
}
`)})
	if err := l.buildFar(); err != nil {
		t.Fatal(err)
	}
	l.serveOn(t, acmeFar)
	for _, test := range []struct {
		far        netip.Addr
		kind, code uint8 // of the ICMP error
	}{
		{farHost, 3, 4},  // RFC 1191: fragmentation needed
		{farHost6, 2, 0}, // RFC 8201: packet too big
	} {
		t.Run(test.far.String(), func(t *testing.T) {
			ctx := bounded(t)
			// No packet of the transfer is small enough: it ends only if the
			// sender is told.
			if _, err := l.transfer(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(test.far, portBulk)}, upload, 1<<20); err != nil {
				t.Error(err)
			}
			e, err := l.WaitEvent(ctx, "the ICMP error", func(e *firewall.FrameEvent) bool {
				return e.Inner.HasICMP && e.Inner.ICMPType == test.kind && e.Inner.ICMPCode == test.code && e.Inner.IP == ipVersion(test.far)
			})
			if err != nil || e.Verdict != firewall.Accept || e.State != conntrack.StateRelated || e.Decision.Rule != "acme/bulk" {
				t.Errorf("the ICMP error: %v as %v by %q, %v", e.Verdict, e.State, e.Decision.Rule, err)
			}
		})
	}

	// The same error about a connection that there is not reaches nobody.
	e := l.icmpErrorAboutNothing(t)
	if e.Verdict != firewall.Drop || e.Reason != reason.TenantDefault {
		t.Errorf("an error about no connection: %v, %v", e.Verdict, e.Reason)
	}
}

func ipVersion(a netip.Addr) uint8 {
	if a.Is4() {
		return 4
	}
	return 6
}

// icmpErrorAboutNothing sends "fragmentation needed" about a TCP segment that
// nobody has sent, from endpoint B, and returns what became of it.
func (l *Lab) icmpErrorAboutNothing(t *testing.T) firewall.FrameEvent {
	t.Helper()
	quoted := innerTCP(netip.AddrPortFrom(InnerA, 999), netip.AddrPortFrom(InnerB, portBulk), nil)
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		&layers.Ethernet{SrcMAC: macB, DstMAC: macA, EthernetType: layers.EthernetTypeIPv4},
		&layers.IPv4{Version: 4, IHL: 5, TTL: 64, Protocol: layers.IPProtocolICMPv4, SrcIP: InnerB.AsSlice(), DstIP: InnerA.AsSlice()},
		&layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(3, 4), Seq: narrowMTU},
		gopacket.Payload(quoted[etherHeaderLen:etherHeaderLen+28]),
	); err != nil {
		t.Fatal(err)
	}
	c := crafted{
		path: stt.Path{Src: OuterB, Dst: OuterA, SrcPort: craftedPort, DstPort: stt.Port, TTL: 64, DontFragment: true},
		id:   craftedIDs, header: stt.FrameHeader{ContextID: ContextAcme}, inner: b.Bytes(),
	}
	packets, err := c.packets()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Inject(EndpointB, packets[0], Offload{}); err != nil {
		t.Fatal(err)
	}
	e, err := l.WaitEvent(bounded(t), "the error about nothing", c.isEvent)
	if err != nil {
		t.Fatal(err)
	}
	if !e.Inner.HasICMP || !e.Inner.ICMPError() {
		t.Fatalf("what was sent is no ICMP error: %+v", e.Inner)
	}
	return e
}
