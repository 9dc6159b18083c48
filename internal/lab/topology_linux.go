package lab

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Place names a namespace of the lab.
type Place string

// The places. The firewall is between the two sides; each tenant has a host
// on either.
const (
	Firewall  Place = "firewall"
	EndpointA Place = "endpoint-a"
	EndpointB Place = "endpoint-b"
	AcmeA     Place = "acme-a"
	AcmeB     Place = "acme-b"
	GlobexA   Place = "globex-a"
	GlobexB   Place = "globex-b"
	InitechA  Place = "initech-a" // with Config.Third
	InitechB  Place = "initech-b" // likewise
)

// places lists those that have to be made; the firewall's is the process's own.
func places(c Config) []Place {
	list := []Place{EndpointA, AcmeA, AcmeB, GlobexA, GlobexB}
	if c.Position != Host {
		list = append(list, EndpointB)
	}
	if c.Third {
		list = append(list, InitechA, InitechB)
	}
	if c.Position == BridgeVLAN {
		list = append(list, switchA, switchB)
	}
	return list
}

const (
	// Underlay is the interface of an endpoint towards the firewall.
	Underlay = "under0"
	// UnderlayA and UnderlayB are the firewall's interfaces.
	UnderlayA = "under-a"
	UnderlayB = "under-b"
	// HostInterface is that of a tenant's host.
	HostInterface = "eth0"

	underlayMTU = 1500
	// hostLinkMTU is more than hosts send (hostMTU), so that crafted inner
	// frames of several segments fit through.
	hostLinkMTU = 9000
	hostMTU     = 1500

	// ContextAcme, ContextGlobex and ContextInitech are the tenants' Context IDs.
	ContextAcme    = 100
	ContextGlobex  = 200
	ContextInitech = 300
)

// Outer addresses: as in the captures of a real implementation, so that they
// can be replayed between the same two endpoints.
var (
	OuterA  = netip.MustParseAddr("10.47.1.1")
	OuterB  = netip.MustParseAddr("10.47.2.1")
	OuterA6 = netip.MustParseAddr("fd47:1::1")
	OuterB6 = netip.MustParseAddr("fd47:2::1")

	routerA  = netip.MustParseAddr("10.47.1.254")
	routerB  = netip.MustParseAddr("10.47.2.254")
	routerA6 = netip.MustParseAddr("fd47:1::fe")
	routerB6 = netip.MustParseAddr("fd47:2::fe")
)

// Inner addresses, the same in both tenants.
var (
	InnerA  = netip.MustParseAddr("192.168.0.1")
	InnerB  = netip.MustParseAddr("192.168.0.2")
	InnerA6 = netip.MustParseAddr("fd00:192:168::1")
	InnerB6 = netip.MustParseAddr("fd00:192:168::2")

	macA = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0a}
	macB = net.HardwareAddr{0x02, 0, 0, 0, 0, 0x0b}
)

// side is one of the two, with all that belongs to it.
type side struct {
	endpoint       Place
	outer, outer6  netip.Addr
	router         netip.Addr
	router6        netip.Addr
	firewallLink   string
	inner, inner6  netip.Addr
	mac            net.HardwareAddr // of the tenants' hosts
	hosts          map[uint64]Place // by Context ID
	underlay       net.HardwareAddr // of the endpoint
	firewallFacing net.HardwareAddr // of the firewall's interface
	master         string           // that the firewall's interface is a part of, or ""
}

func sides() [2]side {
	return [2]side{{
		EndpointA, OuterA, OuterA6, routerA, routerA6, UnderlayA, InnerA, InnerA6, macA,
		map[uint64]Place{ContextAcme: AcmeA, ContextGlobex: GlobexA, ContextInitech: InitechA},
		net.HardwareAddr{0x02, 0x47, 0, 0, 1, 1}, net.HardwareAddr{0x02, 0x47, 0, 0, 1, 0xfe}, "",
	}, {
		EndpointB, OuterB, OuterB6, routerB, routerB6, UnderlayB, InnerB, InnerB6, macB,
		map[uint64]Place{ContextAcme: AcmeB, ContextGlobex: GlobexB, ContextInitech: InitechB},
		net.HardwareAddr{0x02, 0x47, 0, 0, 2, 1}, net.HardwareAddr{0x02, 0x47, 0, 0, 2, 0xfe}, "",
	}}
}

