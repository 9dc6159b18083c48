package nfq

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	nfqueue "github.com/florianl/go-nfqueue/v2"
	"golang.org/x/sys/unix"

	"sttwall/firewall"
)

// maxErrorsInARow is how many unknown errors the socket may report without a
// packet in between until the queue is given up.
const maxErrorsInARow = 100

// goNFQueue is the driver over florianl/go-nfqueue. The library configures the
// queue and reads it in a goroutine of its own; verdicts go out through the
// same socket in datagrams that we build.
type goNFQueue struct {
	number uint16
	nf     *nfqueue.Nfqueue
	sock   *socket
	sender *sender // for SetVerdicts
	proc   *procQueue
	last   atomic.Pointer[KernelStats] // the kernel's view when the queue was closed

	packets chan firewall.Packet
	wake    chan struct{}
	timer   *time.Timer
	out     []byte

	closing   chan struct{} // closed by Close
	closeOnce sync.Once
	closeErr  error
	done      chan struct{} // closed when nothing will come any more
	doneOnce  sync.Once
	cause     error // why; set before done is closed

	answers atomic.Int32 // to dropUpTo, still to come

	// Of the library's goroutine alone.
	first       bool
	errorsInRow int

	count counts
}

var _ Queue = (*goNFQueue)(nil)

func openGoNFQueue(c Config) (*goNFQueue, error) {
	q := &goNFQueue{
		number:  c.Number,
		packets: make(chan firewall.Packet, defaultBacklog),
		wake:    make(chan struct{}, 1),
		timer:   time.NewTimer(time.Hour),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		first:   true,
	}
	q.timer.Stop()
	flags := uint32(nfqueue.NfQaCfgFlagGSO)
	if c.FailOpenOverload {
		flags |= nfqueue.NfQaCfgFlagFailOpen
	}
	nf, err := nfqueue.Open(&nfqueue.Config{
		NetNS:        int(c.NetNS),
		NfQueue:      c.Number,
		MaxQueueLen:  uint32(c.Length),
		MaxPacketLen: uint32(c.CopyRange),
		Copymode:     nfqueue.NfQnlCopyPacket,
		Flags:        flags,
		AfFamily:     unix.AF_UNSPEC,
		Logger:       libraryLog{q},
	})
	if err != nil {
		return nil, fmt.Errorf("open the netfilter socket: %w", refusal(err, ErrNoKernelQueue))
	}
	q.nf = nf
	if err := q.start(c); err != nil {
		_ = q.Close()
		return nil, err
	}
	return q, nil
}

// start probes, sizes the buffers and begins to listen.
//
// The library waits for the answer to each of its requests and takes a packet
// for it that comes in between; and it sets the copy mode before the flags, so
// that the first packets would come without GSO. Therefore a filter on the
// socket lets nothing but answers through until all is set.
func (q *goNFQueue) start(c Config) error {
	if err := probeQueue(q.nf.Con); err != nil {
		return err
	}
	sock, err := newSocket(q.nf.Con, c.ReceiveBuffer)
	if err != nil {
		return err
	}
	q.sock, q.sender = sock, sock.newSender()
	sock.copyRange.bytes = uint32(c.CopyRange)
	q.proc = openProcQueue(c.NetNS, c.Number)
	if err := q.nf.Con.SetBPF(answersOnly()); err != nil {
		return fmt.Errorf("attach a filter to the netfilter socket: %w", err)
	}
	// The context never ends: Close ends the library's goroutine.
	if err := q.nf.RegisterWithErrorFunc(context.Background(), q.onPacket, q.onError); err != nil {
		var owner uint32
		if stats, ok := q.proc.read(); ok {
			owner = stats.Owner
		}
		return bindRefusal(err, owner)
	}
	// What the filter held back has a place in the queue and would keep it.
	if err := q.dropUpTo(1<<31 - 1); err != nil {
		return fmt.Errorf("drop what came too early: %w", err)
	}
	if err := q.nf.Con.RemoveBPF(); err != nil {
		return fmt.Errorf("detach the filter from the netfilter socket: %w", err)
	}
	return nil
}

