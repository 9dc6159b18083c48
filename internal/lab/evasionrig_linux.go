package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/nfq"
)

// rigConfig says how a rig takes packets.
type rigConfig struct {
	// Queues is 1 or 2.
	Queues int
	// Part: only [evasion.CopyRange] bytes of each packet are copied at first.
	Part bool
	// Receive has the kernel put together what comes in (GRO).
	Receive bool
	// Position is where the firewall sits.
	Position Position
}

// rig is a lab in which attacks meet real queues: all packets of the scripts of package
// evasion, whoever they say that they are from, enter the firewall host on its side A,
// and what leaves is caught at side B. Workers and queues stay from attack to attack;
// each attack has cores of its own, and a clock that only the rig moves.
//
// Its methods are called from one goroutine.
type rig struct {
	rigConfig
	lab   *Lab
	far   *Capture
	clock atomic.Int64
	cores []*rigCore
	ports []uint16 // a source port for each queue
	// queues are those of the source ports that were asked for.
	queues map[uint16]int
	table  *nfq.Table
	stop   func() error

	open    bool     // cores accept everything
	near    *Capture // what the firewall sends back, to side A in most positions
	mu      sync.Mutex
	answers [][]byte // that the firewalls have sent by themselves in this attack

	markers uint64
}

// rigClock is when a rig's clock begins, in ns.
const rigClock = int64(time.Hour)

// rigMTU is that of the links of a rig: scripts send frames of many sizes in one packet.
const rigMTU = 65535

func newRig(c rigConfig) (*rig, error) {
	l, err := New(Config{Position: c.Position, Without: Endpoints | Inspection})
	if err != nil {
		return nil, err
	}
	r := &rig{rigConfig: c, lab: l}
	r.clock.Store(rigClock)
	if err := r.build(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	return r, nil
}

func (r *rig) build() error {
	if err := errors.Join(r.lab.Do(Firewall, r.widen), widen(r.lab, EndpointA, Underlay)); err != nil {
		return fmt.Errorf("lab: evasion: %w", err)
	}
	if r.Position == Host {
		if err := r.lab.Do(Firewall, receiveScripts); err != nil {
			return fmt.Errorf("lab: evasion: %w", err)
		}
	} else if err := widen(r.lab, EndpointB, Underlay); err != nil {
		return fmt.Errorf("lab: evasion: %w", err)
	}
	if r.Position == BridgeVLAN {
		for _, place := range []Place{switchA, switchB} {
			if err := widen(r.lab, place, accessLink, trunkLink); err != nil {
				return fmt.Errorf("lab: evasion: %w", err)
			}
		}
	}
	var err error
	if r.far, err = r.lab.Arrivals(); err != nil {
		return err
	}
	near, link := EndpointA, Underlay
	switch r.Position {
	case BridgeVLAN:
		// The firewall's host has no address in the VLAN, and its answers no tag: they
		// come as far as the switch.
		near, link = Firewall, UnderlayA
	case Output:
		// No question has come in: its host has sent it. The answer goes where the rig's
		// routes lead to the endpoints of scripts.
		near, link = EndpointB, Underlay
	}
	if r.near, err = r.lab.Capture(near, link); err != nil {
		return err
	}
	if err := r.lab.Do(Firewall, r.start); err != nil {
		return fmt.Errorf("lab: evasion: %w", err)
	}
	return r.findPorts()
}

// widen has the firewall's links take large packets, and routes the endpoints of the
// scripts to side B. What leaves there is cut and summed up by the kernel, so that the
// capture shows what a network would carry.
func (r *rig) widen() error {
	var errs []error
	for _, s := range sides() {
		if r.Position == Host && s.firewallLink == UnderlayB {
			continue
		}
		link, err := netlink.LinkByName(s.firewallLink)
		if err != nil {
			return err
		}
		errs = append(errs, netlink.LinkSetMTU(link, rigMTU), setOffload(s.firewallLink, offloadTX, false))
		if s.firewallLink == UnderlayA {
			errs = append(errs, setOffload(s.firewallLink, offloadGRO, r.Receive))
		}
		if r.Position.bridged() {
			continue
		}
		// Nobody asks for the peers: their addresses are known.
		for _, router := range []netip.Addr{s.outer, s.outer6} {
			errs = append(errs, netlink.NeighSet(&netlink.Neigh{
				LinkIndex: link.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.IP(router.AsSlice()), HardwareAddr: s.underlay,
			}))
		}
		errs = append(errs, r.scriptRoute(link, scriptNetworks[0], s.outer), r.scriptRoute(link, scriptNetworks[1], s.outer6))
	}
	if r.Position.bridged() {
		errs = append(errs, r.widenBridge())
	}
	return errors.Join(errs...)
}

// widenBridge has the bridge take large packets too, and routes what the firewall itself
// says to the endpoints of the scripts out of it, to side A.
func (r *rig) widenBridge() error {
	bridge, err := netlink.LinkByName(bridgeDevice)
	if err != nil {
		return fmt.Errorf("link %s: %w", bridgeDevice, err)
	}
	errs := []error{netlink.LinkSetMTU(bridge, rigMTU)}
	near := sides()[0]
	for _, ip := range []netip.Addr{near.outer, near.outer6} {
		errs = append(errs, netlink.NeighSet(&netlink.Neigh{
			LinkIndex: bridge.Attrs().Index, State: netlink.NUD_PERMANENT, IP: net.IP(ip.AsSlice()), HardwareAddr: near.underlay,
		}))
	}
	return errors.Join(append(errs, r.scriptRoute(bridge, scriptNetworks[0], near.outer), r.scriptRoute(bridge, scriptNetworks[1], near.outer6))...)
}

// scriptRoute routes the endpoints of the scripts over a link. That to side B is the
// better one; answers name the link that they leave through.
func (r *rig) scriptRoute(link netlink.Link, to string, gateway netip.Addr) error {
	prefix := netip.MustParsePrefix(to)
	priority := 20
	if link.Attrs().Name == UnderlayB {
		priority = 10
	}
	table := unix.RT_TABLE_MAIN
	if r.Position == VRF {
		table = vrfTable
	}
	if err := netlink.RouteAdd(&netlink.Route{
		Table: table, LinkIndex: link.Attrs().Index, Gw: net.IP(gateway.AsSlice()), Priority: priority,
		Dst: &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())},
	}); err != nil {
		return fmt.Errorf("link %s: add route to %s: %w", link.Attrs().Name, to, err)
	}
	return nil
}

// widen has links of a place take large packets.
func widen(l *Lab, place Place, links ...string) error {
	return l.Do(place, func() error {
		for _, name := range links {
			link, err := netlink.LinkByName(name)
			if err == nil {
				err = netlink.LinkSetMTU(link, rigMTU)
			}
			if err != nil {
				return fmt.Errorf("%s: link %s: mtu: %w", place, name, err)
			}
		}
		return nil
	})
}

// Close ends the rig, and says what has failed in it.
func (r *rig) Close() error {
	var errs []error
	if r.stop != nil {
		errs = append(errs, r.stop())
	}
	for _, c := range []*Capture{r.far, r.near} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(append(errs, r.lab.Failure(), r.lab.Close())...)
}
