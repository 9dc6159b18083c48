package load

import (
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// newNamespace makes a network namespace that lasts as long as its descriptor or
// somebody in it.
func newNamespace() (ns netns.NsHandle, err error) {
	doErr := onThread(func() error {
		ns, err = netns.New()
		return err
	})
	if doErr != nil {
		return -1, fmt.Errorf("load: make a network namespace: %w", doErr)
	}
	return ns, nil
}

// inNamespace runs f in ns on a thread of its own and waits for it. What f opens stays
// there; goroutines and programs that f starts do not, save for programs started by
// the thread itself.
func inNamespace(ns netns.NsHandle, f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns); err != nil {
			return fmt.Errorf("load: enter a network namespace: %w", err)
		}
		return f()
	})
}

// onThread runs f on a thread that ends with it, and with what f changed of the thread.
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

// pin binds the calling thread to CPUs; none means no change.
func pin(cpus ...int) error {
	if len(cpus) == 0 {
		return nil
	}
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("load: bind to CPUs %v: %w", cpus, err)
	}
	return nil
}

// side is one of the two ends of the lab: a veth pair with the firewall.
type side struct {
	name           string // of the interface in the firewall's namespace
	outer, router  net.IP
	mac, routerMAC [6]byte

	ns      netns.NsHandle // of the end
	ifindex int            // in the firewall's namespace
	end     int            // the end's interface, in its own
}

// endName is the interface of an end in its own namespace.
const endName = "end"

// sysctls hold for links made later in the calling thread's namespace: no packets of
// its own accord, forwarding, nothing refused for where it comes from.
func sysctls() error {
	var errs []error
	for _, s := range [][2]string{
		{"net/ipv6/conf/default/disable_ipv6", "1"},
		{"net/ipv4/conf/all/rp_filter", "0"},
		{"net/ipv4/conf/default/rp_filter", "0"},
		{"net/ipv4/ip_forward", "1"},
	} {
		if err := os.WriteFile("/proc/sys/"+s[0], []byte(s[1]), 0o644); err != nil && !(os.IsNotExist(err) && s[0][:8] == "net/ipv6") {
			errs = append(errs, fmt.Errorf("load: sysctl: %w", err))
		}
	}
	return errors.Join(errs...)
}

// build makes the pair. The calling thread is in the firewall's namespace.
func (s *side) build() error {
	attributes := netlink.NewLinkAttrs()
	attributes.Name, attributes.MTU, attributes.HardwareAddr = s.name, 1500, s.routerMAC[:]
	veth := netlink.NewVeth(attributes)
	veth.PeerName, veth.PeerHardwareAddr, veth.PeerMTU = endName, s.mac[:], 1500
	veth.PeerNamespace = netlink.NsFd(int(s.ns))
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("load: link %s: %w", s.name, err)
	}
	near, err := raise(s.name, s.router)
	if err != nil {
		return err
	}
	s.ifindex = near
	if err := neighbour(near, s.outer, s.mac); err != nil {
		return err
	}
	// The two endpoints may be in one network: each has a route of its own.
	if err := netlink.RouteAdd(&netlink.Route{
		LinkIndex: near, Dst: &net.IPNet{IP: s.outer, Mask: net.CIDRMask(32, 32)}, Scope: netlink.SCOPE_LINK,
	}); err != nil {
		return fmt.Errorf("load: link %s: route to %v: %w", s.name, s.outer, err)
	}
	if err := inNamespace(s.ns, func() error {
		s.end, err = raise(endName, s.outer)
		return err
	}); err != nil {
		return err
	}
	return s.up()
}

// upBound is how long a link may take to be up, on a busy host.
const upBound = 10 * time.Second

// up waits until the link takes packets: a worker of the kernel sees to that some time
// after both ends were set up, and what is sent before is dropped.
func (s *side) up() error {
	for began := time.Now(); ; time.Sleep(time.Millisecond) {
		l, err := netlink.LinkByIndex(s.ifindex)
		switch {
		case err != nil:
			return fmt.Errorf("load: link %s: %w", s.name, err)
		case l.Attrs().OperState == netlink.OperUp:
			return nil
		case time.Since(began) > upBound:
			return fmt.Errorf("load: link %s: still %s after %v", s.name, l.Attrs().OperState, upBound)
		}
	}
}

// raise gives an interface its address and sets it up.
func raise(name string, ip net.IP) (ifindex int, err error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, fmt.Errorf("load: link %s: %w", name, err)
	}
	if err := netlink.AddrAdd(l, &netlink.Addr{IPNet: &net.IPNet{IP: ip, Mask: net.CIDRMask(32, 32)}}); err != nil {
		return 0, fmt.Errorf("load: link %s: address %v: %w", name, ip, err)
	}
	if err := netlink.LinkSetUp(l); err != nil {
		return 0, fmt.Errorf("load: link %s: up: %w", name, err)
	}
	return l.Attrs().Index, nil
}

// neighbour makes known who has an address, so that nobody needs to ask.
func neighbour(ifindex int, ip net.IP, mac [6]byte) error {
	if err := netlink.NeighSet(&netlink.Neigh{
		LinkIndex: ifindex, IP: ip, HardwareAddr: mac[:], State: netlink.NUD_PERMANENT,
	}); err != nil {
		return fmt.Errorf("load: neighbour %v: %w", ip, err)
	}
	return nil
}
