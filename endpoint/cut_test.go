package endpoint

import (
	"bytes"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

// Each piece must be, byte for byte, what gopacket encodes for it, once its
// checksum is finished.
func TestLargeFramesAreCutIntoTheSegmentsThatTheirSenderMeant(t *testing.T) {
	const mss = 1000
	payload := randomBytes(3*mss + 117)
	v4 := func(at, before int, flags ...string) built {
		return built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 0xffff+uint16(before)), segment(at, flags...)}, nil}
	}
	v6 := func(at, _ int, flags ...string) built {
		return built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolTCP), segment(at, flags...)}, nil}
	}
	tagged := func(at, before int, flags ...string) built {
		b := v4(at, before, flags...)
		return built{slices.Concat([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeQinQ), tag(5, layers.EthernetTypeIPv4)}, b.layers[1:]), nil}
	}
	udp4 := func(_, before int, _ ...string) built {
		return built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP, 0xffff+uint16(before)), datagram()}, nil}
	}
	udp6 := func(_, _ int, _ ...string) built {
		return built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), datagram()}, nil}
	}
	for _, test := range []struct {
		name    string
		packet  func(at, before int, flags ...string) built
		gsoType uint8
		limit   int // longest inner frame
		size    int // payload of each piece
		flags   uint8
		mss     [4]uint16
	}{
		{"IPv4 frames too long for one packet, in two", v4, gsoTCPv4, 54 + 2*mss + 500, 2 * mss, 0x0e, [4]uint16{mss, mss}},
		{"IPv6 frames too long for one packet, in two", v6, gsoTCPv6, 74 + 3*mss, 3 * mss, 0x0a, [4]uint16{mss, 0}},
		{"frames with a tag inside, in segments", tagged, gsoTCPv4, roomy, mss, 0, [4]uint16{}},
		{"UDP trains over IPv4, in datagrams", udp4, gsoUDPL4, roomy, mss, 0x06, [4]uint16{}},
		{"UDP trains over IPv6, in datagrams", udp6, gsoUDPL4, roomy, mss, 0x02, [4]uint16{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			whole := test.packet(0, 0, "PSH", "FIN", "CWR")
			whole.payload = payload
			frame, v := whole.partial(t, test.gsoType, mss)
			got, drop := encapsulateAll(Port{}, test.limit, frame, v, vlanTag{})
			if drop != DropNone {
				t.Fatalf("dropped as %v", drop)
			}
			n := 0
			for at := 0; at < len(payload); at += test.size {
				end := min(at+test.size, len(payload))
				var flags []string
				if at == 0 {
					flags = append(flags, "CWR")
				}
				if end == len(payload) {
					flags = append(flags, "PSH", "FIN")
				}
				piece := test.packet(at, at/mss, flags...)
				piece.payload = payload[at:end]
				if n >= len(got) {
					t.Fatalf("%d pieces, want more", len(got))
				}
				g := got[n]
				if g.Header.Flags != test.flags || g.Header.MSS != test.mss[n] {
					t.Errorf("piece %d: flags %#x, mss %d; want %#x, %d", n, g.Header.Flags, g.Header.MSS, test.flags, test.mss[n])
				}
				if g.Header.ChecksumPartial() {
					var p innerPacket
					p.parse(g.Frame)
					if int(g.Header.L4Offset) != p.l4 {
						t.Errorf("piece %d: L4 offset %d, want %d", n, g.Header.L4Offset, p.l4)
					}
					finishChecksum(g.Frame, p.l4, p.checksumAt())
				}
				if want := piece.frame(t); !bytes.Equal(g.Frame, want) {
					t.Errorf("piece %d:\n%x\nwant\n%x", n, g.Frame[:min(80, len(g.Frame))], want[:min(80, len(want))])
				}
				n++
			}
			if len(got) != n {
				t.Errorf("%d pieces, want %d", len(got), n)
			}
		})
	}
}
