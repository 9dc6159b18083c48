package lab

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/stt"
)

// theirs is what gopacket makes of the same frame.
func theirs(t *testing.T, src, dst netip.Addr, l4 interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}, payload []byte) []byte {
	t.Helper()
	ether := &layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: layers.EthernetTypeIPv4}
	protocol := layers.IPProtocolUDP
	if _, ok := l4.(*layers.TCP); ok {
		protocol = layers.IPProtocolTCP
	}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	} = &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice(),
	}
	if src.Is6() {
		ether.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: protocol, SrcIP: src.AsSlice(), DstIP: dst.AsSlice()}
	}
	if err := l4.SetNetworkLayerForChecksum(ip); err != nil {
		t.Fatal(err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ether, ip, l4, gopacket.Payload(payload)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestCraftedFramesAreThoseOfGopacket(t *testing.T) {
	for _, ends := range [][2]netip.Addr{{InnerA, InnerB}, {InnerA6, InnerB6}} {
		src, dst := netip.AddrPortFrom(ends[0], 7999), netip.AddrPortFrom(ends[1], 80)
		for _, size := range []int{0, 1, 500, 8001} {
			payload := bytes.Repeat([]byte{0xa5, 0x5a, 1}, size/3+1)[:size]
			for _, test := range []struct {
				name      string
				got, want []byte
			}{
				{"UDP", innerUDP(src, dst, payload), theirs(t, src.Addr(), dst.Addr(), &layers.UDP{SrcPort: 7999, DstPort: 80}, payload)},
				{"TCP", innerTCP(src, dst, payload), theirs(t, src.Addr(), dst.Addr(), &layers.TCP{
					SrcPort: 7999, DstPort: 80, Seq: 1, Ack: 1, ACK: true, PSH: true, Window: 1000,
				}, payload)},
				{"a SYN", innerSegment(src, dst, tcpHeader{seq: 0x01020304, flags: stt.FlagSYN, window: 1024}, payload),
					theirs(t, src.Addr(), dst.Addr(), &layers.TCP{SrcPort: 7999, DstPort: 80, Seq: 0x01020304, SYN: true, Window: 1024}, payload)},
			} {
				t.Run(fmt.Sprintf("%s from %v with %d bytes", test.name, src.Addr(), size), func(t *testing.T) {
					if !bytes.Equal(test.got, test.want) {
						t.Errorf("got  %x\nwant %x", test.got, test.want)
					}
				})
			}
		}
	}
}

// A checksum that comes out as 0 is sent as all ones.
func TestNoCraftedDatagramIsWithoutAChecksum(t *testing.T) {
	src, dst := netip.AddrPortFrom(InnerA, 7999), netip.AddrPortFrom(InnerB, 80)
	const checksumAt = etherHeaderLen + 20 + 6
	b := innerUDP(src, dst, []byte{0, 0})
	// The payload that brings the sum to all ones: the checksum that it has without it.
	ones := innerUDP(src, dst, b[checksumAt:checksumAt+2])
	if got := ones[checksumAt : checksumAt+2]; got[0] != 0xff || got[1] != 0xff {
		t.Errorf("checksum %x, want ffff", got)
	}
}
