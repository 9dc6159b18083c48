package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/internal/load"
)

// entry is a variant under measurement in a cell.
type entry struct {
	variant variant
	lab     *load.Lab
	running running

	window           int
	pps, gbps, ratio []float64
	busy, own        []float64
	waited           []float64
	lost             uint64
	calls            float64
	latency          []*latencies
	err              error // why there are no more figures
}

// measure measures all variants in one cell.
func measure(ctx context.Context, o options, c cell, variants []variant) (rows []Row, err error) {
	fmt.Fprintf(os.Stderr, "%v; %v\n", c, o.progress)
	var entries []*entry
	defer func() {
		for _, e := range entries {
			err = errors.Join(err, e.end())
		}
	}()
	for _, v := range variants {
		if !c.takes(v) {
			continue
		}
		fmt.Fprintf(os.Stderr, "  start %s\n", v.name())
		e := &entry{variant: v, window: load.DefaultWindow}
		entries = append(entries, e)
		e.fail(e.begin(ctx, c))
		o.progress.did(c.startTime())
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	if c.flows > usualFlows {
		unix.Sync() // what was logged of so many is not written while others are measured
	}
	traffic := load.Traffic{Packet: c.packet, Flows: c.flows}
	for round := range o.rounds {
		base := 0.0
		for _, e := range entries {
			o.progress.did(o.step())
			if e.err != nil {
				continue
			}
			r, err := e.once(ctx, traffic, o)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				e.fail(err)
				continue
			}
			if e.variant.name() == "forward" {
				base = r.PPS
			}
			e.add(r, base)
			fmt.Fprintf(os.Stderr, "  round %d/%d %-20s %8.0f pps %.3f %5.0f ns, waited %.1f; %v\n", round+1, o.rounds, e.variant.name(), r.PPS, r.PPS/base, e.own[len(e.own)-1], r.Waited, o.progress)
		}
	}
	// Latency is taken of variants that were started anew: what they count themselves is
	// of full load alone.
	for _, e := range entries {
		e.fail(e.end())
	}
	if o.latency && c.timed() {
		if err := measureLatency(ctx, o, c, entries); err != nil {
			return nil, err
		}
	}
	for _, e := range entries {
		rows = append(rows, e.row(c))
	}
	return rows, nil
}

// fail keeps the first error.
func (e *entry) fail(err error) {
	if err != nil && e.err == nil {
		e.err = err
		fmt.Fprintf(os.Stderr, "  %s: %v\n", e.variant.name(), err)
	}
}

func (e *entry) begin(ctx context.Context, c cell) (err error) {
	if e.lab, err = load.NewLab(load.LabConfig{CPU: sourceCPU, Window: e.window}); err != nil {
		return err
	}
	if e.running, err = e.variant.start(ctx, e.lab, placeOf(c)); err != nil {
		return err
	}
	return e.lab.Open(ctx, load.Traffic{Packet: c.packet, Flows: c.flows})
}

func (e *entry) end() error {
	var errs []error
	if e.running != nil {
		calls, err := e.running.stop()
		if errs = append(errs, err); e.latency == nil {
			e.calls = calls
		}
		e.running = nil
	}
	if e.lab != nil {
		errs = append(errs, e.lab.Close())
		e.lab = nil
	}
	return errors.Join(errs...)
}

// smallestWindow is where it ends: a frame of 45 segments, and some.
const smallestWindow = 64

// longest is for how long it is measured again at most where nothing arrives.
const longest = 10 * time.Second

// once measures once. Losses say that the window is more than the variant can hold: it is
// made smaller, and what was measured does not count.
func (e *entry) once(ctx context.Context, t load.Traffic, o options) (load.Result, error) {
	for duration := o.duration; ; {
		r, err := e.lab.Measure(ctx, t, duration)
		if err == nil && r.PPS == 0 && r.Lost == 0 && duration < longest {
			duration *= 4 // on a busy host a variant may have to wait for its processor
			continue
		}
		if err != nil || r.Lost == 0 || e.window <= smallestWindow {
			return r, err
		}
		e.window /= 2
		fmt.Fprintf(os.Stderr, "  %s lost %d of %d packets: again, with %d on their way at most\n", e.variant.name(), r.Lost, r.Packets, e.window)
		e.lab.SetWindow(e.window)
	}
}

func (e *entry) add(r load.Result, base float64) {
	e.pps, e.gbps = append(e.pps, r.PPS), append(e.gbps, r.Gbps)
	if base > 0 {
		e.ratio = append(e.ratio, r.PPS/base)
	}
	busy := 0.0
	for cpu, b := range r.Busy {
		if cpu != sourceCPU {
			busy += b
		}
	}
	e.busy, e.waited = append(e.busy, busy), append(e.waited, r.Waited)
	own := r.Process
	if own == 0 {
		own = r.Source // nothing but the kernel is in the firewall's namespace
	}
	e.own = append(e.own, float64(own.Nanoseconds()))
	e.lost += r.Lost
}

func (e *entry) row(c cell) Row {
	r := Row{
		Variant: e.variant.name(), Packet: c.packet.String(), Queues: c.queues, Flows: c.flows,
		PPS: median(e.pps), Each: e.pps, Gbps: median(e.gbps), Ratio: median(e.ratio), CPU: median(e.busy), Time: median(e.own), Lost: e.lost,
		SystemCalls: e.calls, Window: e.window, Waited: median(e.waited),
	}
	for _, l := range e.latency {
		r.Latency = append(r.Latency, l.row())
	}
	if e.err != nil {
		r.Error = e.err.Error()
	}
	return r
}
