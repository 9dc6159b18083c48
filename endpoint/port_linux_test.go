package endpoint

import (
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"sttwall/internal/nstest"
)

func TestAPortIsWhatTheHostOffers(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	tap := KindTAP
	if f, err := os.OpenFile(tunDevice, os.O_RDWR, 0); err != nil {
		tap = KindPacket
	} else {
		_ = f.Close()
	}
	for _, test := range []struct {
		name   string
		exists bool
		port   Port
		kind   Kind
		tenant string
	}{
		{"a packet socket on an interface that exists", true, Port{Name: "port0"}, KindPacket, ""},
		{"a packet socket on an interface that exists, with its peer", true, Port{Name: "port0", Peer: tenantName}, KindPacket, tenantName},
		{"a TAP, or else a veth pair", false, Port{Name: "port0", Peer: tenantName}, tap, map[Kind]string{KindTAP: "port0", KindPacket: tenantName}[tap]},
		{"a veth pair if that is asked for", false, Port{Name: "port0", Peer: tenantName, Kind: KindPacket, MTU: 1400}, KindPacket, tenantName},
	} {
		t.Run(test.name, func(t *testing.T) {
			ns := newNamespace(t)
			if test.exists {
				connect(t, ns, "port0", ns, tenantName)
			}
			before := interfaces(t, ns)
			ns.must(t, func() error {
				links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
				if err != nil {
					return err
				}
				defer links.Close()
				p, err := openPort(links, test.port, 1<<20)
				if err != nil {
					return err
				}
				if diff := cmp.Diff([]any{test.kind, test.tenant}, []any{p.Kind, p.tenant}); diff != "" {
					t.Errorf("kind and tenant's interface (-want +got):\n%s", diff)
				}
				if p.tenant != "" && !test.exists {
					checkTenant(t, links, p)
				}
				p.close(links)
				return nil
			})
			if got := interfaces(t, ns); got != before {
				t.Errorf("interfaces %q after Close, want %q as before", got, before)
			}
		})
	}
}

// checkTenant checks the interface that the tenant's stack is to send on.
func checkTenant(t *testing.T, links *netlink.Handle, p *port) {
	t.Helper()
	link, err := links.LinkByName(p.tenant)
	if err != nil {
		t.Fatal(err)
	}
	a := link.Attrs()
	if a.GSOMaxSize != tenantGSOMax || a.GSOIPv4MaxSize != 0 && a.GSOIPv4MaxSize != tenantGSOMax {
		t.Errorf("gso_max_size %d, for IPv4 %d; want %d", a.GSOMaxSize, a.GSOIPv4MaxSize, tenantGSOMax)
	}
	if p.MTU != 0 && a.MTU != p.MTU {
		t.Errorf("mtu %d, want %d", a.MTU, p.MTU)
	}
}

func TestGSOIsLimitedInTheNamespaceOfTheCaller(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	ns, other := newNamespace(t), newNamespace(t)
	connect(t, ns, "port0", other, tenantName)
	other.must(t, func() error {
		if err := LimitGSO(tenantName); err != nil {
			return err
		}
		link, err := netlink.LinkByName(tenantName)
		if err == nil && link.Attrs().GSOMaxSize != tenantGSOMax {
			t.Errorf("gso_max_size %d, want %d", link.Attrs().GSOMaxSize, tenantGSOMax)
		}
		return err
	})
	other.must(t, func() error {
		if err := LimitGSO("nowhere"); err == nil {
			t.Error("an interface that is not there was limited")
		}
		return nil
	})
}
