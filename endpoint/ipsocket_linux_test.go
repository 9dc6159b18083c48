package endpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/nftables"
	"github.com/google/nftables/expr"

	"sttwall/internal/nstest"
	"sttwall/stt"
)

// hookCounter counts STT in a hook of a namespace.
type hookCounter struct {
	conn  *nftables.Conn
	chain *nftables.Chain
	match []expr.Any
}

// counters of a namespace: what comes to an address in the first two hooks, and what goes to
// its peer in the third.
func hookCounters(t *testing.T, ns namespace, local, peer netip.Addr) map[string]*hookCounter {
	t.Helper()
	counters := map[string]*hookCounter{}
	ns.must(t, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		table := conn.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "count"})
		for name, hook := range map[string]struct {
			at *nftables.ChainHook
			to netip.Addr
		}{
			"prerouting": {nftables.ChainHookPrerouting, local},
			"input":      {nftables.ChainHookInput, local},
			"output":     {nftables.ChainHookOutput, peer},
		} {
			// Before the guard.
			chain := conn.AddChain(&nftables.Chain{
				Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook.at, Priority: nftables.ChainPriorityRef(-400),
			})
			match := isSTT(hook.to, stt.Port)
			conn.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: append(match, &expr.Counter{})})
			counters[name] = &hookCounter{conn, chain, match}
		}
		return conn.Flush()
	})
	return counters
}

func (c *hookCounter) packets(t *testing.T, ns namespace) uint64 {
	t.Helper()
	return c.sum(t, ns, false)
}

// dropped counts those of rules that drop.
func (c *hookCounter) dropped(t *testing.T, ns namespace) uint64 {
	t.Helper()
	return c.sum(t, ns, true)
}

func (c *hookCounter) sum(t *testing.T, ns namespace, dropped bool) (n uint64) {
	t.Helper()
	ns.must(t, func() error {
		conn, err := nftables.New()
		if err != nil {
			return err
		}
		rules, err := conn.GetRules(c.chain.Table, c.chain)
		if err != nil {
			return err
		}
		for _, r := range rules {
			if _, drops := r.Exprs[len(r.Exprs)-1].(*expr.Verdict); drops != dropped {
				continue
			}
			for _, e := range r.Exprs {
				if counter, ok := e.(*expr.Counter); ok {
					n += counter.Packets
				}
			}
		}
		return nil
	})
	return n
}

func TestPacketsOfIPSocketsMeetTheHooksOfTheHost(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	for _, test := range []struct {
		sockets Sockets
		ipv6    bool
	}{{SocketsPacket, false}, {SocketsPacket, true}, {SocketsIP, false}, {SocketsIP, true}} {
		t.Run(fmt.Sprintf("%v, IPv6 %v", test.sockets, test.ipv6), func(t *testing.T) {
			s := newScene(t, func(c *Config) {
				c.Sockets = test.sockets
				if test.ipv6 {
					c.Local = netip.MustParseAddr("fd00:99::1")
				}
			})
			e, ns := s.endpoints[1], s.hosts[1]
			counters := hookCounters(t, ns, e.cfg.Local, e.cfg.Remotes[0].Addr)
			s.ping(t, tenant4, 3000)
			for name, c := range counters {
				// The packet sockets' packets come in beside PREROUTING, where the guard stops them.
				want := test.sockets == SocketsIP || name == "prerouting"
				if got := c.packets(t, ns); got > 0 != want {
					t.Errorf("%s: %d packets, and any is %v", name, got, want)
				}
			}

			if test.sockets != SocketsIP {
				return
			}
			// What INPUT drops does not come, and what OUTPUT drops does not go.
			ns.must(t, func() error {
				conn, err := nftables.New()
				if err != nil {
					return err
				}
				for _, name := range []string{"input", "output"} {
					conn.AddRule(&nftables.Rule{
						Table: counters[name].chain.Table, Chain: counters[name].chain, Exprs: append(counters[name].match,
							// Behind the headers of segment, frame, Ethernet, IPv4 and UDP.
							&expr.Payload{DestRegister: 1, Base: expr.PayloadBaseTransportHeader, Offset: 20 + 18 + 14 + 20 + 8, Len: uint32(len(unwanted))},
							&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte(unwanted)},
							&expr.Counter{}, &expr.Verdict{Kind: expr.VerdictDrop}),
					})
				}
				return conn.Flush()
			})
			ends := map[string][2]*net.UDPConn{}
			near, far := s.packetConn(t, 0, tenant4), s.packetConn(t, 1, tenant4)
			ends["input"], ends["output"] = [2]*net.UDPConn{near, far}, [2]*net.UDPConn{far, near}
			for name, c := range ends {
				if _, err := c[0].WriteTo([]byte(unwanted), c[1].LocalAddr()); err != nil {
					t.Fatal(err)
				}
				eventually(t, func() error {
					if counters[name].dropped(t, ns) == 0 {
						return fmt.Errorf("%s has dropped nothing", name)
					}
					return nil
				})
				const fence = "what comes after it"
				if _, err := c[0].WriteTo([]byte(fence), c[1].LocalAddr()); err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 100)
				if n, _, err := c[1].ReadFrom(b); err != nil || string(b[:n]) != fence {
					t.Errorf("%s: got %q, %v", name, b[:n], err)
				}
			}
		})
	}
}

// unwanted is a datagram that the hooks of a test drop; 8 bytes.
const unwanted = "unwanted"

// The other endpoint is a raw socket that sends fragments of the outer packet.
func TestIPSocketsTakeOuterFragmentsPutTogether(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	host, other, tenant := newNamespace(t), newNamespace(t), newNamespace(t)
	connect(t, host, underlayName, other, underlayName)
	const local, peer, context = "10.99.0.1", "10.99.0.2", 100
	host.address(t, underlayName, local+"/24")
	other.address(t, underlayName, peer+"/24")
	e := open(t, host, Config{
		Underlay: underlayName, Local: netip.MustParseAddr(local), Remotes: []Remote{{Addr: netip.MustParseAddr(peer)}}, Sockets: SocketsIP,
		Ports: []Port{{Name: "port0", Peer: tenantName, Kind: KindPacket, ContextID: context}},
	})
	host.give(t, tenantName, tenant)
	tenant.address(t, tenantName)
	run(t, e)
	other.running(t, underlayName)
	host.running(t, underlayName, "port0")
	sender, receiver := newWire(t, other, underlayName), newWire(t, tenant, tenantName)
	to := newWire(t, host, underlayName).mac

	inner := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP, 1), datagram()}, bytes.Repeat([]byte{0x5a}, 1000)}.frame(t)
	whole := outerPackets(t, peer, local, 1, stt.FrameHeader{ContextID: context}, inner, 0)[0]
	const cut = 512 // of the payload, a multiple of 8
	for i, part := range [][]byte{whole[headerLen4 : headerLen4+cut], whole[headerLen4+cut:]} {
		fragment := append(bytes.Clone(whole[:headerLen4]), part...)
		binary.BigEndian.PutUint16(fragment[2:], uint16(len(fragment)))
		binary.BigEndian.PutUint16(fragment[6:], []uint16{0x2000, cut / 8}[i])
		binary.BigEndian.PutUint16(fragment[10:], 0)
		binary.BigEndian.PutUint16(fragment[10:], stt.Checksum(fragment[:headerLen4]))
		sender.send(t, vnetHeader{}, sender.outerFrame(to, fragment))
	}
	receiver.next(t, func(r received) bool { return bytes.Equal(r.Frame, inner) })
}
