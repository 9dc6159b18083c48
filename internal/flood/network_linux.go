package flood

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// network is the firewall's namespace and those of the endpoints.
type network struct {
	firewall netns.NsHandle
	ends     [4]end // A, B, C, D
}

// end is an endpoint: a namespace with one interface. It has no address, so that the
// kernel answers nothing there.
type end struct {
	address   netip.Addr
	mac, near net.HardwareAddr // of the endpoint, and of the firewall towards it
	ns        netns.NsHandle
	ifindex   int
}

const endName = "end"

func newNetwork() (n *network, err error) {
	n = &network{firewall: -1}
	for i, a := range []netip.Addr{outerA, outerB, outerC, outerD} {
		n.ends[i] = end{
			address: a, mac: net.HardwareAddr{2, 0x49, 0, 0, byte(i), 1}, near: net.HardwareAddr{2, 0x49, 0, 0, byte(i), 0xfe}, ns: -1,
		}
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.close())
		}
	}()
	if n.firewall, err = newNamespace(); err != nil {
		return n, err
	}
	for i := range n.ends {
		if n.ends[i].ns, err = newNamespace(); err != nil {
			return n, err
		}
		if err := inside(n.ends[i].ns, quiet); err != nil {
			return n, err
		}
	}
	return n, inside(n.firewall, func() error {
		if err := quiet(); err != nil {
			return err
		}
		if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
			return err
		}
		for i := range n.ends {
			if err := n.ends[i].build(i); err != nil {
				return fmt.Errorf("endpoint %v: %w", n.ends[i].address, err)
			}
		}
		return nil
	})
}

// quiet keeps the namespace from sending anything by itself.
func quiet() error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/default/disable_ipv6", []byte("1"), 0o644)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// build links the endpoint to the firewall, in whose namespace the thread is.
func (e *end) build(i int) error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU, attributes.HardwareAddr = fmt.Sprintf("to%c", 'A'+i), mtu, e.near
	veth := netlink.NewVeth(attributes)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = endName, e.mac, mtu
	veth.PeerNamespace = netlink.NsFd(int(e.ns))
	if err := netlink.LinkAdd(veth); err != nil {
		return err
	}
	link, err := netlink.LinkByName(attributes.Name)
	if err != nil {
		return err
	}
	near, whole := &net.IPNet{IP: net.IPv4(169, 254, 49, byte(1+i)), Mask: net.CIDRMask(32, 32)}, &net.IPNet{IP: e.address.AsSlice(), Mask: net.CIDRMask(32, 32)}
	if err := errors.Join(netlink.AddrAdd(link, &netlink.Addr{IPNet: near}), netlink.LinkSetUp(link)); err != nil {
		return err
	}
	index := link.Attrs().Index
	if err := netlink.NeighSet(&netlink.Neigh{LinkIndex: index, IP: e.address.AsSlice(), HardwareAddr: e.mac, State: netlink.NUD_PERMANENT}); err != nil {
		return err
	}
	if err := inside(e.ns, func() error {
		far, err := netlink.LinkByName(endName)
		if err != nil {
			return err
		}
		e.ifindex = far.Attrs().Index
		return netlink.LinkSetUp(far)
	}); err != nil {
		return err
	}
	return netlink.RouteAdd(&netlink.Route{LinkIndex: index, Dst: whole, Scope: netlink.SCOPE_LINK})
}

// received is how many packets have come to the endpoint.
func (e *end) received() (packets uint64, err error) {
	err = inside(e.ns, func() error {
		link, err := netlink.LinkByName(endName)
		if err == nil {
			packets = link.Attrs().Statistics.RxPackets
		}
		return err
	})
	return packets, err
}

func (n *network) close() error {
	var errs []error
	for _, e := range n.ends {
		if e.ns >= 0 {
			errs = append(errs, e.ns.Close())
		}
	}
	if n.firewall >= 0 {
		errs = append(errs, n.firewall.Close())
	}
	return errors.Join(errs...)
}

func newNamespace() (ns netns.NsHandle, err error) {
	err = onThread(func() (err error) {
		ns, err = netns.New()
		return err
	})
	if err != nil {
		return -1, fmt.Errorf("make a network namespace (as root): %w", err)
	}
	return ns, nil
}

// inside runs f in a namespace, on a thread that ends with it.
func inside(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return err
		}
		return f()
	})
}

func onThread(f func() error) error {
	err := errors.New("the function left its goroutine")
	done := make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer close(done)
		err = f()
	}()
	<-done
	return err
}
