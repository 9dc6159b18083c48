package lab

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"

	"sttwall/firewall"
	"sttwall/stt"
)

// innerUDP returns an Ethernet frame from host A to host B with a UDP datagram.
func innerUDP(src, dst netip.AddrPort, payload []byte) ([]byte, error) {
	return innerFrame(src, dst, &layers.UDP{SrcPort: layers.UDPPort(src.Port()), DstPort: layers.UDPPort(dst.Port())}, payload)
}

// innerTCP returns an Ethernet frame from host A to host B with a TCP segment
// in the middle of a connection.
func innerTCP(src, dst netip.AddrPort, payload []byte) ([]byte, error) {
	return innerFrame(src, dst, &layers.TCP{
		SrcPort: layers.TCPPort(src.Port()), DstPort: layers.TCPPort(dst.Port()),
		Seq: 1, Ack: 1, ACK: true, PSH: true, Window: 1000,
	}, payload)
}

// transport is a layer whose checksum covers the addresses.
type transport interface {
	gopacket.SerializableLayer
	SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
}

func innerFrame(src, dst netip.AddrPort, l4 transport, payload []byte) ([]byte, error) {
	ether := &layers.Ethernet{SrcMAC: macA, DstMAC: macB, EthernetType: layers.EthernetTypeIPv4}
	protocol := layers.IPProtocolUDP
	if _, ok := l4.(*layers.TCP); ok {
		protocol = layers.IPProtocolTCP
	}
	var ip interface {
		gopacket.SerializableLayer
		gopacket.NetworkLayer
	}
	if src.Addr().Is4() {
		ip = &layers.IPv4{
			Version: 4, IHL: 5, TTL: 64, Flags: layers.IPv4DontFragment, Protocol: protocol,
			SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
		}
	} else {
		ether.EthernetType = layers.EthernetTypeIPv6
		ip = &layers.IPv6{
			Version: 6, HopLimit: 64, NextHeader: protocol,
			SrcIP: src.Addr().AsSlice(), DstIP: dst.Addr().AsSlice(),
		}
	}
	if err := l4.SetNetworkLayerForChecksum(ip); err != nil {
		return nil, fmt.Errorf("craft: %w", err)
	}
	b := gopacket.NewSerializeBuffer()
	if err := gopacket.SerializeLayers(b, gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true},
		ether, ip, l4, gopacket.Payload(payload)); err != nil {
		return nil, fmt.Errorf("craft: %w", err)
	}
	return b.Bytes(), nil
}

// partialTCP turns the checksum of an inner IPv4 TCP frame into the
// pseudo-header sum, as a sender leaves it for the receiver to finish.
func partialTCP(inner []byte, src, dst netip.Addr) {
	const l4 = etherHeaderLen + 20
	binary.BigEndian.PutUint16(inner[l4+16:], stt.PseudoSum(src, dst, 6, len(inner)-l4))
}

// crafted is an STT frame made by hand, and how it is sent.
type crafted struct {
	path   stt.Path
	id     uint32
	header stt.FrameHeader
	inner  []byte
	mtu    int // 0: one packet
	// partial: the outer checksum is left for an offload.
	partial bool
}

// frame returns the STT frame.
func (c *crafted) frame() []byte { return append(stt.AppendFrameHeader(nil, &c.header), c.inner...) }

// isEvent recognises the firewall's word on the frame.
func (c *crafted) isEvent(e *firewall.FrameEvent) bool {
	return e.FrameID == c.id && e.SrcPort == c.path.SrcPort
}

// isSegment recognises the frame's packets over IPv4 by their frame ID,
// whatever else is wrong with them.
func (c *crafted) isSegment(p Captured) bool {
	const acknowledgment = etherHeaderLen + 20 + 8
	return len(p.Data) >= acknowledgment+4 && binary.BigEndian.Uint32(p.Data[acknowledgment:]) == c.id
}

// packets returns the frame in packets for the MTU, in order.
func (c *crafted) packets() ([][]byte, error) {
	mode := stt.ChecksumFull
	if c.partial {
		mode = stt.ChecksumPartial
	}
	var list [][]byte
	_, err := stt.AppendSegments(nil, &c.path, c.id, c.frame(), c.mtu, mode, func(p []byte) { list = append(list, p) })
	return list, err
}

// piece returns one packet with the bytes of the frame from offset to end.
func (c *crafted) piece(offset, end int) []byte {
	frame := c.frame()
	return stt.AppendSegment(nil, &c.path, &stt.Piece{
		FrameID: c.id, FrameLength: len(frame), Offset: offset, Payload: frame[offset:end],
	})
}

// alter changes an IPv4 STT packet through f, which gets its IP and its TCP
// header, and mends both checksums.
func alter(packet []byte, f func(ip, tcp []byte)) []byte {
	const ipLen = 20
	ip, tcp := packet[:ipLen], packet[ipLen:]
	f(ip, tcp)
	binary.BigEndian.PutUint16(ip[10:], 0)
	binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip))
	src, dst := netip.AddrFrom4([4]byte(ip[12:16])), netip.AddrFrom4([4]byte(ip[16:20]))
	binary.BigEndian.PutUint16(tcp[16:], 0)
	// The sum over pseudo-header and segment is that over the segment with
	// the pseudo-header's sum in its checksum field.
	binary.BigEndian.PutUint16(tcp[16:], stt.PseudoSum(src, dst, 6, len(tcp)))
	binary.BigEndian.PutUint16(tcp[16:], stt.Checksum(tcp))
	return packet
}
