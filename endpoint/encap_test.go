package endpoint

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/stt"
)

// emitted is a copy of what an encapsulator emitted.
type emitted struct {
	Header stt.FrameHeader
	Frame  []byte
	ECN    uint8
}

// encapsulateAll runs one frame through an encapsulator.
func encapsulateAll(port Port, limit int, frame []byte, v vnetHeader, tag vlanTag) (all []emitted, drop Drop) {
	c := newEncapsulator(&port, limit, maphash.MakeSeed(), func(o *outgoing) {
		all = append(all, emitted{o.header, bytes.Clone(o.buf[o.start:o.end]), o.ecn})
	})
	buf := append(make([]byte, headroom), frame...)
	return all, c.encapsulate(buf, headroom, len(buf), v, tag)
}

const roomy = 65473

func TestEncapsulationMarksWhatTheTenantsKernelLeftUndone(t *testing.T) {
	payload := randomBytes(5000)
	tcp4 := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 1), segment(0)}, payload}
	tcp6 := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolTCP), segment(0)}, payload}
	udp4 := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP, 1), datagram()}, payload[:100]}
	udp6 := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), datagram()}, payload}
	options := ip4(layers.IPProtocolTCP, 1)
	options.Options = []layers.IPv4Option{{OptionType: 148, OptionLength: 4, OptionData: []byte{0, 0}}}
	withOptions := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), options, segment(0)}, payload[:10]}

	for _, test := range []struct {
		name    string
		packet  built
		gsoType uint8
		gsoSize int
		want    stt.FrameHeader
	}{
		{"TCP over IPv4 to be cut", tcp4, gsoTCPv4, 1448, stt.FrameHeader{Flags: 0x0e, L4Offset: 34, MSS: 1448}},
		{"TCP over IPv4 to be cut, with ECN", tcp4, gsoTCPv4 | gsoECN, 1448, stt.FrameHeader{Flags: 0x0e, L4Offset: 34, MSS: 1448}},
		{"TCP over IPv4 in one segment", tcp4, gsoNone, 0, stt.FrameHeader{Flags: 0x0e, L4Offset: 34}},
		{"TCP over IPv4 that is no longer than its segment size", tcp4, gsoTCPv4, 5000, stt.FrameHeader{Flags: 0x0e, L4Offset: 34}},
		{"TCP over IPv4 with options", withOptions, gsoNone, 0, stt.FrameHeader{Flags: 0x0e, L4Offset: 38}},
		{"TCP over IPv6 to be cut", tcp6, gsoTCPv6, 1428, stt.FrameHeader{Flags: 0x0a, L4Offset: 54, MSS: 1428}},
		{"UDP over IPv4", udp4, gsoNone, 0, stt.FrameHeader{Flags: 0x06, L4Offset: 34}},
		{"UDP over IPv6", udp6, gsoNone, 0, stt.FrameHeader{Flags: 0x02, L4Offset: 54}},
	} {
		t.Run(test.name, func(t *testing.T) {
			frame, v := test.packet.partial(t, test.gsoType, test.gsoSize)
			test.want.ContextID = 100
			got, drop := encapsulateAll(Port{ContextID: 100}, roomy, frame, v, vlanTag{})
			if diff := cmp.Diff([]emitted{{Header: test.want, Frame: frame}}, got); diff != "" || drop != DropNone {
				t.Errorf("dropped as %v; (-want +got):\n%s", drop, diff)
			}
		})
	}
}

func TestEncapsulationLeavesFinishedFramesPlain(t *testing.T) {
	tcp := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 1), segment(0)}, randomBytes(10)}
	arp := append(slices.Concat(macB, macA, []byte{8, 6}), make([]byte, 28)...)
	padded := append(tcp.frame(t), 0, 0, 0, 0)
	for _, test := range []struct {
		name  string
		frame []byte
		v     vnetHeader
	}{
		{"ARP", arp, vnetHeader{}},
		{"TCP with its checksum", tcp.frame(t), vnetHeader{}},
		{"TCP that the kernel verified", tcp.frame(t), vnetHeader{flags: vnetDataValid}},
		{"TCP with padding behind it", padded, vnetHeader{}},
		{"a frame of nothing but a header", arp[:14], vnetHeader{}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, drop := encapsulateAll(Port{ContextID: 100}, roomy, test.frame, test.v, vlanTag{})
			want := []emitted{{Header: stt.FrameHeader{ContextID: 100}, Frame: test.frame}}
			if diff := cmp.Diff(want, got); diff != "" || drop != DropNone {
				t.Errorf("dropped as %v; (-want +got):\n%s", drop, diff)
			}
		})
	}
}

