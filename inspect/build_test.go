package inspect_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/inspect"
)

// Frames for tests are put together by gopacket's encoder, and damaged by hand.

var (
	macA = [6]byte{0x02, 0x01, 0, 0, 0, 0x64}
	macB = [6]byte{0x02, 0x02, 0, 0, 0, 0x64}

	ip4A = netip.MustParseAddr("192.168.100.1")
	ip4B = netip.MustParseAddr("192.168.100.2")
	ip6A = netip.MustParseAddr("fd00:100::1")
	ip6B = netip.MustParseAddr("fd00:100::2")
)

// sameAddr lets cmp compare addresses, which have no exported fields.
var sameAddr = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func ethernet(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: macA[:], DstMAC: macB[:], EthernetType: t}
}

func vlan(id uint16, t layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{VLANIdentifier: id, Type: t}
}

func ipv4(p layers.IPProtocol) *layers.IPv4 {
	return &layers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: ip4A.AsSlice(), DstIP: ip4B.AsSlice()}
}

func ipv6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{Version: 6, HopLimit: 64, NextHeader: p, SrcIP: ip6A.AsSlice(), DstIP: ip6B.AsSlice()}
}

func udp() *layers.UDP { return &layers.UDP{SrcPort: 40000, DstPort: 53} }

func syn() *layers.TCP { return &layers.TCP{SrcPort: 40000, DstPort: 80, SYN: true, Window: 1000} }

func ack() *layers.TCP { return &layers.TCP{SrcPort: 40000, DstPort: 80, ACK: true, Window: 1000} }

func arp() *layers.ARP {
	return &layers.ARP{
		AddrType: layers.LinkTypeEthernet, Protocol: layers.EthernetTypeIPv4, HwAddressSize: 6, ProtAddressSize: 4,
		Operation: layers.ARPRequest, SourceHwAddress: macA[:], SourceProtAddress: ip4A.AsSlice(),
		DstHwAddress: net.HardwareAddr{0, 0, 0, 0, 0, 0}, DstProtAddress: ip4B.AsSlice(),
	}
}

// raw is a layer of n bytes, counted up from 1 so that no two are alike nearby.
func raw(n int) gopacket.Payload {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i + 1)
	}
	return b
}

// extension is an IPv6 extension header of size bytes, padded with options of
// that purpose alone.
func extension(next uint8, size int) gopacket.Payload {
	b := make([]byte, size)
	b[0], b[1] = next, byte(size/8-1)
	b[2], b[3] = 1, byte(size-4) // PadN
	return b
}

// routing is a routing header (RFC 8200 section 4.4) with that many segments
// left.
func routing(next uint8, size int, left uint8) gopacket.Payload {
	b := extension(next, size)
	b[2], b[3] = 253, left // a type for experiments
	return b
}

// authentication is an AH of size bytes.
func authentication(next uint8, size int) gopacket.Payload {
	b := make([]byte, size)
	b[0], b[1] = next, byte(size/4-2)
	return b
}

// fragment6 is an IPv6 fragment header; offset counts bytes.
func fragment6(next uint8, offset int, more bool) gopacket.Payload {
	b := make([]byte, 8)
	b[0] = next
	place := uint16(offset)
	if more {
		place |= 1
	}
	binary.BigEndian.PutUint16(b[2:], place)
	binary.BigEndian.PutUint32(b[4:], 0x01020304)
	return b
}

// fragment4 is an IPv4 header of a fragment; offset counts bytes.
func fragment4(p layers.IPProtocol, offset int, more bool) *layers.IPv4 {
	ip := ipv4(p)
	ip.Id = 0x0102
	ip.FragOffset = uint16(offset / 8)
	if more {
		ip.Flags = layers.IPv4MoreFragments
	}
	return ip
}

// build encodes the layers, lengths and IPv4 header checksums included; the
// checksums of TCP and UDP stay zero.
func build(tb testing.TB, ls ...gopacket.SerializableLayer) []byte {
	tb.Helper()
	buf := gopacket.NewSerializeBuffer()
	var end int
	for i := len(ls) - 1; i >= 0; i-- {
		end = len(buf.Bytes())
		var opts gopacket.SerializeOptions
		switch ls[i].(type) {
		case *layers.IPv4:
			opts = gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
		case *layers.IPv6, *layers.TCP, *layers.UDP:
			opts.FixLengths = true
		}
		if err := ls[i].SerializeTo(buf, opts); err != nil {
			tb.Fatalf("build: %v", err)
		}
		buf.PushLayer(ls[i].LayerType())
	}
	// gopacket pads Ethernet frames to 60 bytes; tunnels do not.
	end += 14
	return buf.Bytes()[:end:end]
}

// pad returns b with n bytes of padding behind it.
func pad(b []byte, n int) []byte { return append(b, make([]byte, n)...) }

// at returns b with the bytes from off on replaced.
func at(b []byte, off int, with ...byte) []byte {
	copy(b[off:], with)
	return b
}

// put16 returns b with the 16-bit number at off replaced.
func put16(b []byte, off int, v uint16) []byte {
	binary.BigEndian.PutUint16(b[off:], v)
	return b
}

// slowPseudoSum is the pseudo-header sum as RFC 1071 says it, step by step.
func slowPseudoSum(src, dst netip.Addr, protocol uint8, size int) uint16 {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = append(b, 0, protocol, byte(size>>8), byte(size))
	return slowSum(b)
}

// slowSum adds 16-bit numbers in ones' complement.
func slowSum(b []byte) uint16 {
	sum := 0
	for i, v := range b {
		if i%2 == 0 {
			sum += int(v) << 8
		} else {
			sum += int(v)
		}
		if sum > 0xffff {
			sum -= 0xffff
		}
	}
	return uint16(sum)
}

// partial returns b with the pseudo-header sum in the checksum field of the TCP
// or UDP header at l4, which is what a sender with checksum offload leaves.
func partial(b []byte, l4 int) []byte {
	var f inspect.Frame
	f.Decode(b, len(b), 0, inspect.NoTag)
	field := l4 + 16
	if f.Protocol == inspect.ProtocolUDP {
		field = l4 + 6
	}
	return put16(b, field, slowPseudoSum(f.Src, f.Dst, f.Protocol, f.IPEnd-l4))
}
