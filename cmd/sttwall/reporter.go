package main

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"

	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/reason"
)

// logBacklog bounds the frames that wait to be logged; beyond it they are
// counted.
const logBacklog = 1024

// reporter logs what a running firewall does: the frames that a rule with
// log = true decided, and now and then what was dropped or lost.
type reporter struct {
	log    *slog.Logger
	frames chan firewall.FrameEvent
	missed atomic.Uint64
	last   totals
}

// totals are sums over all workers and queues.
type totals struct {
	firewall.Totals
	overruns, refused, late  uint64
	kernelFull, kernelBuffer uint64
	missed                   uint64
}

func newReporter(log *slog.Logger) *reporter {
	return &reporter{log: log, frames: make(chan firewall.FrameEvent, logBacklog)}
}

// observe takes a frame from a worker and never waits.
func (r *reporter) observe(e *firewall.FrameEvent) {
	if !e.Decision.Log {
		return
	}
	event := *e
	event.InnerData = nil // borrowed
	select {
	case r.frames <- event:
	default:
		r.missed.Add(1)
	}
}

// run logs until ctx ends, and then once more.
func (r *reporter) run(ctx context.Context, inline *nfq.Inline, every time.Duration) {
	var tick <-chan time.Time
	if every > 0 {
		ticker := time.NewTicker(every)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case e := <-r.frames:
			r.frame(&e)
		case <-tick:
			r.losses(r.sum(inline))
		case <-ctx.Done():
			r.last = totals{}
			now := r.sum(inline)
			r.losses(now)
			r.log.Info("the firewall has stopped", "accepted", now.FramesAccepted, "rewritten", now.FramesRewritten, "dropped", now.FramesDropped)
			return
		}
	}
}

func (r *reporter) frame(e *firewall.FrameEvent) {
	in := &e.Inner
	r.log.Info("frame", "verdict", e.Verdict.String(), "tenant", e.Decision.Tenant, "rule", e.Decision.Rule,
		"context", e.Header.ContextID, "outer_src", e.Src, "outer_dst", e.Dst,
		"src", in.Src, "src_port", in.SrcPort, "dst", in.Dst, "dst_port", in.DstPort, "protocol", in.Protocol)
}

func (r *reporter) sum(inline *nfq.Inline) totals {
	t := totals{Totals: inline.Totals(), missed: r.missed.Load()}
	for _, q := range inline.QueueStats() {
		t.overruns += q.Overruns
		t.refused += q.PayloadRefused + q.VerdictsLost + q.Unreadable
		t.late += q.Late
		t.kernelFull += uint64(q.Kernel.DroppedFull)
		t.kernelBuffer += uint64(q.Kernel.DroppedBuffer)
	}
	return t
}

// losses logs what was dropped and lost since the last time.
func (r *reporter) losses(now totals) {
	for i := range now.Reasons {
		if n := now.Reasons[i] - r.last.Reasons[i]; n > 0 {
			why := reason.Reason(i)
			r.log.Info("dropped", "reason", why.String(), "count", n, "remedy", why.Remedy())
		}
	}
	for _, loss := range []struct {
		what      string
		now, then uint64
	}{
		{"packets lost: the receive buffer was full", max(now.overruns, now.kernelBuffer), max(r.last.overruns, r.last.kernelBuffer)},
		{"packets lost: the queue was full", now.kernelFull, r.last.kernelFull},
		{"packets dropped: the kernel could not carry their verdict", now.refused, r.last.refused},
		{"verdicts came too late: the kernel had dropped the packets", now.late, r.last.late},
		{"frames not logged: too many at once", now.missed, r.last.missed},
	} {
		if n := loss.now - loss.then; n > 0 {
			r.log.Warn(loss.what, "at_least", n)
		}
	}
	r.last = now
}
