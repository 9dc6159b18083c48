package nfq

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"sttwall/firewall"
)

// Core decides packets. [firewall.Firewall] is one. Times are in nanoseconds of
// a clock that never goes back.
type Core interface {
	// ProcessBatch appends the verdicts that the packets make known, in the order of
	// leaving. Their Data is borrowed until it returns.
	ProcessBatch(now int64, packets []firewall.Packet, out *firewall.Verdicts)
	// Expire appends the verdicts of packets held for too long.
	Expire(now int64, out *firewall.Verdicts)
	// NextDeadline is when Expire has something to do; false if never.
	NextDeadline() (int64, bool)
	// Flush appends drops for all packets held.
	Flush(out *firewall.Verdicts)
	// Rest is called when all that has come is answered, once for each batch.
	Rest()
}

const (
	// DefaultBatch is the default of [WorkerConfig.Batch] in packets.
	DefaultBatch = 128
	maxBatch     = 4096

	// minWait keeps a deadline that has just passed from turning the worker's
	// waiting into spinning.
	minWait = time.Millisecond
)

// WorkerConfig joins a queue to a core.
type WorkerConfig struct {
	// Queue is used by this worker alone; the worker closes it.
	Queue Queue
	// Core is used by this worker alone.
	Core Core
	// Clock returns nanoseconds and never goes back; nil means [Clock].
	Clock func() int64
	// Batch is how many packets are taken from the queue before their verdicts
	// are sent: 1 to 4096; zero means [DefaultBatch].
	Batch int
	// Affinity pins the worker's thread to a processor.
	Affinity Affinity
	// Send, if not nil, sends a packet of the core's own out of the device with
	// that index. It must not wait; the packet is borrowed until it returns.
	Send func(packet []byte, device int)
	// Part, if not 0, is how many bytes of each packet are copied while that is
	// cheaper than to copy them whole; see [PartOfPacket]. The queue was opened with
	// that copy range, which is the worker's to change. 0 leaves it as it is.
	Part int
	// Whole, if not nil, reports whether somebody wants whole packets, whatever they
	// cost. It is asked after each batch and must not wait.
	Whole func() bool
}

// Affinity is the processor that a worker's thread is pinned to. The zero value
// pins to none.
type Affinity int

// CPU returns the affinity to processor n, counted from 0.
func CPU(n int) Affinity { return Affinity(n + 1) }

// Worker takes packets from one queue through one core, in one goroutine on an
// operating system thread of its own.
type Worker struct {
	queue    Queue
	core     Core
	clock    func() int64
	affinity Affinity
	send     func(packet []byte, device int) // nil: nobody does
	rule     copyRule
	whole    func() bool // nil: nobody wants whole packets
	copies   bool        // whole packets
	now      int64       // when the last packets came; asking the time is not cheap everywhere
	batch    []firewall.Packet
	verdicts firewall.Verdicts
	asked    atomic.Bool // by [Inline.Progress], and it has not come around since
}

// NewWorker returns a worker that does nothing until Run.
func NewWorker(c WorkerConfig) (*Worker, error) {
	switch {
	case c.Queue == nil:
		return nil, errors.New("worker: no queue")
	case c.Core == nil:
		return nil, errors.New("worker: no core")
	case c.Batch < 0 || c.Batch > maxBatch:
		return nil, fmt.Errorf("worker: batch of %d packets: 1 to %d, or 0 for %d", c.Batch, maxBatch, DefaultBatch)
	case c.Part < 0 || c.Part > 65535:
		return nil, fmt.Errorf("worker: part of %d bytes: 0 to 65535", c.Part)
	case c.Affinity < 0:
		return nil, fmt.Errorf("worker: processor %d: must not be negative", c.Affinity-1)
	}
	if c.Clock == nil {
		c.Clock = Clock()
	}
	if c.Batch == 0 {
		c.Batch = DefaultBatch
	}
	return &Worker{
		queue:    c.Queue,
		core:     c.Core,
		clock:    c.Clock,
		affinity: c.Affinity,
		send:     c.Send,
		rule:     copyRule{part: c.Part},
		whole:    c.Whole,
		batch:    make([]firewall.Packet, c.Batch),
	}, nil
}

// Clock returns a clock that starts at the wall clock's time, in nanoseconds
// since 1970, and never goes back. Workers that share state share one.
func Clock() func() int64 {
	start := time.Now()
	base := start.UnixNano()
	return func() int64 { return base + int64(time.Since(start)) }
}

// Run decides packets until ctx ends or the queue fails. Either way it drops
// the packets that the core still holds and closes the queue before it returns.
// The error is nil if ctx ended.
func (w *Worker) Run(ctx context.Context) error {
	result := make(chan error, 1)
	go func() {
		// Never unlocked: a pinned thread is of no use to other goroutines and
		// ends with this one.
		runtime.LockOSThread()
		result <- w.run(ctx)
	}()
	return <-result
}

func (w *Worker) run(ctx context.Context) error {
	stop := context.AfterFunc(ctx, w.queue.Wake)
	defer stop()
	err := pin(w.affinity)
	w.now = w.clock()
	if err == nil {
		err = w.adapt(nil)
	}
	for err == nil && ctx.Err() == nil {
		err = w.step()
		if w.asked.Load() {
			w.asked.Store(false)
		}
	}
	if cerr := w.close(); err == nil {
		err = cerr
	}
	return err
}

// step waits for packets or for the core's next deadline, and answers.
func (w *Worker) step() error {
	n, err := w.queue.Receive(w.batch, w.wait())
	if err != nil {
		return err
	}
	w.now = w.clock()
	w.verdicts.Reset()
	// What is overdue goes first: a late packet must not complete it.
	if deadline, ok := w.core.NextDeadline(); ok && deadline <= w.now {
		w.core.Expire(w.now, &w.verdicts)
	}
	w.core.ProcessBatch(w.now, w.batch[:n], &w.verdicts)
	if err := w.answer(); err != nil {
		return err
	}
	w.core.Rest()
	return w.adapt(w.batch[:n])
}

// adapt has as much of each packet copied as is cheapest or wanted. The packets are
// those of the batch that was answered last.
func (w *Worker) adapt(packets []firewall.Packet) error {
	if w.rule.part == 0 {
		return nil
	}
	w.rule.decided(w.now, packets, w.verdicts.List)
	whole := w.rule.whole || w.whole != nil && w.whole()
	if whole == w.copies {
		return nil
	}
	w.copies = whole
	if whole {
		return w.queue.SetCopyRange(0)
	}
	return w.queue.SetCopyRange(w.rule.part)
}

// wait is how long the queue may stay silent until the core wants to be asked.
func (w *Worker) wait() time.Duration {
	deadline, ok := w.core.NextDeadline()
	if !ok {
		return -1
	}
	return max(time.Duration(deadline-w.now), minWait)
}

// answer gives the verdicts, and sends what is sent besides.
func (w *Worker) answer() error {
	if w.send != nil {
		for i := range w.verdicts.Answers {
			a := &w.verdicts.Answers[i]
			w.send(a.Data, a.Device)
		}
	}
	if len(w.verdicts.List) == 0 {
		return nil
	}
	return w.queue.SetVerdicts(w.verdicts.List)
}

// close drops what is held and gives the queue up. After a failure of the
// queue the verdicts may not arrive; then closing it makes the kernel drop.
func (w *Worker) close() error {
	w.verdicts.Reset()
	w.core.Flush(&w.verdicts)
	err := w.answer()
	w.core.Rest()
	if cerr := w.queue.Close(); err == nil {
		err = cerr
	}
	return err
}
