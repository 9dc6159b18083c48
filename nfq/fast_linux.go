package nfq

import (
	"encoding/binary"

	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
)

const (
	// slots is how many datagrams one system call takes from the socket.
	slots = 128
	// slotLen is the room for one in bytes: the longest payload, and what the
	// kernel says of a packet besides, which is below 200 bytes. The odd
	// number of cache lines spreads the beginnings of the slots over the cache.
	slotLen = 65536 + 7*64

	// Sequence numbers by which answers to requests are known; those of verdicts
	// have none.
	seqStart = 1
	seqWake  = 2
)

// fast is the driver over system calls of our own: a call takes many packets,
// into memory that stays, and another one gives all their verdicts.
//
//	recvmmsg -> slots -> Packet.Data points into them -> verdicts -> sendmsg
//
// mdlayher/netlink makes and configures the socket, which is ours then. Reading and
// writing hold it open through syscall.RawConn, so that Close can come at any time.
type fast struct {
	number uint16
	conn   *netlink.Conn // until takeOver
	file   *os.File      // from then on
	sock   *socket
	proc   *procQueue
	last   atomic.Pointer[KernelStats] // the kernel's view when the queue was closed
	count  counts

	fastReceive
	fastSend

	woken   atomic.Bool // by Wake, and Receive has not returned since
	wakeMu  sync.Mutex
	waker   *sender // nil until there is a socket
	closing atomic.Bool

	closeOnce sync.Once
	closeErr  error
}

var _ Queue = (*fast)(nil)

// fastSend is what SetVerdicts needs.
type fastSend struct {
	answers  *answers
	write    func(fd uintptr) bool // bound once: a method value is an allocation
	single   *sender               // for where there is no memory for many at once
	sendIovs []unix.Iovec
	message  unix.Msghdr
	errno    unix.Errno
	flat     []byte
}

// openFast opens a queue. The kernel copies nothing to a queue that is only
// bound, it drops; so all is set before the first packet comes, and no packet
// comes between a request and its answer.
func openFast(c Config) (*fast, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: int(c.NetNS)})
	if err != nil {
		return nil, fmt.Errorf("open the netfilter socket: %w", refusal(err, ErrNoKernelQueue))
	}
	q := &fast{number: c.Number, conn: conn}
	if err := q.start(c); err != nil {
		_ = q.Close()
		return nil, err
	}
	return q, nil
}

func (q *fast) start(c Config) (err error) {
	if err := probeQueue(q.conn); err != nil {
		return err
	}
	if q.sock, err = newSocket(q.conn, c.ReceiveBuffer); err != nil {
		return err
	}
	// Answers to verdicts need not repeat them.
	if err := q.conn.SetOption(netlink.CapAcknowledge, true); err != nil {
		return fmt.Errorf("ask the netfilter socket for short answers: %w", err)
	}
	q.proc = openProcQueue(c.NetNS, c.Number)
	if _, err := q.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: msgConfig, Flags: flagRequest | flagAck},
		Data:   appendBind(nil, &c),
	}); err != nil {
		var owner uint32
		if stats, ok := q.proc.read(); ok {
			owner = stats.Owner
		}
		return bindRefusal(err, owner)
	}
	// A socket that is connected to the kernel takes datagrams from nobody else.
	if err := control(q.sock.raw, func(fd int) error { return unix.Connect(fd, q.sock.kernel) }); err != nil {
		return fmt.Errorf("connect the netfilter socket to the kernel: %w", err)
	}
	if err := q.takeOver(); err != nil {
		return fmt.Errorf("take the netfilter socket over: %w", err)
	}
	q.waker = q.sock.newSender()
	if err := q.initReceive(); err != nil {
		return err
	}
	q.initSend()
	q.sock.copyRange.bytes = uint32(c.CopyRange)
	begin := appendCopyRange(nil, q.number, uint32(c.CopyRange))
	binary.NativeEndian.PutUint16(begin[6:], flagRequest|flagAck)
	binary.NativeEndian.PutUint32(begin[8:], seqStart)
	if err := q.sock.newSender().send(begin); err != nil {
		return fmt.Errorf("begin to listen: %w", err)
	}
	return nil
}

// takeOver takes the socket out of the runtime's poller, which a packet would wake
// each time that nobody waits for one: there it costs as much as the packet. From
// here on we wait in the socket itself.
func (q *fast) takeOver() error {
	var own int
	if err := control(q.sock.raw, func(fd int) (err error) {
		own, err = unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
		return err
	}); err != nil {
		return err
	}
	if err := unix.SetNonblock(own, false); err != nil {
		unix.Close(own)
		return err
	}
	q.file = os.NewFile(uintptr(own), "netfilter queue") // not polled, since it blocks
	raw, err := q.file.SyscallConn()
	if err != nil {
		return err
	}
	q.sock.raw = raw
	return q.conn.Close() // of its descriptor; the socket stays
}

