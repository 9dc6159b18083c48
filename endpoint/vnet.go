package endpoint

import "encoding/binary"

// vnetHeaderLen is the length of struct virtio_net_hdr in bytes. TAP devices
// with IFF_VNET_HDR and packet sockets with PACKET_VNET_HDR put it before
// every frame, in both directions (linux/virtio_net.h).
const vnetHeaderLen = 10

// Flags of a vnetHeader.
const (
	// vnetNeedsChecksum: the checksum at checksumStart+checksumOffset holds
	// the pseudo-header sum; who sends the frame on wire finishes it.
	vnetNeedsChecksum = 1
	// vnetDataValid: the kernel or the network card found it right.
	vnetDataValid = 2
)

// GSO types of a vnetHeader.
const (
	gsoNone  = 0
	gsoTCPv4 = 1
	gsoUDP   = 3 // IP fragmentation
	gsoTCPv6 = 4
	gsoUDPL4 = 5 // many datagrams in one
	gsoECN   = 0x80
)

// vnetHeader is struct virtio_net_hdr in host byte order.
type vnetHeader struct {
	flags, gsoType uint8
	// headerLen is a hint: how many bytes of headers each segment gets.
	headerLen uint16
	// gsoSize is the payload of each segment in bytes, 0 without GSO.
	gsoSize uint16
	// checksumStart is where the checksummed part begins in the frame, and
	// checksumOffset where the checksum is in that part; both in bytes.
	checksumStart, checksumOffset uint16
}

// decode reads the header from the first vnetHeaderLen bytes of b.
func (h *vnetHeader) decode(b []byte) {
	_ = b[vnetHeaderLen-1]
	h.flags, h.gsoType = b[0], b[1]
	h.headerLen = binary.NativeEndian.Uint16(b[2:])
	h.gsoSize = binary.NativeEndian.Uint16(b[4:])
	h.checksumStart = binary.NativeEndian.Uint16(b[6:])
	h.checksumOffset = binary.NativeEndian.Uint16(b[8:])
}

// put writes the header to the first vnetHeaderLen bytes of b.
func (h *vnetHeader) put(b []byte) {
	_ = b[vnetHeaderLen-1]
	b[0], b[1] = h.flags, h.gsoType
	binary.NativeEndian.PutUint16(b[2:], h.headerLen)
	binary.NativeEndian.PutUint16(b[4:], h.gsoSize)
	binary.NativeEndian.PutUint16(b[6:], h.checksumStart)
	binary.NativeEndian.PutUint16(b[8:], h.checksumOffset)
}

// partial reports whether the checksum still has to be finished.
func (h *vnetHeader) partial() bool { return h.flags&vnetNeedsChecksum != 0 }
