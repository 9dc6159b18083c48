package endpoint

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/internal/nstest"
	"sttwall/reason"
	"sttwall/stt"
)

// The other endpoint is played by a raw socket, so that it can say anything.
func TestTheEndpointTakesWhatTheKernelModuleTakes(t *testing.T) {
	if !nstest.Isolate(t) {
		return
	}
	for _, sockets := range []Sockets{SocketsPacket, SocketsIP} {
		t.Run(sockets.String(), func(t *testing.T) { takesWhatTheKernelModuleTakes(t, sockets) })
	}
}

func takesWhatTheKernelModuleTakes(t *testing.T, sockets Sockets) {
	host, other, tenant := newNamespace(t), newNamespace(t), newNamespace(t)
	connect(t, host, underlayName, other, underlayName)
	const local, peer, context = "10.99.0.1", "10.99.0.2", 100
	// One frame is waited for so long; the packets of others may come some time apart.
	const timeout = 3 * time.Second
	host.address(t, underlayName, local+"/24")
	other.address(t, underlayName, peer+"/24")
	e := open(t, host, Config{
		Underlay: underlayName, Local: netip.MustParseAddr(local),
		Remotes: []Remote{{Addr: netip.MustParseAddr(peer), Contexts: []uint64{context, 300}}},
		Ports: []Port{
			{Name: "port0", Peer: tenantName, Kind: KindPacket, ContextID: context, MTU: 3000},
			{Name: "port1", Peer: "tenant1", Kind: KindPacket, ContextID: 200},
			{Name: "port2", Peer: "tenant2", Kind: KindPacket, ContextID: 300, TCI: 42},
		},
		ReassemblyTimeout: timeout, Sockets: sockets,
	})
	host.give(t, tenantName, tenant)
	tenant.address(t, tenantName)
	run(t, e)
	other.running(t, underlayName)
	host.running(t, underlayName, "port0")
	sender, receiver := newWire(t, other, underlayName), newWire(t, tenant, tenantName)
	to := newWire(t, host, underlayName).mac

	id := uint32(0)
	marked := func(n byte, ecn uint8) []byte {
		ip := ip4(layers.IPProtocolUDP, 1)
		ip.TOS = ecn
		return built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip, datagram()}, bytes.Repeat([]byte{n}, 2000)}.frame(t)
	}
	packets := func(h stt.FrameHeader, inner []byte, mtu int) [][]byte {
		id++
		return outerPackets(t, peer, local, id, h, inner, mtu)
	}
	ok := stt.FrameHeader{ContextID: context}
	inner := marked(1, 0)
	const marker = 0xee
	cut := func() [][]byte { return packets(ok, inner, 600) }
	// Whole in one packet, still below the underlay's MTU.
	short := inner[:1000]

	for _, test := range []struct {
		name    string
		packets func() [][]byte
		deliver int
		drop    Drop
		refused map[reason.Reason]uint64
	}{
		{name: "a frame in one packet", packets: func() [][]byte { return packets(ok, short, 0) }, deliver: 1},
		{name: "segments in order", packets: cut, deliver: 1},
		{name: "segments in reverse order", packets: func() [][]byte {
			p := cut()
			for i := range len(p) / 2 {
				p[i], p[len(p)-1-i] = p[len(p)-1-i], p[i]
			}
			return p
		}, deliver: 1},
		{name: "a SYN flag, at which the kernel module does not look", packets: func() [][]byte {
			p := packets(ok, short, 0)
			p[0][33] |= stt.FlagSYN
			return [][]byte{mended(p[0])}
		}, deliver: 1},
		{name: "a wrong data offset, at which it does not look either", packets: func() [][]byte {
			p := packets(ok, short, 0)
			p[0][32] = 8 << 4
			return [][]byte{mended(p[0])}
		}, deliver: 1},
		{name: "a wrong checksum", packets: func() [][]byte {
			p := packets(ok, short, 0)
			p[0][len(p[0])-1] ^= 1
			return p
		}, refused: map[reason.Reason]uint64{reason.SegmentChecksum: 1}},
		{name: "another source", packets: func() [][]byte {
			id++
			return outerPackets(t, "10.99.0.3", local, id, ok, short, 0)
		}, drop: DropUnknownRemote},
		{name: "an unknown Context ID", packets: func() [][]byte { return packets(stt.FrameHeader{ContextID: 7}, short, 0) }, drop: DropUnknownContext},
		{name: "a Context ID that the remote does not have", packets: func() [][]byte { return packets(stt.FrameHeader{ContextID: 200}, short, 0) }, drop: DropUnknownRemote},
		{name: "a VLAN that no port has", packets: func() [][]byte { return packets(stt.FrameHeader{ContextID: 300, TCI: 43}, short, 0) }, drop: DropUnknownContext},
		{name: "another version", packets: func() [][]byte { return packets(stt.FrameHeader{Version: 1, ContextID: context}, short, 0) }, drop: DropFrameVersion},
		{name: "an L4 offset inside the IP header", packets: func() [][]byte {
			return packets(stt.FrameHeader{Flags: 0x06, L4Offset: 20, ContextID: context}, short, 0)
		}, drop: DropFrameOffload},
		{name: "an overlap", packets: func() [][]byte {
			p := cut()
			return [][]byte{p[0], p[1], p[1], p[2], p[3]}
		}, refused: map[reason.Reason]uint64{reason.SegmentDuplicate: 5}},
		{name: "a CE mark on a frame with ECN", packets: func() [][]byte {
			p := packets(ok, marked(1, 2)[:1000], 0)
			p[0][1] |= 3
			return [][]byte{mended(p[0])}
		}, deliver: 1},
		{name: "a CE mark on a frame without ECN, on a later segment", packets: func() [][]byte {
			p := cut()
			p[2][1] |= 3
			mended(p[2])
			return p
		}, drop: DropCongestion},
		{name: "a frame longer than the tenant's MTU", packets: func() [][]byte {
			return packets(ok, append(marked(1, 0), make([]byte, 2000)...), 600)
		}, drop: DropDeliver},
		{name: "a frame that is never complete", packets: func() [][]byte { return cut()[1:] },
			refused: map[reason.Reason]uint64{reason.FrameTimeout: 3}},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := e.Counters()
			for _, p := range test.packets() {
				sender.send(t, vnetHeader{}, sender.outerFrame(to, p))
			}
			sender.send(t, vnetHeader{}, sender.outerFrame(to, packets(ok, marked(marker, 0)[:100], 0)[0]))
			got := 0
			receiver.next(t, func(r received) bool {
				if len(r.Frame) < 100 || !bytes.Equal(r.Frame[:6], macB) {
					return false
				}
				if r.Frame[99] != marker {
					got++
				}
				return r.Frame[99] == marker
			})
			want := before
			for why, n := range test.refused {
				want.Refused[why] += n
			}
			if test.drop != DropNone {
				want.Drops[test.drop]++
			}
			eventually(t, func() error {
				after := e.Counters()
				// What the tenants' stacks say has nowhere to go.
				for _, d := range []Drop{DropNoRemote, DropNoNextHop} {
					after.Drops[d] = want.Drops[d]
				}
				if got != test.deliver || after.Drops != want.Drops || after.Refused != want.Refused {
					return fmt.Errorf("delivered %d, want %d; dropped %v, want %v; refused %v, want %v",
						got, test.deliver, after.Drops, want.Drops, after.Refused, want.Refused)
				}
				return nil
			})
		})
	}
}

// eventually checks again and again; for what has no event to wait for.
func eventually(t testing.TB, check func() error) {
	t.Helper()
	tick, end := time.NewTicker(time.Millisecond), time.After(patience)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-end:
			t.Fatal(err)
		}
	}
}
