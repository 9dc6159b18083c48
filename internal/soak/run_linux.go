package soak

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"sttwall/control"
	"sttwall/internal/chaos"
	"sttwall/internal/lab"
)

// Program is the name by which package lab runs [Inside].
const Program = "soak"

// Input is what the parent tells the child.
type Input struct {
	// For is how long traffic goes through the firewall; at least Least.
	For  time.Duration `json:"for_ns"`
	Seed uint64        `json:"seed"`
	// Logs: the firewall's log goes to standard error.
	Logs bool `json:"logs,omitempty"`
}

// Least is the shortest run.
const Least = 10 * time.Second

// Options say what is run.
type Options struct {
	Input
	// Stderr takes the firewall's log, if Input.Logs.
	Stderr io.Writer
	// Receive is told of samples, progress and the end, in order, from one goroutine.
	Receive func(*Told)
}

// Run builds the lab in a child process and has it run there. An error is one of the bench:
// what was found is in what Receive was told, for [Judge].
func Run(ctx context.Context, o Options) error {
	var unread error
	_, err := lab.RunInside(ctx, lab.InsideRun{Program: Program, Input: &o.Input, Stderr: o.Stderr, Receive: func(text json.RawMessage) {
		var told Told
		if unread = errors.Join(unread, json.Unmarshal(text, &told)); unread == nil {
			o.Receive(&told)
		}
	}})
	return errors.Join(err, unread)
}

// Inside runs in the lab's child; see lab.InsideProgram.
func Inside(ctx context.Context, input json.RawMessage, tell func(any)) (ok bool, err error) {
	var in Input
	if err := json.Unmarshal(input, &in); err != nil {
		return false, fmt.Errorf("soak: %w", err)
	}
	var logs io.Writer
	if in.Logs {
		logs = os.Stderr
	}
	tell(Told{Progress: "building the lab"})
	s, err := chaos.NewSteady(ctx, in.Seed, logs)
	if err != nil {
		return false, fmt.Errorf("soak: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	tell(Told{Progress: "starting the firewall"})
	if err := s.Start(ctx); err != nil {
		return false, fmt.Errorf("soak: %w", err)
	}
	r := &run{steady: s, in: in, tell: tell, began: time.Now()}
	r.disturber = newDisturber(s, in.For)
	if err := r.carry(ctx); err != nil {
		return false, fmt.Errorf("soak: %w", err)
	}
	return true, nil
}

// run is one whole run.
type run struct {
	steady    *chaos.Steady
	in        Input
	tell      func(any)
	began     time.Time
	disturber *disturber
	overruns  uint64 // packets that the kernel has dropped so far
}

// mostSamples is about how many a run has.
const mostSamples = 1440

func (r *run) carry(ctx context.Context) error {
	each := max(time.Second, r.in.For/mostSamples)
	end := time.NewTimer(r.in.For)
	defer end.Stop()
	sample := time.NewTicker(each)
	defer sample.Stop()
	disturb := time.NewTicker(r.disturber.each)
	defer disturb.Stop()
	for running := true; running; {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end.C:
			running = false
		case <-disturb.C:
			r.disturber.next(ctx)
		case <-sample.C:
			if err := r.sample(ctx); err != nil {
				return err
			}
		}
	}
	for r.disturber.at < len(r.disturber.steps) { // a short run on a busy machine: each at least once
		r.disturber.next(ctx)
	}
	r.disturber.wait()
	if err := pause(ctx, chaos.Late); err != nil { // so that what was asked last counts too
		return err
	}
	if err := r.sample(ctx); err != nil {
		return err
	}
	r.tell(Told{End: &End{Totals: r.steady.Totals(), Took: time.Since(r.began), Done: r.disturber.done, Failed: r.disturber.failed}})
	return nil
}

func (r *run) sample(ctx context.Context) error {
	if err := r.steady.Failure(); err != nil {
		return err
	}
	if how := r.steady.Ended(); how != "" {
		return errors.New(how)
	}
	if err := r.steady.Trim(); err != nil {
		return err
	}
	s := Sample{After: time.Since(r.began)}
	var err error
	if s.Resident, s.Files, s.Threads, err = r.steady.Uses(); err != nil {
		return err
	}
	if err := r.steady.Ask(ctx, func(ctx context.Context, c *control.Client) error {
		h, err := c.Health(ctx)
		if err != nil {
			return err
		}
		s.Heap, s.Goroutines, s.Flows = int64(h.Memory.Heap), h.Memory.Goroutines, h.Flows.Now
		var dropped uint64
		for _, q := range h.Queues {
			dropped += q.DroppedBuffer + q.DroppedFull + q.Refused
		}
		s.Overload, r.overruns = dropped > r.overruns, dropped
		return nil
	}); err != nil {
		return fmt.Errorf("health: %w", err)
	}
	i := r.steady.Interval()
	s.Asked, s.Lost = i.Asked, i.Lost
	if n := len(i.RTT); n > 0 {
		s.P50, s.P99 = i.RTT[n/2], i.RTT[n*99/100]
	}
	r.tell(Told{Sample: &s})
	r.tell(Told{Progress: fmt.Sprintf("%v of %v; %d MiB, %d files, %d goroutines; last: %s", s.After.Round(time.Second), r.in.For,
		s.Resident>>20, s.Files, s.Goroutines, r.disturber.lastMade())})
	return nil
}
