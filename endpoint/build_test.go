package endpoint

import (
	"bytes"
	"encoding/binary"
	"net"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
)

var (
	macA = net.HardwareAddr{2, 0, 0, 0, 0, 0xa}
	macB = net.HardwareAddr{2, 0, 0, 0, 0, 0xb}
)

// built is an inner frame from gopacket's encoder, with complete checksums.
type built struct {
	layers  []gopacket.SerializableLayer
	payload []byte
}

func ethernet(t layers.EthernetType) *layers.Ethernet {
	return &layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: t}
}

func ip4(p layers.IPProtocol, id uint16) *layers.IPv4 {
	return &layers.IPv4{
		Version: 4, IHL: 5, TTL: 64, Id: id, Protocol: p,
		SrcIP: net.IP{192, 168, 7, 1}, DstIP: net.IP{192, 168, 7, 2},
	}
}

func ip6(p layers.IPProtocol) *layers.IPv6 {
	return &layers.IPv6{
		Version: 6, HopLimit: 64, NextHeader: p,
		SrcIP: net.ParseIP("fd00:7::1"), DstIP: net.ParseIP("fd00:7::2"),
	}
}

func tag(tci uint16, next layers.EthernetType) *layers.Dot1Q {
	return &layers.Dot1Q{
		Priority: uint8(tci >> 13), DropEligible: tci&0x1000 != 0, VLANIdentifier: tci & 0xfff, Type: next,
	}
}

// segment is the TCP header of the piece whose payload starts at bytes into
// the flow.
func segment(at int, flags ...string) *layers.TCP {
	h := &layers.TCP{SrcPort: 40000, DstPort: 80, Seq: 0xfffffff0 + uint32(at), Ack: 7, Window: 500, ACK: true}
	for _, f := range flags {
		switch f {
		case "PSH":
			h.PSH = true
		case "FIN":
			h.FIN = true
		case "CWR":
			h.CWR = true
		}
	}
	return h
}

func datagram() *layers.UDP { return &layers.UDP{SrcPort: 40000, DstPort: 53} }

// frame returns the bytes of the frame.
func (b built) frame(t testing.TB) []byte {
	t.Helper()
	var network gopacket.NetworkLayer
	for _, l := range b.layers {
		switch l := l.(type) {
		case *layers.IPv4:
			network = l
		case *layers.IPv6:
			network = l
		case *layers.TCP:
			_ = l.SetNetworkLayerForChecksum(network)
		case *layers.UDP:
			_ = l.SetNetworkLayerForChecksum(network)
		}
	}
	out := gopacket.NewSerializeBuffer()
	options := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	if err := gopacket.SerializeLayers(out, options, append(slices.Clone(b.layers), gopacket.Payload(b.payload))...); err != nil {
		t.Fatal(err)
	}
	return bytes.Clone(out.Bytes())
}

// partial returns the frame with the pseudo-header sum in its checksum field,
// as a kernel leaves it, and the virtio_net_hdr for it.
func (b built) partial(t testing.TB, gsoType uint8, gsoSize int) ([]byte, vnetHeader) {
	t.Helper()
	frame := b.frame(t)
	var p innerPacket
	p.parse(frame)
	if p.l4 < 0 || p.checksumAt() < 0 {
		t.Fatalf("no transport header in %x", frame[:min(64, len(frame))])
	}
	binary.BigEndian.PutUint16(frame[p.l4+p.checksumAt():], p.pseudoSum(frame, p.end-p.l4))
	return frame, vnetHeader{
		flags: vnetNeedsChecksum, gsoType: gsoType, gsoSize: uint16(gsoSize),
		checksumStart: uint16(p.l4), checksumOffset: uint16(p.checksumAt()),
	}
}