// buildUnderlay makes the namespaces, and the networks between endpoints and firewall.
func (l *Lab) buildUnderlay(c Config) error {
	own, err := currentNamespace(string(Firewall))
	if err != nil {
		return err
	}
	l.namespaces = map[Place]*namespace{Firewall: own}
	forward := "1"
	if c.Position.bridged() || c.Position == Host {
		forward = "0" // what gets through does so over the bridge, or is for the host
	}
	if err := l.Do(Firewall, func() error {
		return errors.Join(quiet(), writeSysctl("net/ipv4/ip_forward", forward), writeSysctl("net/ipv6/conf/all/forwarding", forward), raise("lo"))
	}); err != nil {
		return fmt.Errorf("lab: %s: %w", Firewall, err)
	}
	for _, place := range places(c) {
		ns, err := newNamespace(string(place))
		if err != nil {
			return fmt.Errorf("lab: %w", err)
		}
		l.namespaces[place] = ns
		if err := ns.do(func() error {
			return errors.Join(quiet(), writeSysctl("net/ipv4/ip_forward", "0"), raise("lo"))
		}); err != nil {
			return fmt.Errorf("lab: %s: %w", place, err)
		}
	}
	switch c.Position {
	case Host:
		if l.namespaces[EndpointB], err = currentNamespace(string(EndpointB)); err != nil {
			return err
		}
		return l.buildHost()
	case Bridge, BridgeVLAN:
		return l.buildBridge(c.Position)
	case VRF:
		if err := l.Do(Firewall, addVRF); err != nil {
			return fmt.Errorf("lab: %s: %w", Firewall, err)
		}
	}
	for _, s := range sides() {
		if c.Position == VRF {
			s.master = vrfDevice
		}
		if err := l.buildSide(&s); err != nil {
			return fmt.Errorf("lab: %s: %w", s.endpoint, err)
		}
	}
	if c.Position == Output {
		return l.buildOutput()
	}
	return nil
}

// buildSide makes the network between an endpoint and the firewall, which routes.
func (l *Lab) buildSide(s *side) error {
	if err := l.Do(Firewall, func() error {
		if err := addPair(linkEnd{name: s.firewallLink, mac: s.firewallFacing}, linkEnd{l.namespaces[s.endpoint], Underlay, s.underlay}); err != nil {
			return err
		}
		if err := enslave(s.firewallLink, s.master); err != nil {
			return err
		}
		if err := errors.Join(address(s.firewallLink, s.router, 24), address(s.firewallLink, s.router6, 64), raise(s.firewallLink)); err != nil {
			return err
		}
		if s.master != "" {
			return nil // its routes stand in another table
		}
		return awaitAddress(s.router6)
	}); err != nil {
		return err
	}
	return l.Do(s.endpoint, func() error {
		return errors.Join(
			address(Underlay, s.outer, 24), address(Underlay, s.outer6, 64), raise(Underlay),
			route(Underlay, "0.0.0.0/0", s.router, 0), route(Underlay, "::/0", s.router6, 0),
			awaitAddress(s.outer6), refuseSTT())
	})
}

// linkEnd is one end of a link.
type linkEnd struct {
	in   *namespace // nil: that of the calling thread
	name string
	mac  net.HardwareAddr // nil: the kernel chooses
}

// addPair makes a link of the underlay, whose one end is in the calling thread's namespace.
func addPair(here, there linkEnd) error {
	pair := netlink.NewVeth(netlink.NewLinkAttrs())
	pair.Name, pair.MTU, pair.HardwareAddr = here.name, underlayMTU, here.mac
	pair.PeerName, pair.PeerHardwareAddr, pair.PeerMTU = there.name, there.mac, underlayMTU
	pair.PeerNamespace = netlink.NsFd(there.in.fd)
	if err := netlink.LinkAdd(pair); err != nil {
		return fmt.Errorf("link %s: add: %w", here.name, err)
	}
	return nil
}

// enslave makes a link of the calling thread's namespace a part of another; "" is none.
func enslave(name, master string) error {
	if master == "" {
		return nil
	}
	link, err := netlink.LinkByName(name)
	if err != nil {
		return fmt.Errorf("link %s: %w", name, err)
	}
	of, err := netlink.LinkByName(master)
	if err != nil {
		return fmt.Errorf("link %s: %w", master, err)
	}
	if err := netlink.LinkSetMaster(link, of); err != nil {
		return fmt.Errorf("link %s: make it a part of %s: %w", name, master, err)
	}
	return nil
}

