package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"

	"sttwall/stt"
)

// Arrivals starts to collect all packets that reach endpoint B: those on its interface, and
// where it is on the firewall's host, those that have passed the hooks in front of it.
func (l *Lab) Arrivals() (c *Capture, err error) {
	if l.position != Host {
		return l.Capture(EndpointB, Underlay)
	}
	err = l.Do(EndpointB, func() error {
		source, err := openArrivals()
		if err != nil {
			return fmt.Errorf("capture: %w", err)
		}
		c = startCapture(source)
		return nil
	})
	return c, err
}

// arrivals are raw IP sockets that get what the kernel delivers to its own host, TCP and
// UDP, and make packets of an interface of it, with an empty link header. IPv6 headers
// are written anew, for the kernel keeps them; flow labels are lost.
//
// All that was delivered before a TCP packet over IPv4 is told before it.
type arrivals struct {
	sockets []arrivalSocket // that of TCP over IPv4 last
	wake    int             // an eventfd: receive ends
	held    []byte          // a packet of the last one that waits for those of the others
	control [128]byte

	mu      sync.Mutex // of what follows, and of the sockets' drops
	stopped bool       // receive is to end
	ended   bool       // it has, and the sockets are closed
}

type arrivalSocket struct {
	fd       int
	protocol uint8
	ipv6     bool
	told     int // drops
}

// openArrivals opens them in the calling thread's namespace.
func openArrivals() (a *arrivals, err error) {
	a = &arrivals{}
	if a.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	for _, s := range []arrivalSocket{
		{protocol: unix.IPPROTO_UDP}, {protocol: unix.IPPROTO_UDP, ipv6: true}, {protocol: unix.IPPROTO_TCP, ipv6: true}, {protocol: unix.IPPROTO_TCP},
	} {
		if err := s.open(); err != nil {
			a.release()
			return nil, fmt.Errorf("IP socket of protocol %d: %w", s.protocol, err)
		}
		a.sockets = append(a.sockets, s)
	}
	return a, nil
}

func (s *arrivalSocket) open() (err error) {
	family := unix.AF_INET
	if s.ipv6 {
		family = unix.AF_INET6
	}
	if s.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(s.protocol)); err != nil {
		return err
	}
	if unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, packetBuffer) != nil {
		unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, packetBuffer)
	}
	if s.ipv6 {
		for _, option := range []int{unix.IPV6_RECVPKTINFO, unix.IPV6_RECVTCLASS, unix.IPV6_RECVHOPLIMIT} {
			err = errors.Join(err, unix.SetsockoptInt(s.fd, unix.IPPROTO_IPV6, option, 1))
		}
	}
	if err != nil {
		unix.Close(s.fd)
	}
	return err
}

// receive implements source.
func (a *arrivals) receive(b []byte) (length int, outgoing bool, err error) {
	defer func() {
		if err != nil {
			a.release()
		}
	}()
	last := len(a.sockets) - 1
	for {
		for i := range a.sockets[:last] {
			if n, err := a.one(&a.sockets[i], b); n > 0 || err != nil {
				return n, false, err
			}
		}
		if a.held != nil {
			n := copy(b, a.held)
			a.held = nil
			return n, false, nil
		}
		n, err := a.one(&a.sockets[last], b)
		switch {
		case n > len(b) || err != nil:
			return n, false, err
		case n > 0:
			a.held = bytes.Clone(b[:n])
			continue
		}
		if err := a.wait(); err != nil {
			return 0, false, err
		}
	}
}

// wait waits for a packet; the error is os.ErrClosed when it is over.
func (a *arrivals) wait() error {
	list := []unix.PollFd{{Fd: int32(a.wake), Events: unix.POLLIN}}
	for i := range a.sockets { // not a copy: told is written by another goroutine
		list = append(list, unix.PollFd{Fd: int32(a.sockets[i].fd), Events: unix.POLLIN})
	}
	if _, err := unix.Poll(list, -1); err != nil && err != unix.EINTR {
		return err
	}
	if list[0].Revents != 0 {
		return os.ErrClosed
	}
	return nil
}

