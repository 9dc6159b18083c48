package endpoint

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"sttwall/internal/nstest"
)

// patience is how long a test waits for what must come. Nothing is timed with it.
const patience = 2 * time.Minute

// scene is two tenants of one network, each in a namespace with the real
// stack, behind two endpoints back to back.
type scene struct {
	tenants   [2]namespace
	hosts     [2]namespace
	endpoints [2]*Endpoint
}

const (
	underlayName = "under0"
	tenantName   = "tenant0"
)

var (
	tenant4 = [2]string{"192.168.7.1", "192.168.7.2"}
	tenant6 = [2]string{"fd00:7::1", "fd00:7::2"}
)

// newScene builds the scene and waits until the endpoints know each other.
// change adapts the config of both.
func newScene(t testing.TB, change func(c *Config)) *scene {
	t.Helper()
	s := &scene{}
	for i := range 2 {
		s.tenants[i], s.hosts[i] = newNamespace(t), newNamespace(t)
	}
	connect(t, s.hosts[0], underlayName, s.hosts[1], underlayName)
	outer := [2]netip.Addr{netip.MustParseAddr("10.99.0.1"), netip.MustParseAddr("10.99.0.2")}
	outer6 := [2]netip.Addr{netip.MustParseAddr("fd00:99::1"), netip.MustParseAddr("fd00:99::2")}
	for i := range 2 {
		s.hosts[i].address(t, underlayName, outer[i].String()+"/24", outer6[i].String()+"/64")
	}
	for i := range 2 {
		c := Config{
			Underlay: underlayName, Local: outer[i], Remotes: []Remote{{Addr: outer[1-i]}},
			Ports:  []Port{{Name: "port0", Peer: tenantName, Kind: KindPacket, ContextID: 0x0102030405060708}},
			Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}
		change(&c)
		if c.Local.Is6() {
			c.Local, c.Remotes = outer6[i], []Remote{{Addr: outer6[1-i]}}
		}
		s.endpoints[i] = open(t, s.hosts[i], c)
		name := s.endpoints[i].Ports()[0].Tenant
		s.hosts[i].give(t, name, s.tenants[i])
		s.tenants[i].address(t, name, tenant4[i]+"/24", tenant6[i]+"/64")
	}
	for i := range 2 {
		s.hosts[i].running(t, underlayName)
		if p := s.endpoints[i].Ports()[0]; p.Kind == KindPacket {
			s.hosts[i].running(t, p.Name)
		}
		s.tenants[i].running(t, s.endpoints[i].Ports()[0].Tenant)
	}
	// Only now, so that nothing is carried to a tenant that is not up.
	for _, e := range s.endpoints {
		run(t, e)
	}
	for _, e := range s.endpoints {
		<-e.Ready()
	}
	return s
}

// open makes an endpoint in a namespace.
func open(t testing.TB, ns namespace, c Config) *Endpoint {
	t.Helper()
	var e *Endpoint
	ns.must(t, func() (err error) {
		e, err = New(c)
		return err
	})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return e
}

// run runs an endpoint until the test ends.
func run(t testing.TB, e *Endpoint) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("run: %v", err)
		}
		if t.Failed() {
			t.Logf("counters of %s: %+v", e.cfg.Local, e.Counters())
		}
	})
}

