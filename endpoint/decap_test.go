package endpoint

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/stt"
)

func tcpFrame(t testing.TB, version int, payload int, flags ...string) []byte {
	t.Helper()
	b := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolTCP, 1), segment(0, flags...)}, randomBytes(payload)}
	if version == 6 {
		b.layers[0], b.layers[1] = ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolTCP)
	}
	frame, _ := b.partial(t, gsoNone, 0)
	return frame
}

func TestDecapsulationHandsOpenWorkToTheTenantsKernel(t *testing.T) {
	for _, test := range []struct {
		name   string
		header stt.FrameHeader
		frame  []byte
		want   vnetHeader
	}{
		{"nothing", stt.FrameHeader{}, tcpFrame(t, 4, 10), vnetHeader{}},
		{"nothing, on the sender's word", stt.FrameHeader{Flags: 0x01}, tcpFrame(t, 4, 10), vnetHeader{}},
		{"nothing, though other fields are set", stt.FrameHeader{Flags: 0x0c, L4Offset: 3, MSS: 9}, tcpFrame(t, 4, 10), vnetHeader{}},
		{"the checksum of TCP", stt.FrameHeader{Flags: 0x0e, L4Offset: 34}, tcpFrame(t, 4, 10),
			vnetHeader{flags: vnetNeedsChecksum, checksumStart: 34, checksumOffset: 16}},
		{"the checksum, also if it is said to be verified", stt.FrameHeader{Flags: 0x0f, L4Offset: 34}, tcpFrame(t, 4, 10),
			vnetHeader{flags: vnetNeedsChecksum, checksumStart: 34, checksumOffset: 16}},
		{"the checksum of UDP over IPv6", stt.FrameHeader{Flags: 0x02, L4Offset: 54}, tcpFrame(t, 6, 10),
			vnetHeader{flags: vnetNeedsChecksum, checksumStart: 54, checksumOffset: 6}},
		{"segmentation of TCP over IPv4", stt.FrameHeader{Flags: 0x0e, L4Offset: 34, MSS: 1448}, tcpFrame(t, 4, 3000),
			vnetHeader{flags: vnetNeedsChecksum, gsoType: gsoTCPv4, headerLen: 54, gsoSize: 1448, checksumStart: 34, checksumOffset: 16}},
		{"segmentation of TCP over IPv6 with CWR", stt.FrameHeader{Flags: 0x0a, L4Offset: 54, MSS: 1428}, tcpFrame(t, 6, 3000, "CWR"),
			vnetHeader{flags: vnetNeedsChecksum, gsoType: gsoTCPv6 | gsoECN, headerLen: 74, gsoSize: 1428, checksumStart: 54, checksumOffset: 16}},
		{"fragmentation of UDP", stt.FrameHeader{Flags: 0x06, L4Offset: 34, MSS: 1448}, tcpFrame(t, 4, 3000),
			vnetHeader{flags: vnetNeedsChecksum, gsoType: gsoUDP, headerLen: 42, gsoSize: 1448, checksumStart: 34, checksumOffset: 6}},
		{"a lying L4 offset, as the kernel module does", stt.FrameHeader{Flags: 0x0e, L4Offset: 60}, tcpFrame(t, 4, 100),
			vnetHeader{flags: vnetNeedsChecksum, checksumStart: 60, checksumOffset: 16}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var d delivery
			drop := d.decapsulate(append(stt.AppendFrameHeader(nil, &test.header), test.frame...), false)
			if diff := cmp.Diff(test.want, d.vnet, cmp.AllowUnexported(vnetHeader{})); diff != "" || drop != DropNone {
				t.Errorf("dropped as %v; (-want +got):\n%s", drop, diff)
			}
			if !bytes.Equal(d.frame, test.frame) {
				t.Error("the inner frame changed")
			}
		})
	}
}

