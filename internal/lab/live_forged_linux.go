package lab

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"time"

	"sttwall/stt"
)

// scanned are the ports that the port scan tries.
var scanned = []uint16{
	21, 22, 23, 25, 53, 80, 110, 111, 135, 139, 143, 389, 443, 445, 465, 514, 587, 631, 636, 873, 993, 995, 1080, 1433, 1521, 1723,
	2049, 2375, 3128, 3306, 3389, 5060, 5432, 5900, 5985, 6379, 6443, 7001, 8000, 8080, 8443, 8888, 9000, 9092, 9200, 10250, 11211, 27017,
}

// startForgers starts what no kernel would send: somebody at endpoint A makes
// frames by hand.
func (t *traffic) startForgers() {
	next := 0
	t.act(120*time.Millisecond, func(_ context.Context, r *rand.Rand) {
		port := scanned[next]
		if next++; next == len(scanned) {
			next = 0
			t.wait(5 * time.Second)
		}
		from := uint16(41000 + r.IntN(1000))
		t.inject(t.forge(r, ContextAcme, innerSegment(netip.AddrPortFrom(liveRogue, from), netip.AddrPortFrom(liveStorage, port),
			tcpHeader{seq: r.Uint32(), flags: stt.FlagSYN, window: 1024}, nil)))
	})
	liars := []func(*rand.Rand, *crafted) [][]byte{
		lieAboutL4Offset, unknownContext, lieAboutL4Offset, segmentWithSYN, lieAboutL4Offset, overlap, strangeVersion, lieAboutL4Offset,
		spoofedEndpoint, neverWhole,
	}
	at := 0
	t.act(1300*time.Millisecond, func(_ context.Context, r *rand.Rand) {
		inner := innerTCP(netip.AddrPortFrom(liveRogue, 40666), netip.AddrPortFrom(liveWeb, portHTTP), make([]byte, 2000))
		partialTCP(inner, liveRogue, liveWeb)
		c := t.forge(r, ContextAcme, inner)
		c.header.Flags, c.header.L4Offset = stt.FlagChecksumPartial|stt.FlagIPv4|stt.FlagTCP, etherHeaderLen+20
		for _, packet := range liars[at](r, c) {
			if t.lab.Inject(EndpointA, packet, Offload{}) != nil {
				return
			}
		}
		at = (at + 1) % len(liars)
	})
}

// forge makes a frame from endpoint A to endpoint B.
func (t *traffic) forge(r *rand.Rand, context uint64, inner []byte) *crafted {
	return &crafted{
		path: stt.Path{
			Src: OuterA, Dst: OuterB, SrcPort: uint16(49152 + r.IntN(16384)), DstPort: stt.Port, TTL: 64, DontFragment: true,
		},
		id: r.Uint32(), header: stt.FrameHeader{ContextID: context}, inner: inner, mtu: underlayMTU,
	}
}

func (t *traffic) inject(c *crafted) {
	packets, err := c.packets()
	if err != nil {
		return
	}
	for _, packet := range packets {
		if t.lab.Inject(EndpointA, packet, Offload{}) != nil {
			return
		}
	}
}

// inPackets returns the frame as a sender would cut it.
func inPackets(c *crafted) [][]byte {
	packets, err := c.packets()
	if err != nil {
		return nil
	}
	return packets
}

func lieAboutL4Offset(_ *rand.Rand, c *crafted) [][]byte {
	c.header.L4Offset = etherHeaderLen + 40
	return inPackets(c)
}

func unknownContext(_ *rand.Rand, c *crafted) [][]byte {
	c.header.ContextID = 666
	return inPackets(c)
}

func strangeVersion(_ *rand.Rand, c *crafted) [][]byte {
	c.header.Version = 1
	return inPackets(c)
}

func segmentWithSYN(_ *rand.Rand, c *crafted) [][]byte {
	packets := inPackets(c)
	for i := range packets {
		packets[i] = alter(packets[i], func(_, tcp []byte) { tcp[13] = stt.FlagSYN })
	}
	return packets
}

// overlap has the second segment write over a part of the first.
func overlap(_ *rand.Rand, c *crafted) [][]byte {
	return [][]byte{c.piece(0, fullSegment), c.piece(100, 100+fullSegment)}
}

// spoofedEndpoint claims to be another endpoint.
func spoofedEndpoint(_ *rand.Rand, c *crafted) [][]byte {
	c.path.Src = netip.MustParseAddr("10.47.1.66")
	return inPackets(c)
}

// neverWhole leaves the last segment out.
func neverWhole(_ *rand.Rand, c *crafted) [][]byte {
	packets := inPackets(c)
	return packets[:max(0, len(packets)-1)]
}
