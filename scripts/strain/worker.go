package main

import (
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/firewall"
)

// measure prints what batches of packets wait while the other is at work.
func (t *testee) measure(ctx context.Context, o other) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var running sync.WaitGroup
	rounds, failed := 0, error(nil)
	if o.work != nil {
		running.Go(func() {
			for ctx.Err() == nil {
				if err := o.work(ctx); err != nil && ctx.Err() == nil {
					failed = err
					return
				}
				rounds++
			}
		})
	}
	time.Sleep(settle)
	var before, after debug.GCStats
	debug.ReadGCStats(&before)
	delays := make([]time.Duration, 0, int(t.config.long/t.config.every)+1)
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with this goroutine
		result <- t.work(&delays)
	}()
	err := <-result
	debug.ReadGCStats(&after)
	stop()
	running.Wait()
	if err != nil {
		return err
	}
	if failed != nil {
		return fmt.Errorf("%s: %w", o.name, failed)
	}
	slices.Sort(delays)
	at := func(of float64) time.Duration {
		return delays[min(len(delays)-1, int(of*float64(len(delays))))].Round(100 * time.Nanosecond)
	}
	fmt.Printf("%-10s %9v %9v %9v %9v %9v %5d %9d\n", o.name, at(0.5), at(0.99), at(0.999), at(0.9999), at(1), after.NumGC-before.NumGC, rounds)
	return nil
}

// work decides a batch at each tick, and notes the delays: of batches that were due
// while an earlier one was late, too.
func (t *testee) work(delays *[]time.Duration) error {
	var set unix.CPUSet
	set.Set(t.config.cpu)
	if err := unix.SchedSetaffinity(0, &set); err != nil {
		return fmt.Errorf("pin to processor %d: %w", t.config.cpu, err)
	}
	if t.config.fifo {
		// What else runs on this machine does not count then.
		if err := unix.SchedSetAttr(0, &unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}, 0); err != nil {
			return fmt.Errorf("schedule first: %w", err)
		}
	}
	timer, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, 0)
	if err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	defer unix.Close(timer)
	every := unix.NsecToTimespec(int64(t.config.every))
	due := time.Now()
	if err := unix.TimerfdSettime(timer, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		return fmt.Errorf("timer: %w", err)
	}
	random := rand.New(rand.NewPCG(1, 2))
	var out firewall.Verdicts
	var ticks [8]byte
	for len(*delays) < cap(*delays) {
		if _, err := unix.Read(timer, ticks[:]); err != nil && err != unix.EINTR {
			return fmt.Errorf("timer: %w", err)
		} else if err != nil {
			continue
		}
		for range binary.NativeEndian.Uint64(ticks[:]) {
			due = due.Add(t.config.every)
			t.decide(random, &out)
			if *delays = append(*delays, time.Since(due)); len(*delays) == cap(*delays) {
				break
			}
		}
	}
	return nil
}