func TestFramesThatReceiversDropAreDropped(t *testing.T) {
	frame := tcpFrame(t, 4, 100)
	for _, test := range []struct {
		name   string
		header stt.FrameHeader
		frame  []byte
		want   Drop
	}{
		{"too short for an Ethernet header", stt.FrameHeader{}, frame[:13], DropFrameShort},
		{"of another version", stt.FrameHeader{Version: 1}, frame, DropFrameVersion},
		{"with an L4 offset of 0", stt.FrameHeader{Flags: 0x0e}, frame, DropFrameOffload},
		{"with an L4 offset inside the IPv4 header", stt.FrameHeader{Flags: 0x0e, L4Offset: 33}, frame, DropFrameOffload},
		{"with an L4 offset inside the IPv6 header", stt.FrameHeader{Flags: 0x0a, L4Offset: 53}, frame, DropFrameOffload},
		{"with an L4 offset too near to the end for TCP", stt.FrameHeader{Flags: 0x0e, L4Offset: uint8(len(frame) - 19)}, frame, DropFrameOffload},
		{"with an L4 offset too near to the end for UDP", stt.FrameHeader{Flags: 0x06, L4Offset: uint8(len(frame) - 7)}, frame, DropFrameOffload},
	} {
		t.Run(test.name, func(t *testing.T) {
			var d delivery
			if got := d.decapsulate(append(stt.AppendFrameHeader(nil, &test.header), test.frame...), false); got != test.want {
				t.Errorf("dropped as %v, want %v", got, test.want)
			}
		})
	}
}

func TestOuterCongestionReachesTheInnerPacket(t *testing.T) {
	arp := append(make([]byte, 12), append([]byte{8, 6}, make([]byte, 28)...)...)
	with := func(version int, ecn uint8) []byte {
		b := built{[]gopacket.SerializableLayer{ethernet(layers.EthernetTypeIPv4), ip4(layers.IPProtocolUDP, 1), datagram()}, randomBytes(60)}
		b.layers[1].(*layers.IPv4).TOS = 0xb8 | ecn
		if version == 6 {
			b.layers[0], b.layers[1] = ethernet(layers.EthernetTypeIPv6), ip6(layers.IPProtocolUDP)
			b.layers[1].(*layers.IPv6).TrafficClass = 0xb8 | ecn
		}
		return b.frame(t)
	}
	for _, test := range []struct {
		name     string
		in, want []byte
		drop     Drop
	}{
		{"IPv4 with ECT(0) becomes CE", with(4, 2), with(4, 3), DropNone},
		{"IPv4 with ECT(1) becomes CE", with(4, 1), with(4, 3), DropNone},
		{"IPv6 with ECT(0) becomes CE", with(6, 2), with(6, 3), DropNone},
		{"IPv6 with CE stays CE", with(6, 3), with(6, 3), DropNone},
		{"IPv4 without ECN is dropped", with(4, 0), nil, DropCongestion},
		{"IPv6 without ECN is dropped", with(6, 0), nil, DropCongestion},
		{"ARP passes", arp, arp, DropNone},
	} {
		t.Run(test.name, func(t *testing.T) {
			var d delivery
			data := append(make([]byte, stt.FrameHeaderLen), test.in...)
			if got := d.decapsulate(data, true); got != test.drop {
				t.Fatalf("dropped as %v, want %v", got, test.drop)
			}
			if test.want != nil && !bytes.Equal(d.frame, test.want) {
				t.Errorf("got\n%x\nwant\n%x", d.frame, test.want)
			}
		})
	}
}

