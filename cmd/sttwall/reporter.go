package main

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/nfq"
	"sttwall/reason"
)

// logBacklog bounds the frames that wait to be logged; beyond it, and beyond the
// rates of frameLimit, they are counted.
const logBacklog = 1024

// reporter logs what a running firewall does: the frames that a rule with
// log = true decided, inner addresses that move or are forged, and now and then what
// was dropped or lost.
type reporter struct {
	log    *slog.Logger
	frames chan firewall.FrameEvent
	missed atomic.Uint64
	limit  *frameLimit
	last   totals

	spoofs                    chan spoof
	moveLimit, impostorLimit  *limit.Bucket
	missedMoves, missedSpoofs atomic.Uint64

	rules, tenants map[string]firewall.Tally // as they were last
}

// totals are sums over all workers and queues.
type totals struct {
	firewall.Totals
	overruns, refused, late   uint64
	kernelFull, kernelBuffer  uint64
	otherErrors               uint64
	table                     nfq.TableCounters
	missed                    uint64
	missedMoves, missedSpoofs uint64
	unlearned                 uint64 // claims for which the table of bindings had no room
}

func newReporter(log *slog.Logger) *reporter {
	return &reporter{
		log: log, frames: make(chan firewall.FrameEvent, logBacklog), limit: newFrameLimit(), spoofs: make(chan spoof, logBacklog),
		moveLimit: limit.NewBucket(moveRate), impostorLimit: limit.NewBucket(impostorRate),
	}
}

// observe takes a frame from a worker and never waits.
func (r *reporter) observe(e *firewall.FrameEvent) {
	r.observeSpoofs(e)
	if !e.Decision.Log {
		return
	}
	if !r.limit.take(e.Time, e.Src) {
		r.missed.Add(1)
		return
	}
	event := *e
	event.Forget()
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
		case s := <-r.spoofs:
			r.spoof(&s)
		case <-tick:
			r.losses(r.sum(inline))
			r.drops(inline.Tallies())
		case <-ctx.Done():
			for len(r.frames) > 0 {
				e := <-r.frames
				r.frame(&e)
			}
			for len(r.spoofs) > 0 {
				s := <-r.spoofs
				r.spoof(&s)
			}
			now := r.sum(inline)
			r.losses(now)
			r.drops(inline.Tallies())
			r.log.Info("the firewall has stopped", "accepted", now.FramesAccepted, "rewritten", now.FramesRewritten, "dropped", now.FramesDropped)
			return
		}
	}
}

func (r *reporter) frame(e *firewall.FrameEvent) {
	in := &e.Inner
	fields := []any{"verdict", e.Verdict.String(), "tenant", e.Decision.Tenant, "rule", e.Decision.Rule,
		"context", fmt.Sprintf("0x%016x", e.Header.ContextID), "outer_src", e.Src, "outer_dst", e.Dst,
		"ethertype", fmt.Sprintf("0x%04x", in.EtherType)}
	if in.IP != 0 {
		fields = append(fields, "protocol", in.Protocol, "src", in.Src, "dst", in.Dst)
	}
	if in.HasPorts {
		fields = append(fields, "src_port", in.SrcPort, "dst_port", in.DstPort)
	}
	if in.HasICMP {
		fields = append(fields, "icmp_type", in.ICMPType, "icmp_code", in.ICMPCode)
	}
	r.log.Info("frame", fields...)
}

func (r *reporter) sum(inline *nfq.Inline) totals {
	t := totals{Totals: inline.Totals(), missed: r.missed.Load(), missedMoves: r.missedMoves.Load(), missedSpoofs: r.missedSpoofs.Load()}
	t.unlearned = inline.Shared().Bindings().Stats().Unlearned
	for _, q := range inline.QueueStats() {
		t.overruns += q.Overruns
		t.refused += q.PayloadRefused + q.VerdictsLost + q.Unreadable
		t.late += q.Late
		t.otherErrors += q.OtherErrors
		t.kernelFull += uint64(q.Kernel.DroppedFull)
		t.kernelBuffer += uint64(q.Kernel.DroppedBuffer)
	}
	if table := inline.Table(); table != nil {
		// Somebody may have removed it; then there is nothing to tell.
		if counted, err := table.Counters(); err == nil {
			t.table = counted
		}
	}
	return t
}

// losses logs what was dropped and lost since the last time.
func (r *reporter) losses(now totals) {
	// What cannot be read any more has not gone down.
	now.kernelFull, now.kernelBuffer = max(now.kernelFull, r.last.kernelFull), max(now.kernelBuffer, r.last.kernelBuffer)
	if now.table.Queued < r.last.table.Queued {
		now.table = r.last.table
	}
	for i := range now.Reasons {
		if n := now.Reasons[i] - r.last.Reasons[i]; n > 0 {
			why := reason.Reason(i)
			r.log.Info("dropped", "reason", why.String(), "count", n, "remedy", why.Remedy())
		}
	}
	for _, drop := range []struct {
		what      string
		now, then uint64
	}{
		{reason.OuterFragment.String(), now.table.OuterFragment, r.last.table.OuterFragment},
		{reason.EndpointUnknown.String(), now.table.EndpointUnknown, r.last.table.EndpointUnknown},
		{"other_tunnel", now.table.OtherTunnel, r.last.table.OtherTunnel},
		{"gso_too_small", now.table.GSOTooSmall, r.last.table.GSOTooSmall},
		{"endpoint_interface", now.table.EndpointInterface, r.last.table.EndpointInterface},
		{"endpoint_rate", now.table.EndpointRate, r.last.table.EndpointRate},
		{"encapsulated", now.table.Encapsulated, r.last.table.Encapsulated},
		{"not_stt", now.table.NotSTT, r.last.table.NotSTT},
		{"late segments of dropped frames", now.LatePackets, r.last.LatePackets},
	} {
		if drop.now > drop.then {
			r.log.Info("packets dropped", "reason", drop.what, "count", drop.now-drop.then)
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
		{"errors on the queue's socket", now.otherErrors, r.last.otherErrors},
		{"frames not logged: too many at once", now.missed, r.last.missed},
		{"moves of bindings not logged: too many at once", now.missedMoves, r.last.missedMoves},
		{"frames from where their sender does not live not logged: too many at once", now.missedSpoofs, r.last.missedSpoofs},
		{"inner addresses, MACs and ports not bound: no room, see settings.bindings", now.unlearned, r.last.unlearned},
		{"rejected frames were not answered: over settings.reject_rate", now.RejectsLimited, r.last.RejectsLimited},
	} {
		if loss.now > loss.then {
			r.log.Warn(loss.what, "at_least", loss.now-loss.then)
		}
	}
	r.last = now
}

// drops logs which rules and tenants have dropped, or would have, since the last
// time.
func (r *reporter) drops(rules, tenants map[string]firewall.Tally) {
	r.dropsOf("rule", rules, r.rules)
	r.dropsOf("tenant", tenants, r.tenants)
	r.rules, r.tenants = rules, tenants
}

func (r *reporter) dropsOf(what string, now, last map[string]firewall.Tally) {
	for _, name := range slices.Sorted(maps.Keys(now)) {
		if n := now[name].Dropped - last[name].Dropped; n > 0 {
			r.log.Info("dropped by "+what, what, name, "count", n)
		}
		if n := now[name].Audited - last[name].Audited; n > 0 {
			r.log.Info("would be dropped by "+what+", but for audit mode", what, name, "count", n)
		}
	}
}
