package endpoint

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/vishvananda/netlink"

	"sttwall/internal/nstest"
)

func TestAFrameIsForThePortOfItsVLAN(t *testing.T) {
	access := &port{Port: Port{Name: "access", ContextID: 1, TCI: 0x102a}}
	trunk := &port{Port: Port{Name: "trunk", ContextID: 1}}
	only := &port{Port: Port{Name: "only", ContextID: 2, TCI: 0x0007}}
	a, b := &remote{}, &remote{contexts: []uint64{2}}
	networks := newNetworks([]*port{access, trunk, only}, []*remote{a, b}, 8)
	for _, test := range []struct {
		context uint64
		tci     uint16
		want    *port
	}{
		{1, 0x102a, access}, {1, 0x002a, access}, {1, 0xf02a, access},
		{1, 0, trunk}, {1, 0x102b, trunk}, {1, 0x1000, trunk},
		{2, 0x0007, only}, {2, 0x1007, only}, {2, 0, nil}, {2, 0x1008, nil},
	} {
		if got := networks[test.context].portFor(test.tci); got != test.want {
			t.Errorf("context %d, tci %#x: got %v, want %v", test.context, test.tci, got, test.want)
		}
	}
	if n := len(networks[1].remotes); n != 1 {
		t.Errorf("context 1 has %d remotes, want 1", n)
	}
	if n := len(networks[2].remotes); n != 2 {
		t.Errorf("context 2 has %d remotes, want 2", n)
	}
}

// Frames with tags of the tenants' own, and with work left open, from an
// access port to a trunk and back.
func TestTenantsTagsCrossTheTunnel(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	const context = 5
	kinds := []Kind{KindPacket, KindTAP}
	for _, kind := range kinds {
		t.Run(kind.String(), func(t *testing.T) {
			if kind == KindTAP {
				needTAP(t)
			}
			port := func(name string, tci uint16) Port {
				p := Port{Name: name, Kind: kind, ContextID: context, TCI: tci}
				if kind == KindPacket {
					p.Peer = "t" + name
				}
				return p
			}
			var hosts, tenants [2]namespace
			var endpoints [2]*Endpoint
			for i := range hosts {
				hosts[i], tenants[i] = newNamespace(t), newNamespace(t)
			}
			connect(t, hosts[0], underlayName, hosts[1], underlayName)
			wires := map[string]*wire{}
			for i, ports := range [][]Port{{port("access", 0x002a), port("trunk", 0)}, {port("far", 0)}} {
				local := netip.AddrFrom4([4]byte{10, 99, 0, byte(1 + i)})
				hosts[i].address(t, underlayName, local.String()+"/24")
				endpoints[i] = open(t, hosts[i], Config{
					Underlay: underlayName, Local: local, Remotes: []Remote{{Addr: netip.AddrFrom4([4]byte{10, 99, 0, byte(2 - i)})}}, Ports: ports,
				})
				for _, p := range endpoints[i].Ports() {
					hosts[i].give(t, p.Tenant, tenants[i])
					tenants[i].address(t, p.Tenant)
					tenants[i].running(t, p.Tenant)
					if p.Kind == KindPacket {
						hosts[i].running(t, p.Name)
					}
					wires[p.Name] = newWire(t, tenants[i], p.Tenant)
				}
			}
			for i := range endpoints {
				run(t, endpoints[i])
			}
			for i := range endpoints {
				<-endpoints[i].Ready()
			}

			inner := []gopacket.SerializableLayer{ip4(layers.IPProtocolTCP, 1), segment(0)}
			frame := func(n int, tags ...gopacket.SerializableLayer) ([]byte, vnetHeader) {
				etherType := layers.EthernetTypeIPv4
				if len(tags) > 0 {
					etherType = layers.EthernetTypeDot1Q
				}
				b := built{[]gopacket.SerializableLayer{ethernet(etherType)}, append([]byte{byte(n)}, randomBytes(4000)...)}
				b.layers = append(append(b.layers, tags...), inner...)
				return b.partial(t, gsoTCPv4, 1000)
			}
			next := layers.EthernetTypeIPv4
			for n, test := range []struct {
				from, to string
				tags     []gopacket.SerializableLayer
				want     vlanTag
			}{
				{"access", "far", nil, vlanTag{true, etherTypeVLAN, 0x002a}},
				{"trunk", "far", nil, vlanTag{}},
				{"trunk", "far", []gopacket.SerializableLayer{tag(0xa007, next)}, vlanTag{true, etherTypeVLAN, 0xa007}},
				{"far", "access", []gopacket.SerializableLayer{tag(0x002a, next)}, vlanTag{}},
				{"far", "trunk", []gopacket.SerializableLayer{tag(0x0007, next)}, vlanTag{true, etherTypeVLAN, 0x0007}},
				{"far", "trunk", nil, vlanTag{}},
			} {
				in, v := frame(n, test.tags...)
				wires[test.from].send(t, v, in)
				got := wires[test.to].next(t, func(r received) bool { return bytes.Equal(r.Frame[:6], macB) })
				if got.Tag.tci == 0 {
					got.Tag = vlanTag{}
				}
				want, wantV := frame(n)
				if diff := cmp.Diff(test.want, got.Tag, cmp.AllowUnexported(vlanTag{})); diff != "" || !bytes.Equal(got.Frame, want) {
					t.Errorf("%s to %s: %d bytes, want %d unchanged; tag (-want +got):\n%s", test.from, test.to, len(got.Frame), len(want), diff)
				}
				if got.V.gsoType != wantV.gsoType || got.V.gsoSize != wantV.gsoSize || got.V.checksumStart != wantV.checksumStart {
					t.Errorf("%s to %s: virtio_net_hdr %+v, want %+v", test.from, test.to, got.V, wantV)
				}
			}
		})
	}
}