// one reads a packet, if there is one: 0 is none.
func (a *arrivals) one(s *arrivalSocket, b []byte) (length int, err error) {
	const headerLen6 = 40
	front, etherType := etherHeaderLen, uint16(unix.ETH_P_IP)
	if s.ipv6 {
		front, etherType = etherHeaderLen+headerLen6, unix.ETH_P_IPV6
	}
	n, oob, _, from, err := unix.Recvmsg(s.fd, b[front:], a.control[:], unix.MSG_TRUNC)
	if err == unix.EAGAIN || err == unix.EINTR {
		return 0, nil
	}
	if err != nil || front+n > len(b) {
		return front + n, err
	}
	clear(b[:etherHeaderLen])
	binary.BigEndian.PutUint16(b[12:], etherType)
	packet := b[etherHeaderLen : front+n]
	if s.ipv6 {
		if err := header6(packet, s.protocol, from, a.control[:oob]); err != nil {
			return 0, err
		}
	}
	finishTCP(packet)
	return front + n, nil
}

// header6 writes the IPv6 header of a packet by what the kernel told of it.
func header6(packet []byte, protocol uint8, from unix.Sockaddr, control []byte) error {
	clear(packet[:40])
	source, ok := from.(*unix.SockaddrInet6)
	if !ok {
		return errors.New("a packet from nowhere")
	}
	packet[0] = 6 << 4
	binary.BigEndian.PutUint16(packet[4:], uint16(len(packet)-40))
	packet[6] = protocol
	copy(packet[8:], source.Addr[:])
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return fmt.Errorf("control messages: %w", err)
	}
	for _, m := range messages {
		switch {
		case m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			copy(packet[24:], m.Data[:16])
		case m.Header.Type == unix.IPV6_TCLASS && len(m.Data) >= 4:
			class := binary.NativeEndian.Uint32(m.Data)
			packet[0] |= byte(class >> 4)
			packet[1] = byte(class << 4)
		case m.Header.Type == unix.IPV6_HOPLIMIT && len(m.Data) >= 4:
			packet[7] = byte(binary.NativeEndian.Uint32(m.Data))
		}
	}
	return nil
}

// finishTCP writes the checksum of a TCP packet that holds the pseudo-header sum: it has met
// no wire, or the kernel has put it together.
func finishTCP(packet []byte) {
	const checksum = 16
	header, protocol, src, dst := int(packet[0]&15)*4, packet[9], packet[12:16], packet[16:20]
	if packet[0]>>4 == 6 {
		header, protocol, src, dst = 40, packet[6], packet[8:24], packet[24:40]
	}
	if protocol != unix.IPPROTO_TCP || len(packet) < header+20 {
		return
	}
	from, _ := netip.AddrFromSlice(src)
	to, _ := netip.AddrFromSlice(dst)
	tcp := packet[header:]
	if binary.BigEndian.Uint16(tcp[checksum:]) == stt.PseudoSum(from, to, unix.IPPROTO_TCP, len(tcp)) {
		binary.BigEndian.PutUint16(tcp[checksum:], stt.Checksum(tcp))
	}
}

// dropped implements source.
func (a *arrivals) dropped() (n int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.ended {
		return 0, os.ErrClosed
	}
	for i := range a.sockets {
		s := &a.sockets[i]
		all, err := socketDrops(s.fd)
		if err != nil {
			return 0, err
		}
		n += all - s.told
		s.told = all
	}
	return n, nil
}

// socketDrops returns for how many packets a socket had no room since it was opened.
func socketDrops(fd int) (int, error) {
	const drops = 8 // SK_MEMINFO_DROPS (linux/sock_diag.h)
	var info [drops + 1]uint32
	length := uint32(unsafe.Sizeof(info))
	if _, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&length)), 0); errno != 0 {
		return 0, errno
	}
	return int(info[drops]), nil
}

// stop implements source.
func (a *arrivals) stop() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped || a.ended {
		return os.ErrClosed
	}
	a.stopped = true
	_, err := unix.Write(a.wake, binary.NativeEndian.AppendUint64(nil, 1))
	return err
}

// release closes all.
func (a *arrivals) release() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.ended = true
	for _, s := range a.sockets {
		unix.Close(s.fd)
	}
	unix.Close(a.wake)
}
