package main

import (
	"context"
	"errors"
	"math"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// contest is one piece of work, and all who can do it. The first contestant is
// sttwall.
type contest struct {
	job string
	// units is how many units are in a piece of work: the segments of a frame.
	units       int
	contestants []contestant
}

type contestant struct {
	variant string
	// run does the work n times. What it returns is an error only if the work was
	// not done: a run is not measured then.
	run func(n int) error
	// whole: one run is a command that takes its time; n is 1.
	whole bool
}

// errRefused: a contestant refused what it should take.
var errRefused = errors.New("the packet was refused")

// ours is the contestant that all others are compared with.
const ours = "sttwall"

// measure lets each contestant work in turn, for a slot of about that length in
// each of so many rounds, unless ctx ends before.
func (c *contest) measure(ctx context.Context, layer string, rounds int, slot time.Duration) ([]Row, error) {
	n := make([]int, len(c.contestants))
	for i := range c.contestants {
		var err error
		if n[i], err = c.contestants[i].calibrate(slot); err != nil {
			return nil, err
		}
	}
	times := make([][]float64, len(c.contestants)) // of a unit in ns, by round
	rows := make([]Row, len(c.contestants))
	for round := range rounds {
		for i := range c.contestants {
			// Nobody is always the first, and nobody always follows the same one.
			i = (i + round) % len(c.contestants)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			took, allocs, err := c.contestants[i].turn(n[i])
			if err != nil {
				return nil, err
			}
			units := float64(n[i] * c.units)
			times[i] = append(times[i], float64(took)/units)
			if !c.contestants[i].whole {
				each := thousandths(float64(allocs) / units)
				rows[i].Allocs = &each
			}
		}
	}
	for i := range rows {
		r := &rows[i]
		r.Layer, r.Variant, r.Case = layer, c.contestants[i].variant, c.job
		ratios := make([]float64, rounds)
		for k := range ratios {
			ratios[k] = times[i][k] / times[0][k]
		}
		r.NS, r.Ratio = thousandths(median(times[i])), thousandths(median(ratios))
	}
	return rows, nil
}

// calibrate returns how often the work is done in a slot.
func (c *contestant) calibrate(slot time.Duration) (int, error) {
	if c.whole {
		return 1, c.run(1)
	}
	for n := 1; ; n *= 2 {
		began, err := c.spent()
		if err != nil {
			return 0, err
		}
		if err := c.run(n); err != nil {
			return 0, err
		}
		now, err := c.spent()
		if err != nil {
			return 0, err
		}
		if took := now - began; took >= slot/4 || n >= math.MaxInt32 {
			return max(1, int(float64(n)*float64(slot)/float64(took))), nil
		}
	}
}

// turn lets a contestant work. What others have left to the garbage collector is
// collected first, and what was in the caches comes back.
func (c *contestant) turn(n int) (took time.Duration, allocs uint64, err error) {
	if !c.whole {
		runtime.GC()
		if err := c.run(n/16 + 1); err != nil {
			return 0, 0, err
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, err := c.spent()
	if err != nil {
		return 0, 0, err
	}
	if err := c.run(n); err != nil {
		return 0, 0, err
	}
	now, err := c.spent()
	runtime.ReadMemStats(&after)
	return now - began, after.Mallocs - before.Mallocs, err
}

// spent returns the processor time that was spent until now: by this process, its
// garbage collector included, or by the commands that it has run. It stands
// still while other programs have the processor.
func (c *contestant) spent() (time.Duration, error) {
	if !c.whole {
		var t unix.Timespec
		err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &t)
		return time.Duration(t.Nano()), err
	}
	var r unix.Rusage
	err := unix.Getrusage(unix.RUSAGE_CHILDREN, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano()), err
}

func median(of []float64) float64 {
	s := slices.Sorted(slices.Values(of))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// thousandths leaves off what no measurement tells.
func thousandths(x float64) float64 { return math.Round(x*1000) / 1000 }
