package nfq

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"

	"github.com/mdlayher/netlink"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// maxDatagram bounds one datagram of verdicts: the kernel copies it into
	// one piece of memory.
	maxDatagram = 512 << 10
	// wantSendBuffer holds one such datagram and its overhead.
	wantSendBuffer = 1 << 20
	// sendOverhead is what of the send buffer one datagram cannot use
	// (net/netlink/af_netlink.c, netlink_sendmsg: 32 bytes), rounded up.
	sendOverhead = 4096
)

// socket is what we do with a queue's netlink socket besides the library.
type socket struct {
	raw           syscall.RawConn
	kernel        unix.Sockaddr
	receiveBuffer int // granted, bytes
	maxSend       int // bytes in one datagram
	copyRange     copyRange
}

// newSocket sizes the buffers of conn: by force where the caller may, else up
// to net.core.rmem_max and wmem_max.
func newSocket(conn *netlink.Conn, receiveBuffer int) (*socket, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, fmt.Errorf("reach the netfilter socket: %w", err)
	}
	s := &socket{raw: raw, kernel: &unix.SockaddrNetlink{Family: unix.AF_NETLINK}}
	var sendBuffer int
	err = control(raw, func(fd int) (err error) {
		if s.receiveBuffer, err = setBuffer(fd, unix.SO_RCVBUFFORCE, unix.SO_RCVBUF, receiveBuffer); err != nil {
			return fmt.Errorf("set the receive buffer of the netfilter socket: %w", err)
		}
		if sendBuffer, err = setBuffer(fd, unix.SO_SNDBUFFORCE, unix.SO_SNDBUF, wantSendBuffer); err != nil {
			return fmt.Errorf("set the send buffer of the netfilter socket: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	// The kernel doubles what is asked for and compares with the double.
	s.maxSend = min(2*sendBuffer-sendOverhead, maxDatagram)
	if need := verdictLen(make([]byte, MaxPayload)); s.maxSend < need {
		return nil, fmt.Errorf("send buffer of the netfilter socket is %d bytes and holds no whole packet: raise net.core.wmem_max to %d", sendBuffer, need+sendOverhead)
	}
	return s, nil
}

// setBuffer sets a socket buffer to want bytes, by force if allowed, and
// returns what the kernel granted, in the same measure.
func setBuffer(fd, force, plain, want int) (int, error) {
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, force, want) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, plain, want); err != nil {
			return 0, err
		}
	}
	doubled, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, plain)
	return doubled / 2, err
}

// control runs f on the file descriptor of raw.
func control(raw syscall.RawConn, f func(fd int) error) error {
	var err error
	if cerr := raw.Control(func(fd uintptr) { err = f(int(fd)) }); cerr != nil {
		return cerr
	}
	return err
}

// sender sends datagrams without allocating; one goroutine at a time. The
// kernel keeps datagrams whole, so a socket can have several senders.
type sender struct {
	socket   *socket
	write    func(fd uintptr) bool
	datagram []byte
	err      error
}

func (s *socket) newSender() *sender {
	d := &sender{socket: s}
	d.write = d.writeTo // once: a method value is an allocation
	return d
}

// send sends one datagram to the kernel, which has carried out all its messages
// when the call returns. datagram is borrowed until then.
func (d *sender) send(datagram []byte) error {
	d.datagram = datagram
	err := d.socket.raw.Write(d.write)
	d.datagram = nil
	if err != nil {
		return err
	}
	return d.err
}

func (d *sender) writeTo(fd uintptr) bool {
	for {
		d.err = unix.Sendto(int(fd), d.datagram, 0, d.socket.kernel)
		if d.err != unix.EINTR {
			return d.err != unix.EAGAIN
		}
	}
}

// setCopyRange changes the copy range of a queue in bytes; 0 is all. Any goroutine
// may call it.
func setCopyRange(s *socket, queue uint16, bytes int) error {
	if bytes < 0 || bytes > 65535 {
		return fmt.Errorf("copy range %d: 0 to 65535 bytes", bytes)
	}
	if bytes == 0 {
		bytes = wholePacket
	}
	r := &s.copyRange
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := s.newSender().send(appendCopyRange(nil, queue, uint32(bytes))); err != nil {
		return fmt.Errorf("set the copy range: %w", err)
	}
	r.bytes = uint32(bytes)
	return nil
}

func outOfMemory(err error) bool {
	return errors.Is(err, unix.ENOBUFS) || errors.Is(err, unix.ENOMEM)
}

// probeQueue asks the queue subsystem for something that it grants everybody
// who may configure it (binding to a protocol family has no effect since Linux
// 3.8), to tell a missing right and a missing subsystem from a queue in use.
func probeQueue(conn *netlink.Conn) error {
	data := []byte{0, 0, 0, 0} // struct nfgenmsg: no family, queue 0
	data = appendAttrHeader(data, attrConfigCommand, 4)
	data = append(data, commandPFBind, 0, 0, 0) // struct nfqnl_msg_config_cmd
	_, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: msgConfig, Flags: flagRequest | flagAck},
		Data:   data,
	})
	return refusal(err, ErrNoKernelQueue)
}

// answersOnly is a socket filter that lets NLMSG_ERROR messages through, which
// carry the answers to requests, and nothing else.
func answersOnly() []bpf.RawInstruction {
	// The type stands at byte 4 in the machine's byte order; the filter reads
	// in network byte order.
	typ := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.NLMSG_ERROR))
	return []bpf.RawInstruction{
		{Op: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4},
		{Op: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: uint32(typ), Jf: 1},
		{Op: unix.BPF_RET | unix.BPF_K, K: 1 << 20}, // all of the message
		{Op: unix.BPF_RET | unix.BPF_K, K: 0},
	}
}