func TestATagThatIsPutBackMovesTheChecksum(t *testing.T) {
	d := delivery{vnet: vnetHeader{flags: vnetNeedsChecksum, headerLen: 54, gsoSize: 1000, gsoType: gsoTCPv4, checksumStart: 34, checksumOffset: 16}}
	d.tag()
	want := delivery{tagged: true, vnet: vnetHeader{flags: vnetNeedsChecksum, headerLen: 58, gsoSize: 1000, gsoType: gsoTCPv4, checksumStart: 38, checksumOffset: 16}}
	if diff := cmp.Diff(want, d, cmp.AllowUnexported(delivery{}, vnetHeader{}), cmpopts.IgnoreFields(delivery{}, "packet")); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	plain := delivery{}
	plain.tag()
	if plain.vnet != (vnetHeader{}) {
		t.Errorf("got %+v for a frame without open work, want zero", plain.vnet)
	}
}

func TestDecapsulationAllocatesNothing(t *testing.T) {
	header := stt.FrameHeader{Flags: 0x0e, L4Offset: 34, MSS: 1448}
	data := append(stt.AppendFrameHeader(nil, &header), tcpFrame(t, 4, 3000)...)
	data[stt.FrameHeaderLen+15] |= 2
	var d delivery
	if n := testing.AllocsPerRun(100, func() { d.decapsulate(data, true) }); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkDecapsulate(b *testing.B) {
	for _, size := range []int{100, 1500, 64000} {
		b.Run(fmt.Sprintf("frame=%d", size), func(b *testing.B) {
			header := stt.FrameHeader{Flags: 0x0e, L4Offset: 34, MSS: 1448}
			data := append(stt.AppendFrameHeader(nil, &header), tcpFrame(b, 4, size-54)...)
			var d delivery
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				d.decapsulate(data, false)
			}
		})
	}
}

// FuzzDecapsulate: whatever arrives, what is handed to a kernel stays inside
// the frame, and nothing of the frame but an ECN mark changes.
func FuzzDecapsulate(f *testing.F) {
	for _, pattern := range []string{"on-dns", "on-ping6", "on-tcp-bulk", "off-vlan", "off-tcp6-bulk"} {
		n := 0
		capturedFrames(f, filepath.Join(captures, pattern+".pcap"), func(frame []byte) {
			if n++; n%9 == 1 {
				f.Add(bytes.Clone(frame[:min(len(frame), 2000)]), n%2 == 0)
			}
		})
	}
	f.Fuzz(func(t *testing.T, data []byte, marked bool) {
		before := bytes.Clone(data)
		var d delivery
		if d.decapsulate(data, congestion(marked)) != DropNone {
			return
		}
		if !marked && !bytes.Equal(data, before) {
			t.Fatal("the frame changed")
		}
		if &d.frame[0] != &data[stt.FrameHeaderLen] || len(d.frame) != len(data)-stt.FrameHeaderLen {
			t.Fatal("the inner frame is not what follows the frame header")
		}
		if marked {
			changed := 0
			for i := range data {
				if data[i] != before[i] {
					changed++
				}
			}
			var p innerPacket
			p.parse(d.frame)
			if changed > 3 || p.ip != 0 && p.tos&3 != 3 {
				t.Fatalf("%d bytes changed, TOS %#x", changed, p.tos)
			}
		}
		v := d.vnet
		if v.partial() {
			if int(v.checksumStart)+int(v.checksumOffset)+2 > len(d.frame) || v.checksumStart < 34 {
				t.Fatalf("checksum outside the frame: %+v of %d bytes", v, len(d.frame))
			}
		} else if v != (vnetHeader{}) {
			t.Fatalf("open work without a partial checksum: %+v", v)
		}
		if int(v.headerLen) > len(d.frame) || v.gsoSize != 0 && v.headerLen < v.checksumStart+8 {
			t.Fatalf("headers of %d bytes: %+v", len(d.frame), v)
		}
		var again vnetHeader
		b := make([]byte, vnetHeaderLen)
		v.put(b)
		if again.decode(b); again != v {
			t.Fatalf("virtio_net_hdr %+v reads back as %+v", v, again)
		}
		if d.header.TCI != binary.BigEndian.Uint16(before[6:]) {
			t.Fatal("TCI was misread")
		}
	})
}