// appendBind appends the body of the message that binds to a queue, and sets
// its length and flags. The mask names the flags that the message sets.
func appendBind(dst []byte, c *Config) []byte {
	dst = append(dst, 0, 0) // family, version
	dst = binary.BigEndian.AppendUint16(dst, c.Number)
	dst = appendAttrHeader(dst, attrConfigCommand, 4)
	dst = append(dst, commandBind, 0, 0, 0) // struct nfqnl_msg_config_cmd
	flags := uint32(configGSO)
	if c.FailOpenOverload {
		flags |= configFailOpen
	}
	for _, a := range []struct {
		typ   uint16
		value uint32
	}{
		{attrConfigMaxLen, uint32(c.Length)},
		{attrConfigMask, configGSO | configFailOpen | configConntrack},
		{attrConfigFlags, flags},
	} {
		dst = appendAttrHeader(dst, a.typ, 4)
		dst = binary.BigEndian.AppendUint32(dst, a.value)
	}
	return dst
}

func (q *fast) initSend() {
	q.answers = newAnswers(q.number, &q.held, &q.sock.copyRange, q.sock.maxSend, q.sendPieces)
	q.single = q.sock.newSender()
	q.sendIovs = make([]unix.Iovec, 0, maxPieces+3)
	q.write = q.writeTo
}

// SetVerdicts implements [Queue].
func (q *fast) SetVerdicts(list []firewall.Verdict) error {
	if q.cause != nil {
		return q.cause
	}
	a := q.answers
	err := a.give(list)
	q.count.payloadRefused.Add(a.refused)
	q.count.late.Add(a.late)
	q.count.messages.Add(a.messages)
	q.count.again.Add(a.again)
	q.count.otherErrors.Add(a.unasked)
	if err != nil {
		if q.closing.Load() {
			return q.closed()
		}
		return fmt.Errorf("queue %d: send verdicts: %w", q.number, err)
	}
	q.count.verdicts.Add(uint64(len(list)))
	return nil
}

func (q *fast) closed() error { return fmt.Errorf("queue %d: %w", q.number, ErrClosed) }

// sendPieces sends one datagram of verdicts. Where the kernel has no memory for
// it, its messages go one by one.
func (q *fast) sendPieces(pieces [][]byte) error {
	q.sendIovs = q.sendIovs[:0]
	for _, p := range pieces {
		iov := unix.Iovec{Base: &p[0]}
		iov.SetLen(len(p))
		q.sendIovs = append(q.sendIovs, iov)
	}
	q.message.Iov = &q.sendIovs[0]
	q.message.SetIovlen(len(q.sendIovs))
	err := q.sock.raw.Write(q.write)
	clear(q.sendIovs) // the payloads are borrowed
	switch {
	case err != nil:
		return err
	case q.errno == 0:
		return nil
	case q.errno == unix.ENOBUFS || q.errno == unix.ENOMEM:
		return q.sendSingly(pieces)
	}
	return q.errno
}

func (q *fast) writeTo(fd uintptr) bool {
	for {
		q.count.syscalls.Add(1)
		if q.answers.waits {
			_, _, q.errno = unix.Syscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&q.message)), 0)
		} else {
			// The kernel carries the verdicts out meanwhile and waits for nothing: see receive.
			_, _, q.errno = unix.RawSyscall(unix.SYS_SENDMSG, fd, uintptr(unsafe.Pointer(&q.message)), 0)
		}
		if q.errno != unix.EINTR {
			return q.errno != unix.EAGAIN
		}
	}
}

// sendSingly sends the messages of a datagram one by one.
func (q *fast) sendSingly(pieces [][]byte) error {
	q.flat = q.flat[:0]
	for _, p := range pieces {
		q.flat = append(q.flat, p...)
	}
	lost, err := oneByOne(q.flat, q.number, func(message []byte) error {
		q.count.syscalls.Add(1)
		return q.single.send(message)
	})
	q.count.verdictsLost.Add(lost)
	return err
}

// SetCopyRange implements [Queue].
func (q *fast) SetCopyRange(bytes int) error {
	if err := setCopyRange(q.sock, q.number, bytes); err != nil {
		return fmt.Errorf("queue %d: %w", q.number, err)
	}
	return nil
}

// Wake implements [Queue]. The kernel's answer to an empty request ends a Receive
// that waits. Where the receive buffer is too full for the answer, no Receive waits.
func (q *fast) Wake() {
	q.wakeMu.Lock()
	defer q.wakeMu.Unlock()
	if q.woken.Swap(true) || q.waker == nil {
		return
	}
	_ = q.waker.send(askNothing) // after Close nobody is to be woken
}

// askNothing is an NLMSG_NOOP that wants an answer. netlink answers it before any
// subsystem sees it (net/netlink/af_netlink.c, netlink_rcv_skb).
var askNothing = func() []byte {
	m := endMessage(appendHeader(nil, msgNoop, flagRequest|flagAck, 0), 0)
	binary.NativeEndian.PutUint32(m[8:], seqWake)
	return m
}()

// Stats implements [Queue].
func (q *fast) Stats() Stats { return q.count.stats(q.sock.receiveBuffer, q.last.Load(), q.proc) }

// Close implements [Queue].
func (q *fast) Close() error {
	q.closeOnce.Do(func() {
		q.closing.Store(true)
		q.Wake()
		if stats, ok := q.proc.read(); ok {
			q.last.Store(&stats)
		}
		err := q.conn.Close()
		if q.file != nil {
			err = q.file.Close() // when the Receive that was woken has let go of it
		}
		if err != nil {
			q.closeErr = fmt.Errorf("queue %d: close: %w", q.number, err)
		}
		q.proc.close()
	})
	return q.closeErr
}