// removeUnderlay removes all that buildUnderlay made in the firewall's namespace, and the
// other ends of its links.
func removeUnderlay() error {
	errs := []error{removeTables(), removeHost()}
	for _, name := range []string{UnderlayA, UnderlayB, bridgeDevice, vrfDevice} {
		link, err := netlink.LinkByName(name)
		if err != nil {
			continue // not made
		}
		if err := netlink.LinkDel(link); err != nil {
			errs = append(errs, fmt.Errorf("link %s: remove: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

// configureHost gives the host in the calling thread's namespace, whose
// interface is there, its addresses.
func configureHost(s *side) error {
	link, err := netlink.LinkByName(HostInterface)
	if err != nil {
		return fmt.Errorf("link %s: %w", HostInterface, err)
	}
	if err := netlink.LinkSetHardwareAddr(link, s.mac); err != nil {
		return fmt.Errorf("link %s: address: %w", HostInterface, err)
	}
	if err := netlink.LinkSetMTU(link, hostLinkMTU); err != nil {
		return fmt.Errorf("link %s: mtu: %w", HostInterface, err)
	}
	if err := errors.Join(address(HostInterface, s.inner, 32), address(HostInterface, s.inner6, 128), raise(HostInterface)); err != nil {
		return err
	}
	if err := awaitAddress(s.inner6); err != nil {
		return err
	}
	// The hosts' own packets keep to an MTU of 1,500: only crafted ones are larger.
	v4, v6 := netip.PrefixFrom(s.inner, 24).Masked(), netip.PrefixFrom(s.inner6, 64).Masked()
	return errors.Join(route(HostInterface, v4.String(), netip.Addr{}, hostMTU), route(HostInterface, v6.String(), netip.Addr{}, hostMTU))
}

// quiet sets what links made later in the calling thread's namespace inherit:
// addresses at once, and no packets of their own accord where that can be.
func quiet() error {
	var errs []error
	for name, value := range map[string]string{
		"net/ipv4/conf/all/rp_filter":                "0", // spoofed packets are the firewall's to stop
		"net/ipv4/conf/default/rp_filter":            "0",
		"net/ipv6/conf/default/accept_dad":           "0",
		"net/ipv6/conf/default/dad_transmits":        "0",
		"net/ipv6/conf/default/accept_ra":            "0",
		"net/ipv6/conf/default/router_solicitations": "0",
	} {
		errs = append(errs, writeSysctl(name, value))
	}
	return errors.Join(errs...)
}

func raise(name string) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		return fmt.Errorf("link %s: up: %w", name, err)
	}
	return nil
}

func address(name string, ip netip.Addr, bits int) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		a := &netlink.Addr{IPNet: &net.IPNet{IP: ip.AsSlice(), Mask: net.CIDRMask(bits, ip.BitLen())}}
		if ip.Is6() {
			a.Flags = unix.IFA_F_NODAD
		}
		err = netlink.AddrAdd(link, a)
	}
	if err != nil {
		return fmt.Errorf("link %s: add address %s: %w", name, ip, err)
	}
	return nil
}

// awaitAddress waits until an address is one of the calling thread's namespace: the kernel makes
// an IPv6 address so some time after it was added (addrconf_dad_work in net/ipv6/addrconf.c),
// and until then answers nobody who looks for it.
func awaitAddress(ip netip.Addr) error {
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		routes, err := netlink.RouteGet(ip.AsSlice())
		if err == nil && len(routes) > 0 && routes[0].Type == unix.RTN_LOCAL {
			return nil
		}
		if time.Since(start) > waitBound {
			return errors.Join(fmt.Errorf("address %s is not there within %v", ip, waitBound), err)
		}
	}
}

// route adds one through a gateway, or on the link if that is the zero Addr.
// mtu 0 is that of the link.
func route(name, to string, gateway netip.Addr, mtu int) error {
	link, err := netlink.LinkByName(name)
	if err == nil {
		prefix := netip.MustParsePrefix(to)
		r := &netlink.Route{
			LinkIndex: link.Attrs().Index,
			Dst:       &net.IPNet{IP: prefix.Addr().AsSlice(), Mask: net.CIDRMask(prefix.Bits(), prefix.Addr().BitLen())},
			MTU:       mtu,
		}
		if gateway.IsValid() {
			r.Gw = gateway.AsSlice()
		} else {
			r.Scope = netlink.SCOPE_LINK
		}
		err = netlink.RouteAdd(r)
	}
	if err != nil {
		return fmt.Errorf("link %s: add route to %s: %w", name, to, err)
	}
	return nil
}