func TestEncapsulationFinishesChecksumsThatTheReceiverCouldNot(t *testing.T) {
	inner := []gopacket.SerializableLayer{ip4(layers.IPProtocolUDP, 1), datagram()}
	tagged := built{append([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeQinQ), tag(7, layers.EthernetTypeIPv4)}, inner...), randomBytes(333)}
	plain := built{append([]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4)}, inner...), randomBytes(333)}
	for _, test := range []struct {
		name    string
		packet  built
		padding int
	}{
		{"behind an 802.1ad tag", tagged, 0},
		{"in front of padding", plain, 6},
	} {
		t.Run(test.name, func(t *testing.T) {
			want := append(test.packet.frame(t), make([]byte, test.padding)...)
			frame, v := test.packet.partial(t, gsoNone, 0)
			frame = append(frame, make([]byte, test.padding)...)
			got, drop := encapsulateAll(Port{ContextID: 1}, roomy, frame, v, vlanTag{})
			if diff := cmp.Diff([]emitted{{Header: stt.FrameHeader{ContextID: 1}, Frame: want}}, got); diff != "" || drop != DropNone {
				t.Errorf("dropped as %v; (-want +got):\n%s", drop, diff)
			}
		})
	}
}

func TestOneTagTravelsInTheFrameHeader(t *testing.T) {
	inner := []gopacket.SerializableLayer{ip4(layers.IPProtocolTCP, 1), segment(0)}
	packet := func(outer ...gopacket.SerializableLayer) built {
		return built{slices.Concat(outer, inner), randomBytes(3000)}
	}
	untagged := packet(ethernet(layers.EthernetTypeIPv4))
	tagged := packet(ethernet(layers.EthernetTypeDot1Q), tag(0xa02a, layers.EthernetTypeIPv4))
	double := packet(ethernet(layers.EthernetTypeQinQ), tag(5, layers.EthernetTypeIPv4))
	const mss = 1400
	partial := stt.FrameHeader{Flags: 0x0e, L4Offset: 34, MSS: mss}

	for _, test := range []struct {
		name  string
		port  Port
		in    built
		taken vlanTag // by the kernel
		want  stt.FrameHeader
		out   built
		parts int
	}{
		{"none on an untagged frame of a trunk", Port{}, untagged, vlanTag{}, partial, untagged, 1},
		{"that of the port, as it is", Port{TCI: 0x0007}, untagged, vlanTag{}, withTCI(partial, 0x0007), untagged, 1},
		{"that of the frame on a trunk", Port{}, tagged, vlanTag{}, withTCI(partial, 0xb02a), untagged, 1},
		{"that which the kernel took off on a trunk", Port{}, untagged, vlanTag{true, etherTypeVLAN, 0xa02a}, withTCI(partial, 0xb02a), untagged, 1},
		{"VLAN 0 on a trunk", Port{}, untagged, vlanTag{true, etherTypeVLAN, 0}, withTCI(partial, 0x1000), untagged, 1},
		{"but not an 802.1ad tag, which stays, and is cut here", Port{}, untagged, vlanTag{true, etherTypeQinQ, 5}, stt.FrameHeader{}, double, 3},
		{"but not a second one, which stays, and is cut here", Port{TCI: 0x1009}, untagged, vlanTag{true, etherTypeVLAN, 0xa02a}, stt.FrameHeader{TCI: 0x1009}, tagged, 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			frame, v := test.in.partial(t, gsoTCPv4, mss)
			got, drop := encapsulateAll(test.port, roomy, frame, v, test.taken)
			if drop != DropNone || len(got) != test.parts {
				t.Fatalf("dropped as %v, %d frames; want %d", drop, len(got), test.parts)
			}
			for _, e := range got {
				if diff := cmp.Diff(test.want, e.Header); diff != "" {
					t.Errorf("header (-want +got):\n%s", diff)
				}
			}
			want, _ := test.out.partial(t, gsoTCPv4, mss)
			if test.parts == 1 && !bytes.Equal(got[0].Frame, want) {
				t.Errorf("frame\n%x\nwant\n%x", got[0].Frame[:60], want[:60])
			}
			if headers := len(want) - 3000; !bytes.Equal(got[0].Frame[:headers-24-16], want[:headers-24-16]) {
				t.Errorf("link header %x, want %x", got[0].Frame[:headers-40], want[:headers-40])
			}
		})
	}
}

func withTCI(h stt.FrameHeader, tci uint16) stt.FrameHeader {
	h.TCI = tci
	return h
}

