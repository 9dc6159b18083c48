package endpoint

import (
	"bytes"
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/net/bpf"

	"sttwall/internal/nstest"
	"sttwall/stt"
)

// tables returns the names of the nftables tables of a namespace, and how many
// rules they have.
func tables(t testing.TB, ns namespace) map[string]int {
	t.Helper()
	all := map[string]int{}
	ns.must(t, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		chains, err := conn.ListChains()
		if err != nil {
			return err
		}
		list, err := conn.ListTables()
		if err != nil {
			return err
		}
		for _, table := range list {
			all[table.Name] = 0
		}
		for _, c := range chains {
			rules, err := conn.GetRules(c.Table, c)
			if err != nil {
				return err
			}
			all[c.Table.Name] += len(rules)
		}
		return nil
	})
	return all
}

func TestTheHostNeverAnswersSegmentsWithResets(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	for _, sockets := range []Sockets{SocketsPacket, SocketsIP} {
		t.Run(sockets.String(), func(t *testing.T) { neverAnswersWithResets(t, sockets) })
	}
}

func neverAnswersWithResets(t *testing.T, sockets Sockets) {
	s := newScene(t, func(c *Config) { c.Sockets = sockets })
	resets := newWire(t, s.hosts[0], underlayName,
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: etherTypeIPv4, SkipFalse: 5},
		bpf.LoadAbsolute{Off: 23, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: protocolTCP, SkipFalse: 3},
		bpf.LoadAbsolute{Off: 34 + 13, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: stt.FlagRST, SkipFalse: 1},
		bpf.RetConstant{Val: wholePacket},
		bpf.RetConstant{Val: 0})
	anything := func(received) bool { return true }

	s.ping(t, tenant4, 56)
	s.transfer(t, tenant4, 1<<20, forth)
	if got := resets.rest(t, anything); len(got) != 0 {
		t.Errorf("%d resets, want none", len(got))
	}

	// Without the guard there are some: the test would have seen them.
	s.hosts[1].must(t, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		conn.DelTable(s.endpoints[1].guard.table)
		return conn.Flush()
	})
	s.ping(t, tenant4, 56)
	resets.next(t, anything)
	// For Close to find.
	var err error
	s.hosts[1].must(t, func() error {
		s.endpoints[1].guard, err = newGuard(&s.endpoints[1].cfg, []string{"port0"})
		return err
	})
}

func TestTheHostTakesNoPartInTenantsNetworks(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	s := newScene(t, func(*Config) {})
	var mac net.HardwareAddr
	s.hosts[0].must(t, func() error {
		link, err := netlink.LinkByName("port0")
		if err != nil {
			return err
		}
		mac = link.Attrs().HardwareAddr
		addresses, err := whole(func() ([]netlink.Addr, error) { return netlink.AddrList(link, netlink.FAMILY_ALL) })
		if err == nil && len(addresses) != 0 {
			t.Errorf("the endpoint's end has addresses: %v", addresses)
		}
		return err
	})
	w := newWire(t, s.tenants[0], tenantName)
	// Who has 10.99.0.1? It is the host's own.
	arp := append(bytes.Repeat([]byte{0xff}, 6), w.mac[:]...)
	arp = append(arp, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1)
	arp = append(append(arp, w.mac[:]...), 10, 99, 0, 77)
	arp = append(append(arp, make([]byte, 6)...), 10, 99, 0, 1)
	w.send(t, vnetHeader{}, arp)
	// And a ping to it, to the link address of the endpoint's end.
	ping := append(append([]byte{}, mac...), w.mac[:]...)
	ping = append(ping, 8, 0, 0x45, 0, 0, 28, 0, 1, 0, 0, 64, 1, 0, 0, 10, 99, 0, 77, 10, 99, 0, 1, 8, 0, 0xf7, 0xfd, 0, 1, 0, 1)
	binary.BigEndian.PutUint16(ping[24:], stt.Checksum(ping[14:34]))
	w.send(t, vnetHeader{}, ping)

	s.ping(t, tenant4, 56)
	own := w.rest(t, func(r received) bool { return len(r.Frame) > 12 && bytes.Equal(r.Frame[6:12], mac) })
	if len(own) != 0 {
		t.Errorf("the host said %x to its tenant", own[0].Frame)
	}
}

func TestTheGuardComesAndGoesWithTheEndpoint(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	ns, other := newNamespace(t), newNamespace(t)
	connect(t, ns, "under0.7", other, underlayName)
	ns.address(t, "under0.7", "10.99.0.1/24")
	config := Config{
		Underlay: "under0.7", Local: netip.MustParseAddr("10.99.0.1"), Remotes: []Remote{{Addr: netip.MustParseAddr("10.99.0.2")}},
		Ports: []Port{{Name: "port0", Peer: tenantName, Kind: KindPacket}},
	}
	want := "sttwall_endpoint_under0_7_7471"

	killed := open(t, ns, config)
	if got := tables(t, ns); len(got) != 1 || got[want] != 3 {
		t.Errorf("tables %v, want %s with 3 rules", got, want)
	}
	// As if it had been killed: its sockets are gone, its table is not.
	_ = killed.guard.conn.CloseLasting()
	killed.guard = nil
	_ = killed.Close()
	if got := tables(t, ns); len(got) != 1 {
		t.Fatalf("tables %v, want the stale one", got)
	}

	config.Ports = append(config.Ports, Port{Name: "port1", Peer: "tenant1", Kind: KindPacket, ContextID: 1})
	next := open(t, ns, config)
	if got := tables(t, ns); len(got) != 1 || got[want] != 5 {
		t.Errorf("tables %v, want %s with 5 rules", got, want)
	}
	if err := next.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	if err := next.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if got := tables(t, ns); len(got) != 0 {
		t.Errorf("tables %v after Close, want none", got)
	}
	if got := interfaces(t, ns); got != "lo under0.7" {
		t.Errorf("interfaces %q after Close, want lo and the underlay", got)
	}
	if err := next.Run(context.Background()); err == nil {
		t.Error("a closed endpoint runs")
	}
}
