package nfq

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Injector sends packets of the firewall's own: the answers to frames that a
// rule rejects. They carry the address of another host as their source, so they
// go through raw sockets, header included (raw(7), ipv6(7)). They leave through
// the OUTPUT and POSTROUTING hooks; where a queue is in OUTPUT too, its table knows
// them by their [Own]. What is for this host itself goes through PREROUTING of the
// loopback interface after that, which the table then leaves alone. One worker uses it at a time; Stats may be called from anywhere.
type Injector struct {
	v4, v6       int // -1: not there
	sent, failed atomic.Uint64

	// Scratch, so that sending allocates nothing.
	to4     unix.RawSockaddrInet4
	to6     unix.RawSockaddrInet6
	control [64]byte
}

// NewInjector opens the sockets in the network namespace ns. It needs
// CAP_NET_RAW. A host without IPv6 has no socket for it, and sends none. own is what
// its packets have; own.User must be the caller.
func NewInjector(ns NetNS, own Own) (*Injector, error) {
	i := &Injector{v4: -1, v6: -1}
	err := inNetNS(ns, func() (err error) {
		const kind = unix.SOCK_RAW | unix.SOCK_NONBLOCK | unix.SOCK_CLOEXEC
		if i.v4, err = unix.Socket(unix.AF_INET, kind, unix.IPPROTO_RAW); err != nil {
			return err
		}
		if i.v6, err = unix.Socket(unix.AF_INET6, kind, unix.IPPROTO_RAW); err != nil {
			i.v6 = -1 // no IPv6 here
		}
		for _, fd := range []int{i.v4, i.v6} {
			if own.Priority == 0 || fd < 0 {
				continue
			}
			if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_PRIORITY, int(int32(own.Priority))); err != nil {
				return fmt.Errorf("set its priority: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		i.Close()
		return nil, fmt.Errorf("raw socket for rejects: %w: run as root or with CAP_NET_RAW", err)
	}
	return i, nil
}

// Send sends an outer packet, from its IP header on, out of the device with that
// index; 0 leaves the choice to routing. It never waits: what the kernel does
// not take is counted, not sent.
func (i *Injector) Send(packet []byte, device int) {
	if i.send(packet, device) {
		i.sent.Add(1)
	} else {
		i.failed.Add(1)
	}
}

// Stats returns how many packets were sent, and how many the kernel did not
// take.
func (i *Injector) Stats() (sent, failed uint64) { return i.sent.Load(), i.failed.Load() }

// Close closes the sockets.
func (i *Injector) Close() {
	for _, fd := range []int{i.v4, i.v6} {
		if fd >= 0 {
			unix.Close(fd) // nothing is left to be written
		}
	}
	i.v4, i.v6 = -1, -1
}

func (i *Injector) send(packet []byte, device int) bool {
	if len(packet) == 0 {
		return false
	}
	var (
		fd   int
		name unsafe.Pointer
		size uintptr
		n    int // of control
	)
	switch version := packet[0] >> 4; {
	case version == 4 && len(packet) >= 20:
		i.to4 = unix.RawSockaddrInet4{Family: unix.AF_INET, Addr: [4]byte(packet[16:20])}
		fd, name, size = i.v4, unsafe.Pointer(&i.to4), unix.SizeofSockaddrInet4
		n = i.pktinfo(unix.IPPROTO_IP, unix.IP_PKTINFO, 0, unix.SizeofInet4Pktinfo, device)
	case version == 6 && len(packet) >= 40:
		i.to6 = unix.RawSockaddrInet6{Family: unix.AF_INET6, Addr: [16]byte(packet[24:40])}
		if netip.AddrFrom16(i.to6.Addr).IsLinkLocalUnicast() {
			i.to6.Scope_id = uint32(device)
		}
		fd, name, size = i.v6, unsafe.Pointer(&i.to6), unix.SizeofSockaddrInet6
		n = i.pktinfo(unix.IPPROTO_IPV6, unix.IPV6_PKTINFO, 16, unix.SizeofInet6Pktinfo, device)
	default:
		return false
	}
	if fd < 0 {
		return false
	}
	iov := unix.Iovec{Base: &packet[0]}
	iov.SetLen(len(packet))
	message := unix.Msghdr{Name: (*byte)(name), Namelen: uint32(size), Iov: &iov}
	message.SetIovlen(1)
	if n > 0 {
		message.Control = &i.control[0]
		message.SetControllen(n)
	}
	_, _, errno := unix.Syscall(unix.SYS_SENDMSG, uintptr(fd), uintptr(unsafe.Pointer(&message)), unix.MSG_DONTWAIT)
	return errno == 0
}

// pktinfo writes a control message that names the device; at is where its index
// stands in the structure. It returns the message's length, 0 without a device.
func (i *Injector) pktinfo(level, kind int32, at, size, device int) int {
	if device == 0 {
		return 0
	}
	clear(i.control[:])
	header := (*unix.Cmsghdr)(unsafe.Pointer(&i.control[0]))
	header.Level, header.Type = level, kind
	header.SetLen(unix.CmsgLen(size))
	binary.NativeEndian.PutUint32(i.control[unix.CmsgLen(0)+at:], uint32(device))
	return unix.CmsgSpace(size)
}
