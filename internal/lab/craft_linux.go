package lab

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/stt"
)

// innerUDP returns an Ethernet frame from host A to host B with a UDP datagram.
func innerUDP(src, dst netip.AddrPort, payload []byte) []byte {
	const headerLen, checksumAt = 8, 6
	d := binary.BigEndian.AppendUint16(nil, src.Port())
	d = binary.BigEndian.AppendUint16(d, dst.Port())
	d = binary.BigEndian.AppendUint16(d, uint16(headerLen+len(payload)))
	d = append(append(d, 0, 0), payload...)
	return innerFrame(src.Addr(), dst.Addr(), unix.IPPROTO_UDP, d, checksumAt)
}

// tcpHeader is what an inner TCP segment says besides its ports.
type tcpHeader struct {
	seq, ack uint32
	flags    uint8
	window   uint16
}

// innerTCP returns an Ethernet frame from host A to host B with a TCP segment
// in the middle of a connection.
func innerTCP(src, dst netip.AddrPort, payload []byte) []byte {
	return innerSegment(src, dst, tcpHeader{seq: 1, ack: 1, flags: stt.FlagACK | stt.FlagPSH, window: 1000}, payload)
}

// innerSegment returns an Ethernet frame from host A to host B with a TCP segment.
func innerSegment(src, dst netip.AddrPort, h tcpHeader, payload []byte) []byte {
	const headerLen, checksumAt = 20, 16
	d := binary.BigEndian.AppendUint16(nil, src.Port())
	d = binary.BigEndian.AppendUint16(d, dst.Port())
	d = binary.BigEndian.AppendUint32(d, h.seq)
	d = binary.BigEndian.AppendUint32(d, h.ack)
	d = append(d, headerLen/4<<4, h.flags)
	d = binary.BigEndian.AppendUint16(d, h.window)
	d = append(append(d, 0, 0, 0, 0), payload...)
	return innerFrame(src.Addr(), dst.Addr(), unix.IPPROTO_TCP, d, checksumAt)
}

// innerFrame puts Ethernet and IP in front of an L4 packet, whose checksum it sets, and
// padding behind it where the frame is too short for Ethernet.
func innerFrame(src, dst netip.Addr, protocol uint8, l4 []byte, checksumAt int) []byte {
	const hops, shortestFrame = 64, 60
	// The sum over pseudo-header and packet is that over the packet with the
	// pseudo-header's sum in its checksum field.
	binary.BigEndian.PutUint16(l4[checksumAt:], stt.PseudoSum(src, dst, protocol, len(l4)))
	sum := stt.Checksum(l4)
	if sum == 0 && protocol == unix.IPPROTO_UDP {
		sum = 0xffff // 0 is none, RFC 768
	}
	binary.BigEndian.PutUint16(l4[checksumAt:], sum)

	frame := append(append([]byte(nil), macB...), macA...)
	if src.Is4() {
		const headerLen, dontFragment = 20, 0x4000
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IP)
		frame = append(frame, 4<<4|headerLen/4, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(headerLen+len(l4)))
		frame = binary.BigEndian.AppendUint32(frame, dontFragment)
		frame = append(frame, hops, protocol, 0, 0)
		frame = append(append(frame, src.AsSlice()...), dst.AsSlice()...)
		ip := frame[etherHeaderLen:]
		binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip))
	} else {
		frame = binary.BigEndian.AppendUint16(frame, unix.ETH_P_IPV6)
		frame = append(frame, 6<<4, 0, 0, 0)
		frame = binary.BigEndian.AppendUint16(frame, uint16(len(l4)))
		frame = append(frame, protocol, hops)
		frame = append(append(frame, src.AsSlice()...), dst.AsSlice()...)
	}
	frame = append(frame, l4...)
	return append(frame, make([]byte, max(0, shortestFrame-len(frame)))...)
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
