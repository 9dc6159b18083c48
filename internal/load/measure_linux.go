package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"golang.org/x/sys/unix"
)

// Result is what came of a [Lab.Measure].
type Result struct {
	// PPS is packets a second at the sink, Gbps their outer IP packets in Gbit/s.
	PPS, Gbps float64
	// Packets is how many were sent, Lost how many of them never came. A loss is the
	// doing of whoever is under test, or the window is too large for it.
	Packets, Lost uint64
	// Busy is how many CPUs were busy, by CPU, 0 to 1 each. The source keeps its own
	// CPU busy.
	Busy []float64
	// Process is the processor time a packet of the processes in the firewall's
	// namespace; Source that of the source's thread, which is also where the packets
	// are forwarded if no queue is in their way. Neither grows when other programs
	// take their share of a CPU.
	Process, Source time.Duration
	// Waited is how often the source found the window full, for each time that it sent
	// a packet. Near 0 the source is what limits the throughput, not what is under test.
	Waited float64
	// Elapsed is how long it took.
	Elapsed time.Duration
}

// How long the rest of the packets may take, since a host may be busy, and how often that
// is looked at.
const (
	drainBound = 10 * time.Second
	drainLook  = time.Millisecond
)

// Measure sends traffic from left to right for a time and says how much arrived. Flows
// are opened first if they are not yet.
func (l *Lab) Measure(ctx context.Context, t Traffic, duration time.Duration) (Result, error) {
	if err := l.Open(ctx, t); err != nil {
		return Result{}, err
	}
	return l.flow(ctx, t, duration, 0)
}

// SetWindow changes [LabConfig.Window].
func (l *Lab) SetWindow(packets int) { l.config.Window = packets }

// sender is what packets come from.
type sender interface {
	// run sends until stop is closed, on the calling thread, which is in the
	// firewall's namespace. It calls begun when all is ready.
	run(stop <-chan struct{}, begun func()) error
	close() error
}

// sender returns one for a step of the traffic; the board is made ready for it.
func (l *Lab) sender(t Traffic, s step, stamp bool) (sender, error) {
	from := l.sides[0]
	if s.back() {
		from = l.sides[1]
	}
	list, err := frames(&l.config.Ends, t, s, from.routerMAC, from.mac)
	if err != nil {
		return nil, err
	}
	for _, at := range []int{boardHead, boardPiece, boardFlow} {
		l.board.half(at).Store(0)
	}
	c := sourceConfig{traffic: t, step: s, clientLow: l.config.Ends.clientLow(), frames: list, stamp: stamp, batch: uint32(l.config.Batch), ifindex: from.ifindex}
	if t.super(s) {
		return l.superSender(c)
	}
	if err := l.InFirewall(func() error { return l.listen(true) }); err != nil {
		return nil, err
	}
	if stamp {
		c.batch = 1 // none waits for the next one
	}
	return newSource(l.board, c)
}

// pace has the source send a packet every gap; 0 is as fast as the window allows.
func (l *Lab) pace(gap time.Duration) {
	l.board.word(boardWindow).Store(uint64(l.config.Window))
	l.board.word(boardGap).Store(uint64(gap))
	l.board.word(boardDue).Store(uint64(monotonic()))
}

// monotonic reads the clock of bpf_ktime_get_ns.
func monotonic() time.Duration {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0 // every Linux has it
	}
	return time.Duration(now.Nano())
}

// countWhole has seen count packets as they were sent. A super-segment may come in pieces:
// there are receivers in between that have the kernel cut it up.
func (l *Lab) countWhole(t Traffic) {
	l.whole, l.payloadBefore = 0, l.board.sum(seenBytes)
	if t.Packet == GSO64K {
		l.whole = uint64(packets[GSO64K].payload)
	}
}

// seen is how many packets of those that were sent have come.
func (l *Lab) seen() uint64 { return l.asSent(l.board.sums()) }

// asSent is how many packets that were sent these are.
func (l *Lab) asSent(pieces, payload uint64) uint64 {
	if l.whole == 0 {
		return pieces
	}
	return (payload - l.payloadBefore) / l.whole
}

// forgetLost has what was lost before be not on its way any more. It returns how many
// packets were sent and came.
func (l *Lab) forgetLost() uint64 {
	seen := l.seen()
	l.board.word(boardSent).Store(seen)
	return seen
}