// onPacket is called by the library for each packet.
func (q *goNFQueue) onPacket(a nfqueue.Attribute) int {
	q.errorsInRow = 0
	var p firewall.Packet
	if !packetOf(&a, &p) {
		q.count.unreadable.Add(1)
		return 0
	}
	if q.first {
		q.first = false
		// The last ones that the filter held back, after start dropped the
		// others. Nothing has been received before, so no held packet is meant.
		if p.ID > 1 {
			_ = q.dropUpTo(uint32(p.ID - 1))
		}
	}
	select {
	case q.packets <- p:
		q.count.packets.Add(1)
		return 0
	case <-q.closing:
		return 1
	}
}

// dropUpTo drops everything in the queue up to an ID. Only before the first
// packet is handed out, so that its answer comes before all answers to verdicts.
func (q *goNFQueue) dropUpTo(id uint32) error {
	q.answers.Add(1)
	return q.sock.newSender().send(appendDropUpTo(nil, q.number, id))
}

// answered reports whether the answer at hand is one to dropUpTo: "no such
// packet" as well as "done" says that nothing is left, and neither counts.
func (q *goNFQueue) answered() bool {
	if q.answers.Load() == 0 {
		return false
	}
	q.answers.Add(-1)
	return true
}

// onError is called by the library for each error that the socket reports:
// losses, answers to verdicts, and the end.
func (q *goNFQueue) onError(err error) int {
	select {
	case <-q.closing:
		return 1
	default:
	}
	switch {
	case errors.Is(err, unix.ENOBUFS):
		q.count.overruns.Add(1)
	case errors.Is(err, unix.ENOENT):
		if !q.answered() {
			q.count.late.Add(1)
		}
	default:
		q.count.otherErrors.Add(1)
		if q.errorsInRow++; q.errorsInRow >= maxErrorsInARow {
			q.finish(fmt.Errorf("queue %d: receive: %w", q.number, err))
			return 1
		}
	}
	return 0
}

func (q *goNFQueue) finish(cause error) {
	q.doneOnce.Do(func() {
		q.cause = cause
		close(q.done)
	})
}

// packetOf fills p from a message of the kernel. False if the message names no
// packet ID or no packet.
func packetOf(a *nfqueue.Attribute, p *firewall.Packet) bool {
	*p = firewall.Packet{}
	if a.PacketID == nil || a.Payload == nil {
		return false
	}
	p.ID = uint64(*a.PacketID)
	p.Data = *a.Payload
	p.Length = len(p.Data)
	if a.CapLen != nil && uint64(*a.CapLen) > uint64(p.Length) {
		p.Length = int(*a.CapLen)
	}
	var info uint32
	if a.SkbInfo != nil {
		if len(*a.SkbInfo) != 4 {
			return false
		}
		info = binary.BigEndian.Uint32(*a.SkbInfo)
	}
	p.More = more(p)
	p.Checksum = checksumState(info)
	p.GSO = info&infoGSO != 0
	if a.InDev != nil {
		p.Device = int(*a.InDev)
	}
	return true
}

// Receive implements [Queue].
func (q *goNFQueue) Receive(batch []firewall.Packet, timeout time.Duration) (int, error) {
	if len(batch) == 0 {
		return 0, fmt.Errorf("queue %d: receive into an empty batch", q.number)
	}
	if !q.receiveFirst(&batch[0], timeout) {
		select {
		case <-q.done:
			return 0, q.cause
		default:
			return 0, nil
		}
	}
	for n := 1; n < len(batch); n++ {
		select {
		case batch[n] = <-q.packets:
		default:
			return n, nil
		}
	}
	return len(batch), nil
}

// receiveFirst waits for one packet.
func (q *goNFQueue) receiveFirst(p *firewall.Packet, timeout time.Duration) bool {
	select {
	case <-q.done:
		return false
	case *p = <-q.packets:
		return true
	default:
	}
	if timeout == 0 {
		return false
	}
	var expired <-chan time.Time
	if timeout > 0 {
		q.timer.Reset(timeout)
		defer q.timer.Stop()
		expired = q.timer.C
	}
	select {
	case *p = <-q.packets:
		return true
	case <-q.wake:
	case <-expired:
	case <-q.done:
	}
	return false
}

