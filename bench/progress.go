package main

import (
	"fmt"
	"slices"
	"time"
)

// progress says how much time is left. It expects of each step what it is known to take,
// and of all that are left what the steps so far took of what was expected of them.
type progress struct {
	now         func() time.Time
	began       time.Time
	all, behind time.Duration // expected
}

// What steps take beside the time in which is measured.
const (
	startTime = 800 * time.Millisecond // to start a variant, and end it
	openTime  = 15 * time.Microsecond  // to open a flow
	stepTime  = 80 * time.Millisecond  // to set up a measurement, and wait for its packets
)

// startTime is how long a variant's start takes in a cell.
func (c cell) startTime() time.Duration { return startTime + time.Duration(c.flows)*openTime }

// step is how long a measurement takes: there is a tenth before it.
func (o options) step() time.Duration { return stepTime + o.duration*11/10 }

// newProgress expects the variants in these cells.
func newProgress(o options, list []cell, chosen []variant, now func() time.Time) *progress {
	p := &progress{now: now, began: now()}
	for _, c := range list {
		var names []string
		for _, v := range chosen {
			if c.takes(v) {
				p.all += c.startTime() + time.Duration(o.rounds)*o.step()
				names = append(names, v.name())
			}
		}
		if !o.latency {
			continue
		}
		for _, loads := range timedLoads(c, names) {
			p.all += c.startTime() + time.Duration(o.rounds*loads)*o.step()
		}
	}
	return p
}

// timedLoads is at how many loads latency is taken of each of these variants that it is
// taken of; see measureLatency.
func timedLoads(c cell, names []string) (loads []int) {
	if !c.timed() {
		return nil
	}
	for _, name := range names {
		switch {
		case !slices.Contains(timedVariants, name):
		case name == "c_loop" || !slices.Contains(names, "c_loop"):
			loads = append(loads, 1)
		default:
			loads = append(loads, 2)
		}
	}
	return loads
}

// did has steps done of which this was expected.
func (p *progress) did(expected time.Duration) { p.behind += expected }

// String says what is left.
func (p *progress) String() string {
	left := p.all - p.behind
	if took := p.now().Sub(p.began); p.behind > 0 {
		left = time.Duration(float64(left) * took.Seconds() / p.behind.Seconds())
	}
	switch left = max(0, left); {
	case left < time.Minute:
		return fmt.Sprintf("%.0f s left", left.Seconds())
	default:
		return fmt.Sprintf("%.0f min left", left.Minutes())
	}
}
