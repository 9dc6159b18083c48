package endpoint

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"sttwall/stt"
)

const (
	headerLen4 = 20
	headerLen6 = 40

	// meminfoDrops is where SO_MEMINFO has how many packets found the receive buffer
	// full (linux/sock_diag.h), and meminfoLen how many numbers it has.
	meminfoDrops, meminfoLen = 8, 9
)

// ipSocket describes a raw IP socket of one interface. What it receives has passed the
// hooks PREROUTING and INPUT, and the kernel's defragmentation before the latter; what it
// sends, whole IP packets, passes OUTPUT.
type ipSocket struct {
	name   string // of the interface
	local  netip.Addr
	port   uint16 // of STT; 0 to send only
	buffer int    // bytes
}

// open returns a non-blocking socket. The second result is the receive buffer really got.
func (s ipSocket) open() (c *channel, buffer int, err error) {
	family, protocol := unix.AF_INET, unix.IPPROTO_TCP
	if s.local.Is6() {
		family = unix.AF_INET6
	}
	if s.port == 0 {
		protocol = unix.IPPROTO_RAW // takes packets from their IP header on, and receives none
	}
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		return nil, 0, fmt.Errorf("IP socket on %s: %w", s.name, err)
	}
	if buffer, err = s.configure(fd); err != nil {
		_ = unix.Close(fd)
		return nil, 0, fmt.Errorf("IP socket on %s: %w", s.name, err)
	}
	c, err = newChannel(fd, "ip:"+s.name, ipMedium)
	return c, buffer, err
}

func (s ipSocket) configure(fd int) (buffer int, err error) {
	buffer = forceBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, s.buffer)
	// A frame whose packets wait in a firewall's queue counts here until it is decided.
	forceBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, s.buffer)
	if err := unix.BindToDevice(fd, s.name); err != nil {
		return 0, fmt.Errorf("bind to the interface: %w", err)
	}
	if s.port == 0 {
		return buffer, nil
	}
	if err := attachFilter(fd, localFilter(s.local, s.port)); err != nil {
		return 0, fmt.Errorf("filter: %w", err)
	}
	if s.local.Is6() {
		// The header that the kernel takes off, as far as anybody asks for it.
		for _, option := range []int{unix.IPV6_RECVTCLASS, unix.IPV6_RECVHOPLIMIT} {
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, option, 1); err != nil {
				return 0, fmt.Errorf("traffic class and hop limit: %w", err)
			}
		}
		return buffer, bindTo(fd, &unix.SockaddrInet6{Addr: s.local.As16()})
	}
	return buffer, bindTo(fd, &unix.SockaddrInet4{Addr: s.local.As4()})
}

func bindTo(fd int, a unix.Sockaddr) error {
	if err := unix.Bind(fd, a); err != nil {
		return fmt.Errorf("bind: %w", err)
	}
	return nil
}

// localFilter returns a socket filter that takes TCP to a port. It begins where the socket's
// packets do: at the IPv4 header, or behind the IPv6 headers.
func localFilter(local netip.Addr, port uint16) []bpf.Instruction {
	var f filter
	if local.Is4() {
		f.program = append(f.program, bpf.LoadMemShift{Off: 0})
		f.load(bpf.LoadIndirect{Off: 2, Size: 2}, uint32(port))
	} else {
		f.load(bpf.LoadAbsolute{Off: 2, Size: 2}, uint32(port))
	}
	f.program = append(f.program, bpf.RetConstant{Val: wholePacket})
	return f.program
}

// ipDrops returns how many packets a socket had no room for since it was opened.
func ipDrops(fd uintptr) uint64 {
	var info [meminfoLen]uint32
	length := uint32(unsafe.Sizeof(info))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, fd, unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return 0
	}
	return uint64(info[meminfoDrops])
}

// ipPacket returns the i-th packet that an IP socket has received, from its IP header on.
// ok is false if it was longer than its buffer.
//
// Such a socket does not tell what became of the checksum, and for a packet that the kernel
// has put together (GRO) or that never met a wire it holds the pseudo-header sum: v has
// vnetNeedsChecksum then, as from a packet socket.
func (r *reader) ipPacket(i int, local netip.Addr) (packet []byte, v vnetHeader, ok bool) {
	buf, end := r.buffers[i], r.front+r.lengths[i]
	if end >= len(buf) {
		return nil, v, false
	}
	packet = buf[r.front:end]
	tcp := packet
	var src netip.Addr
	if local.Is4() {
		if len(packet) < headerLen4 {
			return nil, v, false
		}
		src = netip.AddrFrom4([4]byte(packet[12:16]))
		tcp = packet[min(int(packet[0]&0x0f)*4, len(packet)):]
	} else {
		from := &r.from[i]
		src = netip.AddrFrom16(from.Addr)
		packet = buf[r.front-headerLen6 : end]
		r.header6(i, packet, src, local)
	}
	if len(tcp) >= tcpHeaderLen && binary.BigEndian.Uint16(tcp[checksumAtTCP:]) == stt.PseudoSum(src, local, protocolTCP, len(tcp)) {
		v.flags = vnetNeedsChecksum
	}
	return packet, v, true
}

// header6 writes the IPv6 header of the i-th packet anew, with what the kernel told of it.
func (r *reader) header6(i int, packet []byte, src, dst netip.Addr) {
	class, hops := r.control6(i)
	binary.BigEndian.PutUint32(packet, 6<<28|uint32(class)<<20)
	binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-headerLen6))
	packet[6], packet[7] = protocolTCP, hops
	a, b := src.As16(), dst.As16()
	copy(packet[8:], a[:])
	copy(packet[24:], b[:])
}

// control6 reads traffic class and hop limit.
func (r *reader) control6(i int) (class, hops uint8) {
	rest := r.control[i][:min(int(r.messages[i].header.Controllen), controlLen)]
	for len(rest) >= unix.SizeofCmsghdr {
		c := (*unix.Cmsghdr)(unsafe.Pointer(&rest[0]))
		length := int(c.Len)
		if length < unix.CmsgLen(4) || length > len(rest) {
			break
		}
		value := uint8(binary.NativeEndian.Uint32(rest[unix.CmsgLen(0):]))
		switch {
		case c.Level != unix.IPPROTO_IPV6:
		case c.Type == unix.IPV6_TCLASS:
			class = value
		case c.Type == unix.IPV6_HOPLIMIT:
			hops = value
		}
		rest = rest[min(unix.CmsgSpace(length-unix.CmsgLen(0)), len(rest)):]
	}
	return class, hops
}