// SetVerdicts implements [Queue].
func (q *goNFQueue) SetVerdicts(list []firewall.Verdict) error {
	q.out = q.out[:0]
	for i := range list {
		v := &list[i]
		action, payload := v.Action, v.Payload
		if action == firewall.Again {
			if err := q.again(uint32(v.ID)); err != nil {
				return err
			}
			continue
		}
		if action != firewall.Accept {
			payload = nil
		} else if payload != nil && !sendable(payload) {
			action, payload = firewall.Drop, nil
			q.count.payloadRefused.Add(1)
		}
		if len(q.out) > 0 && len(q.out)+verdictLen(payload) > q.sock.maxSend {
			if err := q.sendVerdicts(); err != nil {
				return err
			}
		}
		q.out = appendVerdict(q.out, q.number, uint32(v.ID), action, payload)
		q.count.messages.Add(1)
	}
	if err := q.sendVerdicts(); err != nil {
		return err
	}
	q.count.verdicts.Add(uint64(len(list)))
	return nil
}

// again has a packet queued anew, whole.
func (q *goNFQueue) again(id uint32) error {
	if len(q.out)+verdictLen(nil)+2*copyRangeLen > q.sock.maxSend {
		if err := q.sendVerdicts(); err != nil {
			return err
		}
	}
	r := &q.sock.copyRange
	r.mu.Lock()
	defer r.mu.Unlock()
	q.out = appendCopyRange(q.out, q.number, wholePacket)
	q.out = appendVerdict(q.out, q.number, id, firewall.Again, nil)
	q.out = appendCopyRange(q.out, q.number, r.bytes)
	q.count.again.Add(1)
	q.count.messages.Add(1)
	return q.sendVerdicts()
}

// sendVerdicts sends q.out. Where the kernel has no memory for a large
// datagram, its messages go one by one.
func (q *goNFQueue) sendVerdicts() error {
	if len(q.out) == 0 {
		return nil
	}
	err := q.sender.send(q.out)
	if outOfMemory(err) {
		err = nil
		for rest := q.out; len(rest) > 0 && err == nil; {
			n := (int(binary.NativeEndian.Uint32(rest)) + 3) &^ 3
			if err = q.sender.send(rest[:n]); outOfMemory(err) {
				q.count.verdictsLost.Add(1)
				err = nil
			}
			rest = rest[n:]
		}
	}
	q.out = q.out[:0]
	if err == nil {
		return nil
	}
	select {
	case <-q.done:
		return q.cause
	default:
		return fmt.Errorf("queue %d: send verdicts: %w", q.number, err)
	}
}

// SetCopyRange implements [Queue].
func (q *goNFQueue) SetCopyRange(bytes int) error {
	if err := setCopyRange(q.sock, q.number, bytes); err != nil {
		return fmt.Errorf("queue %d: %w", q.number, err)
	}
	return nil
}

// Wake implements [Queue].
func (q *goNFQueue) Wake() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// Stats implements [Queue].
func (q *goNFQueue) Stats() Stats { return q.count.stats(q.sock.receiveBuffer, q.last.Load(), q.proc) }

// Close implements [Queue].
func (q *goNFQueue) Close() error {
	q.closeOnce.Do(func() {
		close(q.closing)
		q.finish(fmt.Errorf("queue %d: %w", q.number, ErrClosed))
		if stats, ok := q.proc.read(); ok {
			q.last.Store(&stats)
		}
		if err := q.nf.Close(); err != nil {
			q.closeErr = fmt.Errorf("queue %d: close: %w", q.number, err)
		}
		q.proc.close()
	})
	return q.closeErr
}

// libraryLog is the library's logger: it tells of messages that it could not
// read through its log alone. An answer that says "done" is one of them.
type libraryLog struct{ queue *goNFQueue }

func (libraryLog) Debugf(string, ...any) {}

func (l libraryLog) Errorf(format string, _ ...any) {
	if format == "Could not parse message: %v" && !l.queue.answered() {
		l.queue.count.unreadable.Add(1)
	}
}
