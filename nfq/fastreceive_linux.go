package nfq

import (
	"fmt"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/internal/arena"
)

// fastReceive is what Receive needs.
type fastReceive struct {
	held outstanding

	memory  []byte // slots of slotLen bytes
	headers [slots]mmsghdr
	iovs    [slots]unix.Iovec
	filled  int    // slots that the last call filled
	slot    int    // the next of them to be read
	rest    []byte // of the slot before it, still to be read

	// Of the Receive under way.
	read    func(fd uintptr) bool // bound once: a method value is an allocation
	batch   []firewall.Packet
	n       int
	timeout time.Duration
	polled  [1]unix.PollFd
	limit   unix.Timespec

	socketTimeout time.Duration // as set; 0: none
	look          bool          // without waiting, before the next wait: the last call reported an error

	drop        [1]firewall.Verdict
	cause       error // why nothing will come any more
	errorsInRow int
}

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	header unix.Msghdr
	length uint32 // of the datagram
}

func (q *fast) initReceive() error {
	r := &q.fastReceive
	// On the heap so many bytes would let as many of garbage pile up. Pages come with the
	// first packets that need them: small ones, since few slots are ever full.
	pages := arena.New(slots * slotLen)
	runtime.AddCleanup(q, (*arena.Arena).Close, pages) // packets are borrowed from a queue that is there
	if r.memory = pages.Take(slots * slotLen); r.memory == nil {
		return fmt.Errorf("no memory for %d bytes of packets", slots*slotLen)
	}
	_ = unix.Madvise(r.memory, unix.MADV_NOHUGEPAGE) // a kernel without large ones refuses
	for i := range r.headers {
		r.iovs[i].Base = &r.memory[i*slotLen]
		r.iovs[i].SetLen(slotLen)
		r.headers[i].header.Iov = &r.iovs[i]
		r.headers[i].header.SetIovlen(1)
	}
	r.read = q.readFrom
	return nil
}

// Receive implements [Queue].
func (q *fast) Receive(batch []firewall.Packet, timeout time.Duration) (int, error) {
	if len(batch) == 0 {
		return 0, fmt.Errorf("queue %d: receive into an empty batch", q.number)
	}
	if q.cause != nil {
		return 0, q.cause
	}
	if q.closing.Load() {
		return 0, q.closed()
	}
	q.batch, q.n, q.timeout = batch, 0, timeout
	q.take()
	var err error
	if q.n == 0 {
		err = q.sock.raw.Read(q.read)
	}
	q.batch = nil
	switch {
	case q.closing.Load():
		return 0, q.closed()
	case err != nil:
		q.cause = fmt.Errorf("queue %d: receive: %w", q.number, err)
	}
	if q.n > 0 {
		q.count.packets.Add(uint64(q.n))
		return q.n, nil
	}
	return 0, q.cause
}

// probablyMore is how many datagrams one call took, so that there are most likely some
// already for the next one.
const probablyMore = slots / 8

// readFrom fills the batch, and waits if there is nothing: if it can in the call that
// takes packets, so that one is all it takes.
func (q *fast) readFrom(fd uintptr) bool {
	if q.filled >= probablyMore && q.receive(fd, unix.MSG_DONTWAIT) && (q.n > 0 || q.cause != nil) {
		return true
	}
	var since time.Time
	if q.timeout > 0 {
		since = time.Now()
	}
	for {
		left := q.timeout
		if left > 0 {
			left = max(left-time.Since(since), 0)
		}
		how, look := uintptr(unix.MSG_DONTWAIT), q.look
		if left != 0 && !look && !q.woken.Load() && q.waitsInCall(fd, left) {
			how = unix.MSG_WAITFORONE
		}
		something := q.receive(fd, how)
		switch {
		case q.n > 0 || q.cause != nil || q.woken.Swap(false):
			return true
		case something || look || how == unix.MSG_WAITFORONE:
			// No packet, but one may be behind it; or there is some time left.
		case left == 0 || !q.poll(fd, left):
			return true
		}
	}
}

// shortest is the shortest wait that the socket's own timeout is exact enough for: it
// counts in ticks of the kernel, of up to 10 ms.
const shortest = 64 * time.Millisecond

// waitsInCall sets the socket's timeout, SO_RCVTIMEO, to a good part of what is left,
// or to none if that is negative. False if the wait is too short for it. It is changed
// as seldom as can be: waiting again costs less.
func (q *fast) waitsInCall(fd uintptr, left time.Duration) bool {
	is := q.socketTimeout
	switch {
	case left < 0 && (is == 0 || is >= time.Second):
		return true
	case left < 0:
		is = 0
	case left < shortest:
		return false
	case is != 0 && is <= left && is >= left/8:
		return true
	default:
		for is = shortest; is <= left/4; is *= 2 {
		}
	}
	limit := unix.NsecToTimeval(int64(is))
	q.count.syscalls.Add(1)
	if unix.SetsockoptTimeval(int(fd), unix.SOL_SOCKET, unix.SO_RCVTIMEO, &limit) != nil {
		return false
	}
	q.socketTimeout = is
	return true
}