func TestTenantsTalkThroughTwoEndpoints(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	local6 := netip.MustParseAddr("fd00:99::1") // either: newScene puts the right one in
	for _, test := range []struct {
		name   string
		large  bool // transfers
		change func(c *Config)
	}{
		{"in GSO packets", true, func(*Config) {}},
		{"in segments cut for the MTU", true, func(c *Config) { c.Segmentation = SegmentMTU }},
		{"with the receive buffers of an ordinary user", false, func(c *Config) { c.ReceiveBuffer = 212992 }},
		{"over IPv6 in GSO packets", false, func(c *Config) { c.Local = local6 }},
		{"over IPv6 in segments cut for the MTU", false, func(c *Config) { c.Local, c.Segmentation = local6, SegmentMTU }},
		{"with a VLAN tag in the frame header", false, func(c *Config) { c.Ports[0].TCI = 0xb02b }},
		{"with a VLAN tag without V bit", false, func(c *Config) { c.Ports[0].TCI = 0x002a }},
		{"with jumbo frames inside", false, func(c *Config) { c.Ports[0].MTU = 9000 }},
		{"with jumbo frames cut for a small MTU", false, func(c *Config) {
			c.Ports[0].MTU, c.MTU, c.Segmentation = 9000, 576, SegmentMTU
		}},
		{"through a TAP", true, func(c *Config) {
			c.Ports[0] = Port{Name: tenantName, Kind: KindTAP, ContextID: c.Ports[0].ContextID}
		}},
		{"through a TAP, in segments cut for the MTU", false, func(c *Config) {
			c.Ports[0] = Port{Name: tenantName, Kind: KindTAP, ContextID: c.Ports[0].ContextID}
			c.Segmentation = SegmentMTU
		}},
		{"through IP sockets", true, func(c *Config) { c.Sockets = SocketsIP }},
		{"through IP sockets over IPv6", true, func(c *Config) { c.Local, c.Sockets = local6, SocketsIP }},
		{"through an IP socket on one side, from GSO packets", true, func(c *Config) {
			if c.Local.IsValid() && c.Local == netip.MustParseAddr("10.99.0.1") {
				c.Sockets = SocketsIP
			}
		}},
		{"through IP sockets with jumbo frames inside, and the buffers of an ordinary user", false, func(c *Config) {
			c.Ports[0].MTU, c.Sockets, c.ReceiveBuffer = 9000, SocketsIP, 212992
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var c Config
			c.Ports = make([]Port, 1)
			if test.change(&c); c.Ports[0].Kind == KindTAP {
				needTAP(t)
			}
			size := 4 << 20
			if test.large {
				size = 20 << 20
			}
			s := newScene(t, test.change)
			for _, addresses := range [][2]string{tenant4, tenant6} {
				s.ping(t, addresses, 56)
				s.ping(t, addresses, 8000)
				s.datagrams(t, addresses, 1, 100, 1400, 8000, 40000)
				s.datagramTrain(t, addresses)
				s.transfer(t, addresses, size, forth)
				s.transfer(t, addresses, size, back)
			}
			for i, e := range s.endpoints {
				c := e.Counters()
				for d, n := range c.Drops {
					// The tenants' stacks speak before the next hops are known.
					if n != 0 && Drop(d) != DropNoNextHop {
						t.Errorf("endpoint %d: dropped %d as %v, want none", i, n, Drop(d))
					}
				}
				for why, n := range c.Refused {
					if n != 0 {
						t.Errorf("endpoint %d: refused %d for reason %d, want none", i, n, why)
					}
				}
				t.Logf("endpoint %d: %d frames out in %d packets, %d in in %d packets, %d lost in sockets",
					i, c.FramesOut, c.PacketsOut, c.FramesIn, c.PacketsIn, c.SocketLost)
			}
		})
	}
}

// needTAP skips the test where there is no TAP to be had.
func needTAP(t *testing.T) {
	t.Helper()
	f, err := os.OpenFile(tunDevice, os.O_RDWR, 0)
	if err != nil {
		if nstest.InUserNamespace() {
			t.Skipf("TAP in a user namespace: %v", err)
		}
		nstest.Cannot(t, "TAP: %v", err)
	}
	_ = f.Close()
}

// interfaces returns the names of a namespace's interfaces, except those
// that the kernel makes for every namespace.
func interfaces(t testing.TB, ns namespace) string {
	t.Helper()
	var names []string
	ns.must(t, func() error {
		links, err := whole(netlink.LinkList)
		for _, l := range links {
			if name := l.Attrs().Name; name == "lo" || l.Type() == "veth" || l.Type() == "tuntap" {
				names = append(names, name)
			}
		}
		return err
	})
	return strings.Join(names, " ")
}