// run has a sender run until stop is closed, on its CPU. thread is told the file of its
// processor time once it runs, and closed at the end.
func (l *Lab) run(from sender, stop <-chan struct{}, thread chan<- string) error {
	defer close(thread)
	return l.InFirewall(func() error {
		if err := pin(l.config.CPU); err != nil {
			return err
		}
		return from.run(stop, func() { thread <- fmt.Sprintf("/proc/self/task/%d/schedstat", unix.Gettid()) })
	})
}

// wholeFrames waits until the sender, which is at its limit, has sent the last segment of
// the frame that it is in: half a frame never leaves a firewall.
func (l *Lab) wholeFrames() {
	for began := time.Now(); l.board.half(boardPiece).Load() != 0 && time.Since(began) < drainBound; {
		time.Sleep(drainLook)
	}
}

// arrived waits until the sinks have seen so many packets since the lab began. It gives up
// when they have seen none for as long as bound.
func (l *Lab) arrived(ctx context.Context, want uint64, bound time.Duration) error {
	last, since := uint64(0), time.Now()
	for {
		seen := l.seen()
		if seen >= want {
			return nil
		}
		if seen != last {
			last, since = seen, time.Now()
		}
		if time.Since(since) > bound {
			return fmt.Errorf("%d of %d packets are missing", want-seen, want)
		}
		if err := wait(ctx, drainLook); err != nil {
			return err
		}
	}
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// flow sends data for a time: with a gap between packets, and the time in each, or as
// fast as can be if that is 0.
func (l *Lab) flow(ctx context.Context, t Traffic, duration, gap time.Duration) (r Result, err error) {
	l.countWhole(t)
	src, err := l.sender(t, stepData, gap != 0)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = errors.Join(err, src.close()) }()
	sent := l.forgetLost()
	l.pace(gap)
	l.board.word(boardLimit).Store(math.MaxUint64)
	stop, thread := make(chan struct{}), make(chan string, 1)
	errs := make(chan error, 1)
	go func() { errs <- l.run(src, stop, thread) }()

	r, err = l.sample(ctx, duration, thread)
	l.board.word(boardLimit).Store(0)
	l.wholeFrames()
	close(stop)
	if err := errors.Join(err, <-errs); err != nil {
		return Result{}, err
	}
	end := l.board.word(boardSent).Load()
	r.Packets = end - sent
	if l.arrived(ctx, end, drainBound) != nil {
		r.Lost = end - l.seen()
	}
	return r, ctx.Err()
}

// sample looks at the sinks before and after a time.
func (l *Lab) sample(ctx context.Context, duration time.Duration, thread <-chan string) (r Result, err error) {
	source, ok := <-thread
	if !ok {
		return r, nil // it could not start: it says why itself
	}
	if err := wait(ctx, duration/10); err != nil { // until all are warm
		return r, err
	}
	before, err := l.look(source)
	if err != nil {
		return r, err
	}
	if err := wait(ctx, duration); err != nil {
		return r, err
	}
	after, err := l.look(source)
	if err != nil {
		return r, err
	}
	r.Elapsed = after.at.Sub(before.at)
	packets := after.packets - before.packets
	r.PPS = float64(packets) / r.Elapsed.Seconds()
	r.Gbps = float64(after.payload-before.payload+outerLen*(after.pieces-before.pieces)) * 8 / r.Elapsed.Seconds() / 1e9
	r.Busy = after.busy.since(before.busy)
	if packets > 0 {
		r.Process = after.process.since(before.process) / time.Duration(packets)
		r.Source = (after.source - before.source) / time.Duration(packets)
		r.Waited = float64(after.full-before.full) / float64(packets)
	}
	return r, nil
}

// reading is what was counted at a moment.
type reading struct {
	at                       time.Time
	packets, pieces, payload uint64 // packets as they were sent, and as they came
	full                     uint64
	busy                     busy
	process                  processTime
	source                   time.Duration
}

func (l *Lab) look(source string) (r reading, err error) {
	if r.process, err = l.processTime(source); err != nil {
		return r, err
	}
	if r.source, err = schedstat(source); err != nil {
		return r, err
	}
	if r.busy, err = readBusy(); err != nil {
		return r, err
	}
	r.full = l.board.word(boardFull).Load()
	r.pieces, r.payload = l.board.sums()
	r.packets, r.at = l.asSent(r.pieces, r.payload), time.Now()
	return r, nil
}