// receive takes what is in the socket. False if there is nothing. With
// MSG_WAITFORONE in how it waits for the first datagram, with MSG_DONTWAIT not.
//
// Go's scheduler is told of calls that can wait alone. It would give the processor of
// the others away for its batch, look for work for it, and have its monitor wake at
// every return: a sixth of a processor under load.
//
// After an overrun the socket takes nothing, and wakes nobody, until a reader leaves it
// empty (net/netlink/af_netlink.c, netlink_rcv_wake). recvmmsg reports the error before
// it reads. If the socket is empty by then, to wait in it is to wait for ever: so the
// next call after an error does not wait.
func (q *fast) receive(fd uintptr, how uintptr) bool {
	q.filled, q.slot, q.rest, q.look = 0, 0, nil, false
	q.count.syscalls.Add(1)
	var n uintptr
	var errno unix.Errno
	most := uintptr(min(len(q.batch), slots))
	if how == unix.MSG_DONTWAIT {
		n, _, errno = unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&q.headers[0])), most, how, 0, 0)
	} else {
		n, _, errno = unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&q.headers[0])), most, how, 0, 0)
	}
	switch errno {
	case 0:
		q.filled = int(n)
		q.take()
		return true
	case unix.EAGAIN:
		return false
	case unix.EINTR:
	case unix.ENOBUFS:
		q.count.overruns.Add(1)
	default:
		q.survive(errno)
	}
	q.look = true
	return true
}

// survive counts an error that nobody knows, and gives up after many of them
// without a packet in between.
func (q *fast) survive(err error) {
	q.count.otherErrors.Add(1)
	if q.errorsInRow++; q.errorsInRow >= maxErrorsInARow {
		q.cause = fmt.Errorf("queue %d: receive: %w", q.number, err)
	}
}

// poll waits until there is something in the socket. False if the time is over.
func (q *fast) poll(fd uintptr, left time.Duration) bool {
	q.polled[0] = unix.PollFd{Fd: int32(fd), Events: unix.POLLIN}
	q.limit = unix.NsecToTimespec(int64(left))
	q.count.syscalls.Add(1)
	n, err := unix.Ppoll(q.polled[:], &q.limit, nil)
	switch err {
	case nil:
		return n > 0
	case unix.EINTR:
		return true
	}
	q.cause = fmt.Errorf("queue %d: wait: %w", q.number, err)
	return false
}

// take reads messages until the batch is full.
func (q *fast) take() {
	for q.n < len(q.batch) && q.cause == nil {
		if len(q.rest) == 0 {
			if q.slot == q.filled {
				return
			}
			start := q.slot * slotLen
			q.rest = q.memory[start : start+int(q.headers[q.slot].length)]
			q.slot++
		}
		m, rest, ok := nextMessage(q.rest)
		q.rest = rest
		if !ok {
			q.count.unreadable.Add(1)
			q.held.unsure = true
			continue
		}
		switch m.typ {
		case msgPacket:
			q.packet(&m)
		case msgError:
			q.answer(&m)
		default:
			q.count.unreadable.Add(1)
		}
	}
}

// packet puts a packet into the batch. One that the kernel would not send so is
// dropped, if it says which it is.
func (q *fast) packet(m *message) {
	p := &q.batch[q.n]
	known, ok := m.packet(q.number, p)
	if known {
		p.ID, known = q.held.received(uint32(p.ID), p.More)
	}
	switch {
	case !known:
		q.count.unreadable.Add(1)
		q.held.unsure = true
	case !ok:
		q.count.unreadable.Add(1)
		q.drop[0] = firewall.Verdict{ID: p.ID}
		if err := q.answers.give(q.drop[:]); err != nil {
			q.cause = fmt.Errorf("queue %d: drop a packet that cannot be read: %w", q.number, err)
		}
	default:
		q.n++
		q.errorsInRow = 0
	}
}

// answer takes the kernel's answer to a request.
func (q *fast) answer(m *message) {
	errno, ok := m.errno()
	switch {
	case !ok:
		q.count.unreadable.Add(1)
	case errno == 0, m.seq == seqWake: // done
	case m.seq == seqStart:
		q.cause = fmt.Errorf("queue %d: begin to listen: %w", q.number, unix.Errno(errno))
	case unix.Errno(errno) == unix.ENOENT:
		q.count.late.Add(1)
	default:
		q.survive(unix.Errno(errno))
	}
}
