package endpoint

import (
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// namespace is a network namespace. It is gone when nothing uses it any more.
type namespace struct{ netns.NsHandle }

func newNamespace(t testing.TB) namespace {
	t.Helper()
	ns, err := makeNamespace()
	if err != nil {
		t.Fatalf("make namespace: %v", err)
	}
	t.Cleanup(func() { _ = ns.Close() })
	ns.must(t, func() error {
		// Without duplicate address detection IPv6 speaks at once. Where that
		// cannot be set the tests take two seconds longer.
		for _, name := range []string{"all", "default"} {
			_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/accept_dad", []byte("0"), 0)
		}
		lo, err := netlink.LinkByName("lo")
		if err != nil {
			return err
		}
		return netlink.LinkSetUp(lo)
	})
	return ns
}

func makeNamespace() (namespace, error) {
	var ns namespace
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return err
		}
		var err error
		ns.NsHandle, err = netns.Get()
		return err
	})
	return ns, err
}

// onThread runs f on a thread of its own, which ends with it.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked
		result <- f()
	}()
	return <-result
}

// run runs f in the namespace. Sockets that it opens belong there for good.
func (ns namespace) run(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(ns.NsHandle); err != nil {
			return err
		}
		return f()
	})
}

func (ns namespace) must(t testing.TB, f func() error) {
	t.Helper()
	if err := ns.run(f); err != nil {
		t.Fatal(err)
	}
}

// address gives the interface addresses that are usable at once, and brings it up.
func (ns namespace) address(t testing.TB, name string, addresses ...string) {
	t.Helper()
	ns.must(t, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		for _, a := range addresses {
			address, err := netlink.ParseAddr(a)
			if err != nil {
				return err
			}
			if address.IP.To4() == nil {
				address.Flags = unix.IFA_F_NODAD
			}
			if err := netlink.AddrAdd(link, address); err != nil {
				return fmt.Errorf("address %s: %w", a, err)
			}
		}
		return netlink.LinkSetUp(link)
	})
}

// running waits until veth interfaces carry frames. Before, the kernel drops
// them without a word.
func (ns namespace) running(t testing.TB, names ...string) {
	t.Helper()
	eventually(t, func() error {
		return ns.run(func() error {
			for _, name := range names {
				link, err := netlink.LinkByName(name)
				if err != nil {
					return err
				}
				if state := link.Attrs().OperState; link.Type() == "veth" && state != netlink.OperUp {
					return fmt.Errorf("%s is %v", name, state)
				}
			}
			return nil
		})
	})
}

// give moves an interface to another namespace.
func (ns namespace) give(t testing.TB, name string, to namespace) {
	t.Helper()
	ns.must(t, func() error {
		link, err := netlink.LinkByName(name)
		if err != nil {
			return err
		}
		return netlink.LinkSetNsFd(link, int(to.NsHandle))
	})
}

// connect joins two namespaces with a veth pair.
func connect(t testing.TB, a namespace, nameA string, b namespace, nameB string) {
	t.Helper()
	a.must(t, func() error {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = nameA
		return netlink.LinkAdd(&netlink.Veth{
			LinkAttrs: attributes, PeerName: nameB, PeerNamespace: netlink.NsFd(b.NsHandle),
		})
	})
}
