package lab

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

const (
	etherHeaderLen = 14
	// vnetHeaderLen is the length of struct virtio_net_hdr (linux/virtio_net.h),
	// which PACKET_VNET_HDR puts in front of each frame. Native byte order.
	vnetHeaderLen = 10

	vnetNeedsChecksum = 1 // VIRTIO_NET_HDR_F_NEEDS_CSUM
	vnetTCPv4         = 1 // VIRTIO_NET_HDR_GSO_TCPV4
	vnetTCPv6         = 4 // VIRTIO_NET_HDR_GSO_TCPV6

	// packetBuffer is the receive buffer of a capture in bytes.
	packetBuffer = 64 << 20
)

// packetSocket is an AF_PACKET socket on one interface. It may be used from
// any thread, whatever its namespace.
type packetSocket struct {
	file *os.File
	conn syscall.RawConn
	mac  net.HardwareAddr
}

// openPacketSocket opens one in the calling thread's namespace. protocol is an
// ETH_P_ number, 0 to receive nothing.
func openPacketSocket(iface string, protocol uint16) (*packetSocket, error) {
	link, err := net.InterfaceByName(iface)
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s: %w", iface, err)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("packet socket on %s: %w", iface, err)
	}
	// The buffer is set before the socket is bound and packets come in. Above
	// rmem_max only the initial user namespace may go.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packetBuffer) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, packetBuffer)
	}
	big := binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, protocol))
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: big, Ifindex: link.Index}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("packet socket on %s: bind: %w", iface, err)
	}
	file := os.NewFile(uintptr(fd), iface) // non-blocking: goes to the poller
	conn, err := file.SyscallConn()
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("packet socket on %s: %w", iface, err)
	}
	return &packetSocket{file, conn, link.HardwareAddr}, nil
}

// receive waits for a packet and returns its whole length, which is more than
// len(b) if b was too small, and whether this host sent it.
func (s *packetSocket) receive(b []byte) (length int, outgoing bool, err error) {
	var from unix.Sockaddr
	if waitErr := s.conn.Read(func(fd uintptr) bool {
		length, from, err = unix.Recvfrom(int(fd), b, unix.MSG_TRUNC)
		return err != unix.EAGAIN && err != unix.EINTR
	}); waitErr != nil {
		return 0, false, waitErr
	}
	link, ok := from.(*unix.SockaddrLinklayer)
	return length, ok && link.Pkttype == unix.PACKET_OUTGOING, err
}

// send sends b, a frame behind a virtio_net_hdr if the socket has that option.
func (s *packetSocket) send(b []byte) (err error) {
	if waitErr := s.conn.Write(func(fd uintptr) bool {
		_, err = unix.Write(int(fd), b)
		return err != unix.EAGAIN && err != unix.EINTR
	}); waitErr != nil {
		return waitErr
	}
	return err
}

// dropped returns how many packets the socket had no room for since the last call.
func (s *packetSocket) dropped() (n int, err error) {
	if ctlErr := s.conn.Control(func(fd uintptr) {
		var stats *unix.TpacketStats
		if stats, err = unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			n = int(stats.Drops)
		}
	}); ctlErr != nil {
		return 0, ctlErr
	}
	return n, err
}

// stop implements source.
func (s *packetSocket) stop() error { return s.file.Close() }

// injector sends crafted IP packets from one interface to the next hop.
type injector struct {
	socket  *packetSocket
	nextHop net.HardwareAddr
	// hop: packets get one hop more, for the one that they lose before the firewall.
	hop bool
}

// newInjector opens one in the calling thread's namespace.
func newInjector(iface string, nextHop net.HardwareAddr) (*injector, error) {
	socket, err := openPacketSocket(iface, 0)
	if err != nil {
		return nil, err
	}
	var option error
	if err := socket.conn.Control(func(fd uintptr) {
		option = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_VNET_HDR, 1)
	}); err != nil || option != nil {
		socket.file.Close()
		return nil, fmt.Errorf("packet socket on %s: vnet headers: %w", iface, option)
	}
	return &injector{socket: socket, nextHop: nextHop}, nil
}

// addHop returns a copy of an IP packet with one hop more; a header checksum that was wrong
// stays wrong.
func addHop(packet []byte) []byte {
	const hopLimit, ttl, checksum = 7, 8, 10
	b := bytes.Clone(packet)
	switch {
	case b[0]>>4 == 6 && b[hopLimit] < 255:
		b[hopLimit]++
	case b[0]>>4 != 6 && b[ttl] < 255:
		b[ttl]++
		addToSum(b[checksum:], 1<<8)
	}
	return b
}

// Offload is what an injected packet leaves for the kernel or a network card
// to do. The zero value leaves nothing.
type Offload struct {
	// Partial: the TCP checksum holds the pseudo-header sum and has to be
	// finished.
	Partial bool
	// ChecksumAt, if not 0, is where Partial says that the checksum is to be
	// written, in bytes from the IP header on: a lie.
	ChecksumAt int
	// SegmentSize, if not 0, makes a GSO packet that is cut into pieces with
	// so many bytes of TCP payload where a link asks for it. It needs Partial.
	SegmentSize int
}

// inject sends packet, from its IP header on.
func (in *injector) inject(packet []byte, o Offload) error {
	if len(packet) < 20 {
		return fmt.Errorf("inject: %d bytes are no IP packet", len(packet))
	}
	if in.hop {
		packet = addHop(packet)
	}
	b := make([]byte, vnetHeaderLen, vnetHeaderLen+etherHeaderLen+len(packet))
	etherType, ipLen, kind := uint16(unix.ETH_P_IP), int(packet[0]&0x0f)*4, byte(vnetTCPv4)
	if packet[0]>>4 == 6 {
		etherType, ipLen, kind = unix.ETH_P_IPV6, 40, vnetTCPv6
	}
	if o.Partial {
		b[0] = vnetNeedsChecksum
		binary.NativeEndian.PutUint16(b[6:], uint16(etherHeaderLen+ipLen))
		binary.NativeEndian.PutUint16(b[8:], 16) // the checksum's place in the TCP header
		if o.ChecksumAt > 0 {
			binary.NativeEndian.PutUint16(b[6:], uint16(etherHeaderLen+o.ChecksumAt))
			binary.NativeEndian.PutUint16(b[8:], 0)
		}
	}
	if o.SegmentSize > 0 {
		b[1] = kind
		binary.NativeEndian.PutUint16(b[2:], uint16(etherHeaderLen+ipLen+20))
		binary.NativeEndian.PutUint16(b[4:], uint16(o.SegmentSize))
	}
	b = append(b, in.nextHop...)
	b = append(b, in.socket.mac...)
	b = binary.BigEndian.AppendUint16(b, etherType)
	b = append(b, packet...)
	if err := in.socket.send(b); err != nil {
		return fmt.Errorf("inject %d bytes: %w", len(packet), err)
	}
	return nil
}