// Three endpoints on one wire: what is for a tenant that was heard goes to
// its endpoint alone.
func TestAnEndpointLearnsWhoIsBehindWhom(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	middle := newNamespace(t)
	middle.must(t, func() error {
		attributes := netlink.NewLinkAttrs()
		attributes.Name = "bridge0"
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attributes})
	})
	middle.address(t, "bridge0")
	address := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 99, 0, byte(1 + i)}) }
	var endpoints [3]*Endpoint
	var wires [3]*wire
	for i := range endpoints {
		host, tenant := newNamespace(t), newNamespace(t)
		name := fmt.Sprintf("to%d", i)
		connect(t, middle, name, host, underlayName)
		middle.must(t, func() error {
			bridge, err := netlink.LinkByName("bridge0")
			if err != nil {
				return err
			}
			link, err := netlink.LinkByName(name)
			if err != nil {
				return err
			}
			return netlink.LinkSetMaster(link, bridge)
		})
		middle.address(t, name)
		host.address(t, underlayName, address(i).String()+"/24")
		endpoints[i] = open(t, host, Config{
			Underlay: underlayName, Local: address(i),
			Remotes: []Remote{{Addr: address((i + 1) % 3)}, {Addr: address((i + 2) % 3)}},
			Ports:   []Port{{Name: "port0", Peer: tenantName, Kind: KindPacket, ContextID: 9}},
		})
		host.give(t, tenantName, tenant)
		tenant.address(t, tenantName)
		tenant.running(t, tenantName)
		host.running(t, "port0")
		wires[i] = newWire(t, tenant, tenantName)
	}
	for _, e := range endpoints {
		run(t, e)
	}
	for _, e := range endpoints {
		<-e.Ready()
	}
	station := func(i int) net.HardwareAddr { return net.HardwareAddr{2, 0, 0, 0, 1, byte(i)} }
	say := func(n byte, from, to int) []byte {
		frame := append(append(append([]byte{}, station(to)...), station(from)...), 0x88, 0xb5, n)
		return append(frame, make([]byte, 50)...)
	}
	is := func(n byte) func(received) bool {
		return func(r received) bool { return bytes.Equal(r.Frame[12:15], []byte{0x88, 0xb5, n}) }
	}
	hears := func(i int, n byte) { wires[i].next(t, is(n)) }

	wires[0].send(t, vnetHeader{}, say(1, 0, 1)) // nobody knows station 1: to all
	hears(1, 1)
	hears(2, 1)
	wires[1].send(t, vnetHeader{}, say(2, 1, 0)) // station 0 was heard
	hears(0, 2)
	wires[0].send(t, vnetHeader{}, say(3, 0, 1)) // and now station 1
	hears(1, 3)
	// A frame to all, so that station 2 has certainly heard what it was to hear.
	broadcast := say(4, 0, 1)
	copy(broadcast, []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	wires[0].send(t, vnetHeader{}, broadcast)
	hears(1, 4)
	var heard []byte
	wires[2].next(t, func(r received) bool {
		if bytes.Equal(r.Frame[12:14], []byte{0x88, 0xb5}) { // not what the stacks say
			heard = append(heard, r.Frame[14])
		}
		return is(4)(r)
	})
	if !bytes.Equal(heard, []byte{4}) {
		t.Errorf("station 2 heard %v after the first, want only 4", heard)
	}
	at := endpoints[0].networks[9].macs.find(macKey{mac: [6]byte(station(1))})
	if at == nil || at.addr != address(1) {
		t.Errorf("endpoint 0 looks for station 1 behind %+v, want %v", at, address(1))
	}
}
