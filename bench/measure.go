package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"sttwall/internal/load"
)

// entry is a variant under measurement.
type entry struct {
	variant variant
	lab     *load.Lab
	running running

	window           int
	pps, gbps, ratio []float64
	cpu, own         []float64
	lost             uint64
	err              error
}

// measure measures all variants in one cell.
func measure(ctx context.Context, o options, c cell, variants []variant) (rows []Row, err error) {
	fmt.Fprintln(os.Stderr, c)
	var entries []*entry
	defer func() {
		for _, e := range entries {
			err = errors.Join(err, e.end())
		}
	}()
	for _, v := range variants {
		fmt.Fprintf(os.Stderr, "  start %s\n", v.name())
		e := &entry{variant: v}
		entries = append(entries, e)
		if e.err = e.begin(ctx, c); e.err != nil {
			fmt.Fprintf(os.Stderr, "  %s: %v\n", v.name(), e.err)
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	traffic := load.Traffic{Packet: c.packet, Flows: c.flows}
	for round := range o.rounds {
		base := 0.0
		for _, e := range entries {
			if e.err != nil {
				continue
			}
			r, err := e.lab.Measure(ctx, traffic, o.duration)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err != nil {
				e.err = err
				continue
			}
			if e.variant.name() == "forward" {
				base = r.PPS
			}
			e.add(r, base)
			fmt.Fprintf(os.Stderr, "  round %d/%d %-20s %8.0f pps %.3f %5d ns%s\n", round+1, o.rounds, e.variant.name(), r.PPS, r.PPS/base, int(e.own[len(e.own)-1]), lostNote(r))
		}
	}
	for _, e := range entries {
		rows = append(rows, e.row(c))
	}
	return rows, nil
}

func lostNote(r load.Result) string {
	if r.Lost == 0 {
		return ""
	}
	return fmt.Sprintf(" LOST %d of %d", r.Lost, r.Packets)
}

func (e *entry) begin(ctx context.Context, c cell) (err error) {
	e.window = load.DefaultWindow
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
		errs = append(errs, e.running.stop())
	}
	if e.lab != nil {
		errs = append(errs, e.lab.Close())
	}
	return errors.Join(errs...)
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
	e.cpu = append(e.cpu, busy)
	own := r.Process
	if e.running.pid() == 0 && r.Process == 0 {
		own = r.Source // forwarding
	}
	e.own = append(e.own, float64(own.Nanoseconds()))
	e.lost += r.Lost
}

func (e *entry) row(c cell) Row {
	r := Row{
		Variant: e.variant.name(), Packet: c.packet.String(), Queues: c.queues, Flows: c.flows,
		PPS: median(e.pps), Gbps: median(e.gbps), Ratio: median(e.ratio), CPU: median(e.cpu), Time: median(e.own), Lost: e.lost, Window: e.window,
	}
	if e.err != nil {
		r.Error = e.err.Error()
	}
	return r
}
