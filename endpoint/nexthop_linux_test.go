package endpoint

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"sttwall/internal/nstest"
)

func TestTheNextHopFollowsTheKernel(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	host, other := newNamespace(t), newNamespace(t)
	connect(t, host, underlayName, other, underlayName)
	host.address(t, underlayName, "10.99.0.1/24")
	other.address(t, underlayName, "10.99.0.2/24")
	neighbour := newWire(t, other, underlayName).mac
	direct, routed := netip.MustParseAddr("10.99.0.2"), netip.MustParseAddr("10.77.0.1")
	e := open(t, host, Config{
		Underlay: underlayName, Local: netip.MustParseAddr("10.99.0.1"),
		Remotes: []Remote{{Addr: direct}, {Addr: routed}},
		Ports:   []Port{{Name: "port0", Peer: tenantName, Kind: KindPacket}},
	})
	run(t, e)
	hopIs := func(addr netip.Addr, to [6]byte, mtu int) {
		t.Helper()
		eventually(t, func() error {
			for _, r := range e.resolver.remotes {
				if r.addr != addr {
					continue
				}
				h := r.hop.Load()
				if mtu == 0 && h != nil || mtu != 0 && (h == nil || h.to != to || h.mtu != mtu) {
					return fmt.Errorf("hop to %v: got %+v, want %x with mtu %d", addr, h, to, mtu)
				}
			}
			return nil
		})
	}
	link := func(change func(netlink.Link) error) {
		t.Helper()
		host.must(t, func() error {
			l, err := netlink.LinkByName(underlayName)
			if err != nil {
				return err
			}
			return change(l)
		})
	}
	hopIs(direct, neighbour, 1500)
	hopIs(routed, [6]byte{}, 0)
	select {
	case <-e.Ready():
		t.Error("ready, though there is no route to a remote")
	default:
	}

	t.Log("a route comes")
	link(func(l netlink.Link) error {
		return netlink.RouteAdd(&netlink.Route{
			LinkIndex: l.Attrs().Index, MTU: 1400, Gw: net.IP{10, 99, 0, 2},
			Dst: &net.IPNet{IP: net.IP{10, 77, 0, 0}, Mask: net.CIDRMask(16, 32)},
		})
	})
	hopIs(routed, neighbour, 1400)
	<-e.Ready()

	t.Log("the neighbour gets another link address")
	moved := [6]byte{2, 0, 0, 0, 0, 9}
	link(func(l netlink.Link) error {
		return netlink.NeighSet(&netlink.Neigh{
			LinkIndex: l.Attrs().Index, IP: net.IP{10, 99, 0, 2}, HardwareAddr: moved[:], State: netlink.NUD_PERMANENT,
		})
	})
	hopIs(direct, moved, 1500)
	hopIs(routed, moved, 1400)

	t.Log("the underlay's MTU shrinks")
	link(func(l netlink.Link) error { return netlink.LinkSetMTU(l, 1300) })
	hopIs(direct, moved, 1300)
	hopIs(routed, moved, 1300)

	t.Log("the underlay goes down")
	link(netlink.LinkSetDown)
	hopIs(direct, moved, 0)
	hopIs(routed, moved, 0)
}