func TestFramesThatCannotBeEncapsulatedAreDropped(t *testing.T) {
	tcp := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 1), segment(0)}, randomBytes(3000)}
	udp := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP, 1), datagram()}, randomBytes(3000)}
	good, gso := tcp.partial(t, gsoTCPv4, 1000)
	train, udpGSO := udp.partial(t, gsoUDPL4, 1000)
	with := func(v vnetHeader, change func(*vnetHeader)) vnetHeader {
		change(&v)
		return v
	}
	shortOffset := bytes.Clone(good)
	shortOffset[34+12] = 4 << 4
	for _, test := range []struct {
		name  string
		frame []byte
		v     vnetHeader
		limit int
		want  Drop
	}{
		{"without a whole Ethernet header", good[:13], vnetHeader{}, roomy, DropTenantMalformed},
		{"with a tag that is cut off", slices.Concat(good[:12], []byte{0x81, 0, 0, 1}), vnetHeader{}, roomy, DropTenantMalformed},
		{"with a checksum behind the end", good[:60], vnetHeader{flags: vnetNeedsChecksum, checksumStart: 50, checksumOffset: 16}, roomy, DropTenantMalformed},
		{"with a checksum in front of the tag", slices.Concat(good[:12], []byte{0x81, 0, 0, 1, 8, 0}), vnetHeader{flags: vnetNeedsChecksum, checksumStart: 2}, roomy, DropTenantMalformed},
		{"TCP whose data offset is too small", shortOffset, gso, roomy, DropTenantMalformed},
		{"too long without GSO", good, vnetHeader{}, 2000, DropTooLong},
		{"too long with a segment size as long", good, with(gso, func(v *vnetHeader) { v.gsoSize = 2500 }), 2000, DropTooLong},
		{"a UDP train with too long datagrams", train, with(udpGSO, func(v *vnetHeader) { v.gsoSize = 2500 }), 2000, DropTooLong},
		{"GSO inside another tunnel", good, with(gso, func(v *vnetHeader) { v.checksumStart = 84 }), roomy, DropTenantOffload},
		{"GSO without a partial checksum", good, with(gso, func(v *vnetHeader) { v.flags = 0 }), roomy, DropTenantOffload},
		{"GSO without a segment size", good, with(gso, func(v *vnetHeader) { v.gsoSize = 0 }), roomy, DropTenantOffload},
		{"GSO of TCP that is UDP", train, with(udpGSO, func(v *vnetHeader) { v.gsoType = gsoTCPv4 }), roomy, DropTenantOffload},
		{"GSO of UDP that is TCP", good, with(gso, func(v *vnetHeader) { v.gsoType = gsoUDPL4 }), roomy, DropTenantOffload},
		{"GSO of UDP by fragmentation", train, with(udpGSO, func(v *vnetHeader) { v.gsoType = gsoUDP }), roomy, DropTenantOffload},
		{"GSO with padding", append(bytes.Clone(good), 0), gso, roomy, DropTenantOffload},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, drop := encapsulateAll(Port{}, test.limit, test.frame, test.v, vlanTag{})
			if drop != test.want || len(got) != 0 {
				t.Errorf("%d frames, dropped as %v; want none, %v", len(got), drop, test.want)
			}
		})
	}
}

func TestInnerECNIsCopiedOutside(t *testing.T) {
	for inner, want := range map[uint8]uint8{0: 0, 1: 1, 2: 2, 3: 2} {
		for _, version := range []int{4, 6} {
			b := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP, 1), datagram()}, nil}
			b.layers[1].(*layers.IPv4).TOS = 0xb8 | inner
			if version == 6 {
				b.layers[0], b.layers[1] = ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP)
				b.layers[1].(*layers.IPv6).TrafficClass = 0xb8 | inner
			}
			got, _ := encapsulateAll(Port{}, roomy, b.frame(t), vnetHeader{}, vlanTag{})
			if len(got) != 1 || got[0].ECN != want {
				t.Errorf("IPv%d with ECN %d: got %+v, want one frame with ECN %d", version, inner, got, want)
			}
		}
	}
}

