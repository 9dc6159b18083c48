package main

import (
	"cmp"
	"maps"
	"net"
	"slices"

	"github.com/google/gopacket"
	gplayers "github.com/google/gopacket/layers"
)

// innerFrame is an inner frame as gopacket's encoder makes it.
type innerFrame struct {
	headers []gopacket.SerializableLayer
	length  int // of the headers in bytes
}

func frameOf(length int, headers ...gopacket.SerializableLayer) *innerFrame {
	return &innerFrame{headers, length}
}

// bytes returns the frame with a payload that makes it size bytes long.
func (f *innerFrame) bytes(size int) []byte {
	b := gopacket.NewSerializeBuffer()
	all := append(slices.Clone(f.headers), gopacket.Payload(make([]byte, size-f.length)))
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}, all...); err != nil {
		panic(err) // of headers that are written below
	}
	return slices.Clone(b.Bytes())
}

func ethernet(t gplayers.EthernetType) *gplayers.Ethernet {
	return &gplayers.Ethernet{SrcMAC: net.HardwareAddr{2, 0, 0, 0, 0, 1}, DstMAC: net.HardwareAddr{2, 0, 0, 0, 0, 2}, EthernetType: t}
}

func ipv4(p gplayers.IPProtocol) *gplayers.IPv4 {
	return &gplayers.IPv4{Version: 4, TTL: 64, Protocol: p, SrcIP: net.IP{10, 0, 0, 1}, DstIP: net.IP{10, 0, 0, 2}}
}

func ipv6(p gplayers.IPProtocol) *gplayers.IPv6 {
	return &gplayers.IPv6{Version: 6, HopLimit: 64, NextHeader: p, SrcIP: net.ParseIP("fd00::1"), DstIP: net.ParseIP("fd00::2")}
}

func tcp(on gopacket.NetworkLayer) *gplayers.TCP {
	t := &gplayers.TCP{SrcPort: 40000, DstPort: 8080, Seq: 1, Ack: 1, ACK: true, Window: 1000}
	t.SetNetworkLayerForChecksum(on)
	return t
}

func udp(on gopacket.NetworkLayer) *gplayers.UDP {
	u := &gplayers.UDP{SrcPort: 40000, DstPort: 5000}
	u.SetNetworkLayerForChecksum(on)
	return u
}

// The inner frames of the contests.
var (
	tcpFrame4  = tcpOver(14, ethernet(gplayers.EthernetTypeIPv4))
	vlanFrame4 = tcpOver(18, ethernet(gplayers.EthernetTypeDot1Q), &gplayers.Dot1Q{VLANIdentifier: 100, Type: gplayers.EthernetTypeIPv4})
	udpFrame4  = func() *innerFrame {
		ip := ipv4(gplayers.IPProtocolUDP)
		return frameOf(14+20+8, ethernet(gplayers.EthernetTypeIPv4), ip, udp(ip))
	}()
	tcpFrame6 = func() *innerFrame {
		ip := ipv6(gplayers.IPProtocolTCP)
		return frameOf(14+40+20, ethernet(gplayers.EthernetTypeIPv6), ip, tcp(ip))
	}()
	icmpFrame4 = frameOf(14+20+8, ethernet(gplayers.EthernetTypeIPv4), ipv4(gplayers.IPProtocolICMPv4),
		&gplayers.ICMPv4{TypeCode: gplayers.CreateICMPv4TypeCode(gplayers.ICMPv4TypeEchoRequest, 0), Id: 7, Seq: 1})
)

func tcpOver(linkLen int, link ...gopacket.SerializableLayer) *innerFrame {
	ip := ipv4(gplayers.IPProtocolTCP)
	return frameOf(linkLen+20+20, append(link, ip, tcp(ip))...)
}

func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
