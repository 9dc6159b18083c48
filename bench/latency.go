package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	"sttwall/internal/load"
)

// latencies are what the packets of one load took, round by round, in microseconds.
type latencies struct {
	load           string
	pps            float64
	p50, p99, p999 []float64
}

func (l *latencies) row() Latency {
	return Latency{Load: l.load, PPS: l.pps, P50: median(l.p50), P99: median(l.p99), P999: median(l.p999)}
}

func (l *latencies) add(h *load.Histogram) {
	for _, q := range []struct {
		list *[]float64
		part float64
	}{{&l.p50, 0.5}, {&l.p99, 0.99}, {&l.p999, 0.999}} {
		*q.list = append(*q.list, float64(h.Quantile(q.part))/float64(time.Microsecond))
	}
}

// timedVariants have their latency taken.
var timedVariants = []string{"forward", "c_loop", "c_many", "c_batch", "sttwall_accept", "sttwall_rules_1000"}

// timed reports whether latency is taken in a cell.
func (c cell) timed() bool {
	return c.queues == 1 && c.flows == 1000 && c.packet != load.Segments45 && c.packet != load.Shuffled45
}

// measureLatency takes it, in turn, at half of what each variant can, and at half of what
// the C loop of the documentation can, which is the same for all.
func measureLatency(ctx context.Context, o options, c cell, entries []*entry) error {
	t := load.Traffic{Packet: c.packet, Flows: c.flows}
	var common float64
	var chosen []*entry
	for _, e := range entries {
		if e.err != nil || !slices.Contains(timedVariants, e.variant.name()) {
			continue
		}
		if e.variant.name() == "c_loop" {
			common = median(e.pps) / 2
		}
		chosen = append(chosen, e)
	}
	defer func() {
		for _, e := range chosen {
			e.fail(e.end())
		}
	}()
	for _, e := range chosen {
		e.latency = append(e.latency, &latencies{load: "half", pps: median(e.pps) / 2})
		if common > 0 && e.variant.name() != "c_loop" {
			e.latency = append(e.latency, &latencies{load: "half of c_loop", pps: common})
		}
		e.fail(e.begin(ctx, c))
		o.progress.did(c.startTime())
	}
	for round := range o.rounds {
		for _, e := range chosen {
			for _, l := range e.latency {
				o.progress.did(o.step())
				if e.err != nil {
					continue
				}
				r, err := e.lab.Latency(ctx, t, l.pps, o.duration)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				if err == nil && r.Wrong > 0 {
					err = fmt.Errorf("%d packets came without their time", r.Wrong)
				}
				if err != nil {
					e.fail(err)
					continue
				}
				l.add(&r.Times)
				e.lost += r.Lost
				fmt.Fprintf(os.Stderr, "  latency %d/%d %-20s at %7.0f pps: p50 %v p99 %v p99.9 %v; %v\n", round+1, o.rounds, e.variant.name(), l.pps,
					r.Times.Quantile(0.5), r.Times.Quantile(0.99), r.Times.Quantile(0.999), o.progress)
			}
		}
	}
	return nil
}