func TestTheSourcePortBelongsToTheInnerFlow(t *testing.T) {
	seed := maphash.MakeSeed()
	port := func(frame []byte) (port uint16) {
		c := newEncapsulator(&Port{}, roomy, seed, func(o *outgoing) { port = o.srcPort })
		buf := append(make([]byte, headroom), frame...)
		c.encapsulate(buf, headroom, len(buf), vnetHeader{}, vlanTag{})
		return port
	}
	seen := map[uint16]bool{}
	for flow := range 64 {
		first := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 1), segment(0)}, nil}
		first.layers[2].(*layers.TCP).SrcPort = layers.TCPPort(1000 + flow)
		second := first
		second.payload = randomBytes(100)
		a, b := port(first.frame(t)), port(second.frame(t))
		if a != b || a == 0 {
			t.Errorf("flow %d: source ports %d and %d, want the same one, not 0", flow, a, b)
		}
		seen[a] = true
	}
	if len(seen) < 60 {
		t.Errorf("64 flows have %d source ports", len(seen))
	}

	fragment := ip4(layers.IPProtocolUDP, 9)
	fragment.Flags = layers.IPv4MoreFragments
	later := *fragment
	later.Flags, later.FragOffset = 0, 100
	link := ethernet(layers.EthernetTypeIPv4)
	a := port(built{[]gopacket.SerializableLayer{link, fragment}, randomBytes(800)}.frame(t))
	b := port(built{[]gopacket.SerializableLayer{link, &later}, randomBytes(100)}.frame(t))
	if a != b {
		t.Errorf("fragments of one packet have source ports %d and %d, want the same", a, b)
	}
}

func TestEncapsulationAllocatesNothing(t *testing.T) {
	tcp := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolTCP), segment(0)}, randomBytes(3000)}
	frame, v := tcp.partial(t, gsoTCPv6, 1000)
	c := newEncapsulator(&Port{}, roomy, maphash.MakeSeed(), func(*outgoing) {})
	small := newEncapsulator(&Port{}, 2500, maphash.MakeSeed(), func(*outgoing) {})
	buf := append(make([]byte, headroom), frame...)
	for name, c := range map[string]*encapsulator{"whole": c, "cut": small} {
		if n := testing.AllocsPerRun(100, func() { c.encapsulate(buf, headroom, len(buf), v, vlanTag{}) }); n != 0 {
			t.Errorf("%s: %v allocations, want none", name, n)
		}
	}
}

func BenchmarkEncapsulate(b *testing.B) {
	for _, size := range []int{100, 1500, 64000} {
		b.Run(fmt.Sprintf("frame=%d", size), func(b *testing.B) {
			tcp := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 1), segment(0)}, randomBytes(size - 54)}
			frame, v := tcp.partial(b, gsoTCPv4, 1448)
			buf := append(make([]byte, headroom), frame...)
			c := newEncapsulator(&Port{}, roomy, maphash.MakeSeed(), func(*outgoing) {})
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				c.encapsulate(buf, headroom, len(buf), v, vlanTag{})
			}
		})
	}
}

// FuzzEncapsulate: whatever a kernel hands over, every frame that comes out
// fits, can be decapsulated, and has all the bytes that went in, if it is whole.
func FuzzEncapsulate(f *testing.F) {
	tcp := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 1), segment(0)}, randomBytes(3000)}
	frame, v := tcp.partial(f, gsoTCPv4, 1000)
	header := make([]byte, vnetHeaderLen)
	v.put(header)
	f.Add(header, frame, uint16(0), uint16(0), uint16(2000))
	f.Add(header, frame, uint16(0x1005), uint16(etherTypeQinQ), uint16(60000))
	udp := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeDot1Q), tag(9, layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP), datagram()}, randomBytes(3000)}
	frame, v = udp.partial(f, gsoUDPL4, 500)
	header = make([]byte, vnetHeaderLen)
	v.put(header)
	f.Add(header, frame, uint16(0), uint16(0), uint16(2000))
	f.Fuzz(func(t *testing.T, header, frame []byte, tci, etherType, limit uint16) {
		if len(header) < vnetHeaderLen || len(frame) > maxRead {
			return
		}
		var v vnetHeader
		v.decode(header)
		frames := 0
		c := newEncapsulator(&Port{TCI: tci}, int(limit), maphash.MakeSeed(), func(o *outgoing) {
			frames++
			inner := o.buf[o.start:o.end]
			if len(inner) > int(limit) || o.start < headroom-vlanTagLen {
				t.Fatalf("inner frame of %d bytes at %d, limit %d", len(inner), o.start, limit)
			}
			var d delivery
			if drop := d.decapsulate(append(stt.AppendFrameHeader(nil, &o.header), inner...), false); drop != DropNone {
				t.Fatalf("header %+v: the far side drops it as %v", o.header, drop)
			}
			if o.header.ChecksumVerified() || o.header.MSS != 0 && o.header.Flags&0x0a != 0x0a {
				t.Fatalf("header %+v", o.header)
			}
		})
		buf := append(make([]byte, headroom), frame...)
		drop := c.encapsulate(buf, headroom, len(buf), v, vlanTag{etherType != 0, etherType, 3})
		if (drop == DropNone) != (frames > 0) {
			t.Fatalf("%d frames, dropped as %v", frames, drop)
		}
	})
}