func TestWhatCannotBeOpenedIsNamedAndLeavesNothingBehind(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	ns, other := newNamespace(t), newNamespace(t)
	connect(t, ns, underlayName, other, underlayName)
	ns.address(t, underlayName, "10.99.0.1/24")
	good := func() Config {
		return Config{
			Underlay: underlayName, Local: netip.MustParseAddr("10.99.0.1"), Remotes: []Remote{{Addr: netip.MustParseAddr("10.99.0.2")}},
			Ports: []Port{{Name: "port0", Peer: tenantName, Kind: KindPacket}},
		}
	}
	for _, test := range []struct {
		name   string
		change func(c *Config)
		want   string
	}{
		{"an invalid config", func(c *Config) { c.Remotes = nil }, "0 remotes"},
		{"an underlay that is not there", func(c *Config) { c.Underlay = "nowhere" }, "underlay nowhere: Link"},
		{"a local address that is not there", func(c *Config) { c.Local = netip.MustParseAddr("10.99.0.7") }, "underlay under0: has no address 10.99.0.7"},
		{"a path MTU above that of the underlay", func(c *Config) { c.MTU = 9000 }, "mtu 9000 of the path is above the interface's 1500"},
		{"an interface that is not there", func(c *Config) { c.Ports[0].Peer = "" }, "port port0: Link"},
		{"a second port that is not there", func(c *Config) {
			c.Ports = append(c.Ports, Port{Name: "port1", Kind: KindPacket, ContextID: 1})
		}, "port port1: Link"},
		{"too little memory for reassembly", func(c *Config) { c.ReassemblyMemory = 1 }, "reassembly: memory: 1 is below"},
	} {
		t.Run(test.name, func(t *testing.T) {
			config := good()
			test.change(&config)
			err := ns.run(func() error {
				_, err := New(config)
				return err
			})
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got error %v, want it to say %q", err, test.want)
			}
			if got := tables(t, ns); len(got) != 0 {
				t.Errorf("tables %v, want none", got)
			}
			if got := interfaces(t, ns); got != "lo under0" {
				t.Errorf("interfaces %q, want lo and under0", got)
			}
		})
	}
}

func TestRunEndsWhenItsContextDoesAndWhenItIsClosed(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	for name, end := range map[string]func(*Endpoint, context.CancelFunc){
		"context": func(_ *Endpoint, cancel context.CancelFunc) { cancel() },
		"close":   func(e *Endpoint, _ context.CancelFunc) { _ = e.Close() },
	} {
		t.Run(name, func(t *testing.T) {
			ns, other := newNamespace(t), newNamespace(t)
			connect(t, ns, underlayName, other, underlayName)
			ns.address(t, underlayName, "10.99.0.1/24")
			other.address(t, underlayName, "10.99.0.2/24")
			e := open(t, ns, Config{
				Underlay: underlayName, Local: netip.MustParseAddr("10.99.0.1"), Remotes: []Remote{{Addr: netip.MustParseAddr("10.99.0.2")}},
				Ports: []Port{{Name: "port0", Peer: tenantName, Kind: KindPacket}},
			})
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			done := make(chan error, 1)
			go func() { done <- e.Run(ctx) }()
			<-e.Ready()
			end(e, cancel)
			if err := <-done; err != nil {
				t.Errorf("run: %v", err)
			}
			if got := tables(t, ns); len(got) != 0 {
				t.Errorf("tables %v, want none", got)
			}
		})
	}
}

// BenchmarkTransfer is a TCP connection between two tenants on this host: both
// stacks, both endpoints and the benchmark share its cores.
func BenchmarkTransfer(b *testing.B) {
	if os.Geteuid() != 0 {
		b.Skip("network namespaces need root here")
	}
	for _, segmentation := range []Segmentation{SegmentGSO, SegmentMTU} {
		for _, kind := range []Kind{KindPacket, KindTAP} {
			b.Run(fmt.Sprintf("segmentation=%v/kind=%v", segmentation, kind), func(b *testing.B) {
				s := newScene(b, func(c *Config) {
					c.Segmentation = segmentation
					if kind == KindTAP {
						c.Ports[0] = Port{Name: tenantName, Kind: KindTAP, ContextID: 1}
					}
				})
				from, to := s.connection(b, tenant4, forth)
				out, in := make([]byte, 1<<20), make([]byte, 1<<20)
				b.SetBytes(int64(len(out)))
				b.ReportAllocs()
				sent := make(chan error, 1)
				b.ResetTimer()
				go func() {
					for range b.N {
						if _, err := from.Write(out); err != nil {
							sent <- err
							return
						}
					}
					sent <- nil
				}()
				for range b.N {
					if _, err := io.ReadFull(to, in); err != nil {
						b.Fatal(err)
					}
				}
				if err := <-sent; err != nil {
					b.Fatal(err)
				}
			})
		}
	}
}
