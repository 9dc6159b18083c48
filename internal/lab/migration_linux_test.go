package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/endpoint"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/reason"
	"sttwall/stt"
)

// A third endpoint, to which the host acme-b migrates.
const (
	endpointC = Place("endpoint-c")
	underlayC = "under-c"
	// arrived is the interface that acme-b gets there, and leaves eth0 behind.
	arrived = "eth1"
)

var outerC = netip.MustParseAddr("10.47.3.1")

const migrationRules = `
settings {
  endpoints = ["10.47.1.1", "10.47.2.1", "10.47.3.1"]
}
tenant "acme" {
  context_ids = [100]
  anti_spoof {
    learn = ["address", "mac"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/8080"]
  }
}
`

// migrationLab is a lab of three endpoints, all of which know the others.
func migrationLab(t *testing.T) *Lab {
	t.Helper()
	t.Cleanup(func() { // after the lab's own, with which the link may already have gone
		if link, err := netlink.LinkByName(underlayC); err == nil {
			netlink.LinkDel(link)
		}
	})
	l := newLab(t, Config{Rules: []byte(migrationRules), RulesName: "migration.hcl", Without: Endpoints})
	c := side{
		endpoint: endpointC, outer: outerC, outer6: netip.MustParseAddr("fd47:3::1"),
		router: netip.MustParseAddr("10.47.3.254"), router6: netip.MustParseAddr("fd47:3::fe"), firewallLink: underlayC,
		underlay: net.HardwareAddr{0x02, 0x47, 0, 0, 3, 1}, firewallFacing: net.HardwareAddr{0x02, 0x47, 0, 0, 3, 0xfe},
	}
	ns, err := newNamespace(string(endpointC))
	if err != nil {
		t.Fatal(err)
	}
	l.namespaces[endpointC] = ns
	if err := errors.Join(ns.do(quiet), l.buildSide(&c), ns.do(func() error {
		in, err := newInjector(Underlay, c.firewallFacing)
		if err == nil {
			l.injectors[endpointC] = in
			l.closers = append(l.closers, in.socket.file)
		}
		return err
	})); err != nil {
		t.Fatal(err)
	}
	both := sides()
	three := append(both[:], c)
	for i := range three {
		near := &three[i]
		config := endpoint.Config{Underlay: Underlay, Local: near.outer, Ports: []endpoint.Port{
			{Name: "acme", ContextID: ContextAcme, Kind: endpoint.KindPacket, Peer: arrived, MTU: hostLinkMTU},
		}}
		for j := range three {
			if j != i {
				config.Remotes = append(config.Remotes, endpoint.Remote{Addr: three[j].outer})
			}
		}
		var e *endpoint.Endpoint
		if err := l.Do(near.endpoint, func() (err error) {
			e, err = endpoint.New(config)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		l.endpoints[near.endpoint] = e
		if host := near.hosts[ContextAcme]; host != "" {
			if err := l.Do(near.endpoint, func() error { return handOver(arrived, l.namespaces[host]) }); err != nil {
				t.Fatal(err)
			}
			if err := l.Do(host, func() error { return configureHost(near) }); err != nil {
				t.Fatal(err)
			}
		}
		l.start(string(near.endpoint), e.Run)
	}
	for place, e := range l.endpoints {
		select {
		case <-e.Ready():
		case <-time.After(testBound):
			t.Fatalf("%s: no way to the other endpoints", place)
		}
	}
	l.serveOn(t, AcmeB)
	return l
}

// migrate has acme-b's address and MAC leave endpoint B and appear behind endpoint C.
// The guest's stack and its sockets are the same, and it is its kernel that says
// where it is now (arp_notify), as a guest or its hypervisor does.
func (l *Lab) migrate() error {
	return errors.Join(
		l.Do(endpointC, func() error {
			link, err := netlink.LinkByName(arrived)
			if err == nil {
				err = netlink.LinkSetNsFd(link, l.namespaces[AcmeB].fd)
			}
			return err
		}),
		l.Do(AcmeB, func() error {
			left, err := netlink.LinkByName(HostInterface)
			if err != nil {
				return err
			}
			link, err := netlink.LinkByName(arrived)
			if err != nil {
				return err
			}
			return errors.Join(
				netlink.AddrDel(left, &netlink.Addr{IPNet: netlink.NewIPNet(InnerB.AsSlice())}), // and with it its routes
				writeSysctl("net/ipv4/conf/all/arp_notify", "1"),
				netlink.LinkSetHardwareAddr(link, macB), address(arrived, InnerB, 32), raise(arrived),
				route(arrived, netip.PrefixFrom(InnerB, 24).Masked().String(), netip.Addr{}, hostMTU))
		}))
}

// forged is a RST of acme-b's web server to a client on acme-a.
type forged struct {
	from   Place
	outer  netip.Addr
	id     uint32
	client netip.AddrPort
	number uint32 // the sequence number
}

// forge sends one, and returns the firewall's word on it.
func (l *Lab) forge(ctx context.Context, t *testing.T, r forged) firewall.FrameEvent {
	t.Helper()
	inner := innerSegment(netip.AddrPortFrom(InnerB, portWeb), r.client, tcpHeader{seq: r.number, flags: stt.FlagRST}, nil)
	copy(inner, macA)
	copy(inner[6:], macB)
	c := crafted{
		path: stt.Path{Src: r.outer, Dst: OuterA, SrcPort: craftedPort, DstPort: stt.Port, TTL: 64, DontFragment: true},
		id:   craftedIDs + r.id, header: stt.FrameHeader{ContextID: ContextAcme}, inner: inner,
	}
	packets, err := c.packets()
	if err == nil {
		err = l.Inject(r.from, packets[0], Offload{})
	}
	if err != nil {
		t.Fatal(err)
	}
	e, err := l.WaitEvent(ctx, "the RST", c.isEvent)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestAConnectionGoesOnWhenItsGuestMigrates(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := migrationLab(t)
	ctx := bounded(t)
	web, err := l.dial(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)})
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	deadline, _ := ctx.Deadline()
	if err := web.SetDeadline(deadline); err != nil {
		t.Fatal(err)
	}
	client := web.LocalAddr().(*net.TCPAddr).AddrPort()
	tcp := func(e *firewall.FrameEvent, field int) uint32 {
		return binary.BigEndian.Uint32(e.InnerData[etherHeaderLen+20+field:])
	}
	begun, err := l.WaitEvent(ctx, "the server's SYN", func(e *firewall.FrameEvent) bool {
		return e.Inner.TCPFlags == inspect.SYN|inspect.ACK && e.Inner.DstPort == client.Port()
	})
	if err != nil || begun.Src != OuterB {
		t.Fatalf("from %s, %v", begun.Src, err)
	}
	next := tcp(&begun, 4) + 1 // the number of the server's next byte
	// echoed sends so many bytes, calls meanwhile once the first are on their way, and
	// waits until all came back and are acknowledged: next is what the client expects.
	echoed := func(length int, meanwhile func() error) {
		t.Helper()
		message, answer := bytes.Repeat([]byte("migrates"), length/8), make([]byte, length)
		wrote, acknowledged := make(chan error, 1), next
		go func() {
			_, err := web.Write(message)
			wrote <- err
		}()
		if _, err := l.WaitEvent(ctx, "the first bytes", func(e *firewall.FrameEvent) bool {
			return e.Inner.SrcPort == client.Port() && e.Inner.TCPPayload() > 0 && tcp(e, 8) == acknowledged
		}); err != nil {
			t.Fatal(err)
		}
		if err := meanwhile(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(web, answer); err != nil || !bytes.Equal(answer, message) {
			t.Fatalf("the echo of %d bytes: %v", length, err)
		}
		if err := <-wrote; err != nil {
			t.Fatal(err)
		}
		next += uint32(length)
		if _, err := l.WaitEvent(ctx, "the acknowledgment", func(e *firewall.FrameEvent) bool {
			return e.Inner.SrcPort == client.Port() && tcp(e, 8) == next
		}); err != nil {
			t.Fatal(err)
		}
	}
	nothing := func() error { return nil }

	echoed(4096, nothing)
	e := l.forge(ctx, t, forged{endpointC, outerC, 1, client, next})
	if e.Verdict != firewall.Drop || e.Reason != reason.BindingLearned || e.SpoofedAt != OuterB {
		t.Errorf("a RST from where the guest is not yet: %v, %v, lives at %s", e.Verdict, e.Reason, e.SpoofedAt)
	}
	echoed(1<<20, l.migrate)
	moved, err := l.WaitEvent(ctx, "the move", func(e *firewall.FrameEvent) bool { return len(e.Moves) > 0 })
	if err != nil || moved.Inner.EtherType != inspect.EtherTypeARP || moved.Src != outerC || moved.Verdict != firewall.Accept {
		t.Errorf("the guest moved with %+v, %v", moved.Inner, err)
	}
	if len(moved.Moves) != 2 {
		t.Errorf("%v moved, want address and MAC", moved.Moves)
	}
	followed, err := l.WaitEvent(ctx, "the flow's move", func(e *firewall.FrameEvent) bool { return e.FlowMovedFrom.IsValid() })
	if err != nil || followed.FlowMovedFrom != OuterB || followed.Src != outerC || followed.Inner.DstPort != client.Port() || followed.Begins {
		t.Errorf("the flow moved from %s to %s with %+v, %v", followed.FlowMovedFrom, followed.Src, followed.Inner, err)
	}
	if n := l.Totals(); n.BindingsMoved != 2 || n.FlowsMoved != 1 {
		t.Errorf("%d bindings and %d flows moved", n.BindingsMoved, n.FlowsMoved)
	}
	// The endpoint that the guest has left is the impostor now.
	e = l.forge(ctx, t, forged{EndpointB, OuterB, 2, client, next})
	if e.Verdict != firewall.Drop || e.Reason != reason.BindingLearned || e.SpoofedAt != outerC {
		t.Errorf("a RST from where the guest was: %v, %v, lives at %s", e.Verdict, e.Reason, e.SpoofedAt)
	}
	echoed(4096, nothing)
	// The very same from where the guest lives ends the connection: those before were
	// stopped for where they came from, and for nothing else.
	if e = l.forge(ctx, t, forged{endpointC, outerC, 3, client, next}); e.Verdict != firewall.Accept {
		t.Errorf("a RST from where the guest is: %v, %v", e.Verdict, e.Reason)
	}
	if _, err := web.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
		t.Errorf("after that RST: %v", err)
	}
}
