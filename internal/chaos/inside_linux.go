package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"time"

	"sttwall/control"
)

// Program is the name by which package lab runs [Inside].
const Program = "chaos"

// Input is what the parent tells the child.
type Input struct {
	// Faults are those to try, by name; empty means all.
	Faults []string `json:"faults,omitempty"`
	// For is how long random faults go on; 0 means each fault once.
	For time.Duration `json:"for_ns,omitempty"`
	// Seed of what is random.
	Seed uint64 `json:"seed"`
	// Group is the memory cgroup; NoGroup says why there is none.
	Group   Group  `json:"group"`
	NoGroup string `json:"no_group,omitempty"`
	// Logs: the firewalls' logs go to standard error.
	Logs bool `json:"logs,omitempty"`
	// ClosedOnly leaves out what is tried with --fail-open.
	ClosedOnly bool `json:"closed_only,omitempty"`
}

// Inside runs in the lab's child; see lab.InsideProgram.
func Inside(ctx context.Context, input json.RawMessage, tell func(any)) (ok bool, err error) {
	var in Input
	if err := json.Unmarshal(input, &in); err != nil {
		return false, fmt.Errorf("chaos: %w", err)
	}
	chosen, err := choose(in.Faults)
	if err != nil {
		return false, err
	}
	var logs io.Writer
	if in.Logs {
		logs = os.Stderr
	}
	tell(Told{Progress: "building the lab"})
	b, err := newBench(in, tell, logs)
	if err != nil {
		return false, fmt.Errorf("chaos: %w", err)
	}
	defer func() { err = errors.Join(err, b.close()) }()
	r := run{bench: b, began: time.Now(), youth: max(youth, in.For/lifetimes/4)}
	tell(Told{Progress: "without a firewall: what has to be stopped is to be seen at the far side"})
	if err := b.heard(ctx); err != nil {
		return false, fmt.Errorf("chaos: %w", err)
	}
	if in.For > 0 {
		err = r.random(ctx, chosen, &in)
	} else {
		err = r.each(ctx, chosen, &in)
	}
	if err != nil && ctx.Err() == nil {
		r.wrong++
	}
	s := r.summary()
	tell(Told{Summary: &s}) // also of a run that was broken off
	if err != nil {
		return false, fmt.Errorf("chaos: %w", err)
	}
	return s.Wrong == 0 && s.Denied == 0 && s.Corrupt == 0 && s.Missed == 0 && len(s.Leaks) == 0, nil
}

func choose(names []string) ([]*fault, error) {
	all := faults()
	if len(names) == 0 {
		return all, nil
	}
	var list []*fault
	for _, name := range names {
		i := slices.IndexFunc(all, func(f *fault) bool { return f.name == name })
		if i < 0 {
			return nil, fmt.Errorf("chaos: no fault %q: want %v", name, Names())
		}
		list = append(list, all[i])
	}
	return list, nil
}

// run is one whole run.
type run struct {
	bench         *bench
	began         time.Time
	faults, wrong int
	denied        int
	asked, lost   int
	leaks         []string
	first, last   Sample // of the process that runs now
	youth         time.Duration
}

func (r *run) summary() Summary {
	t := r.bench.traffic
	missed, err := t.missed()
	if err != nil {
		missed = -1
	}
	return Summary{
		Took: time.Since(r.began), Faults: r.faults, Wrong: r.wrong, Sent: t.denied.sentAll(), Denied: r.denied,
		Verified: t.transfers.verified.Load(), Corrupt: t.transfers.corrupt.Load() + t.probe.corrupt.Load(),
		Whole: t.transfers.whole.Load(), Broken: t.transfers.broken.Load(), Asked: r.asked, Lost: r.lost,
		Starts: r.bench.starts, Missed: missed, Leaks: r.leaks,
	}
}

// try puts one fault in and tells of it.
func (r *run) try(ctx context.Context, f *fault, open Case) error {
	r.bench.tell(Told{Progress: f.name})
	row, err := r.bench.try(ctx, f, open)
	if err != nil {
		return err
	}
	if row.Skipped == "" {
		r.faults++
	}
	if row.Wrong != "" {
		r.wrong++
	}
	r.denied += row.Denied
	r.asked, r.lost = r.asked+row.Asked, r.lost+row.Lost
	r.bench.tell(Told{Row: &row})
	return nil
}

// each tries each fault once: closed, with its own case opened, and, where it has one,
// with another one opened, which must change nothing.
func (r *run) each(ctx context.Context, list []*fault, in *Input) error {
	for _, f := range list {
		opens := []Case{NoCase}
		if f.fails != NoCase && !in.ClosedOnly {
			opens = append(opens, f.fails, other[f.fails])
		}
		for _, open := range opens {
			if err := r.try(ctx, f, open); err != nil {
				return err
			}
		}
	}
	return nil
}

// other is a case that has nothing to do with another one.
var other = map[Case]Case{Absent: Overload, Overload: Absent, Exception: Overload}

const (
	// pauseMost is the longest pause between two random faults.
	pauseMost = 3 * time.Second
	// lifetimes is how many lives a firewall has in a long run: before its share of the
	// time is over no fault ends it, so that what leaks has the time to show.
	lifetimes = 8
	// youth is how old a process is at least when it is looked at for the first time; in
	// a long run it is a quarter of a life, so that its bounded tables have been used.
	youth = 20 * time.Second
)

// random tries faults at random, closed, until the time is over.
func (r *run) random(ctx context.Context, list []*fault, in *Input) error {
	random := rand.New(rand.NewPCG(in.Seed, 4))
	var gentle, rough []*fault
	for _, f := range list {
		switch {
		case f.once || f.possible != nil && f.possible(r.bench) != "":
		case f.ends || len(f.flags) > 0:
			rough = append(rough, f)
		default:
			gentle = append(gentle, f)
		}
	}
	if len(gentle) == 0 {
		gentle = rough
	}
	life := in.For / lifetimes
	for time.Since(r.began) < in.For {
		f := gentle[random.IntN(len(gentle))]
		if r.bench.fw != nil && time.Since(r.bench.fw.began) > life && len(rough) > 0 {
			if err := r.leaves(ctx); err != nil {
				return err
			}
			// Some of those that end it, one after the other: also while it is young.
			for range 1 + random.IntN(4) {
				if err := r.try(ctx, rough[random.IntN(len(rough))], NoCase); err != nil {
					return err
				}
			}
		}
		if err := r.try(ctx, f, NoCase); err != nil {
			return err
		}
		if err := wait(ctx, time.Duration(random.Int64N(int64(pauseMost)))); err != nil {
			return err
		}
		if err := r.sample(ctx); err != nil {
			return err
		}
	}
	return r.leaves(ctx)
}

// sample notes what the firewall uses.
func (r *run) sample(ctx context.Context) error {
	s, err := r.bench.sample(ctx, r.began)
	if err != nil {
		return err
	}
	switch {
	case s.Age < r.youth:
		return nil
	case s.PID != r.first.PID:
		r.first = s
	}
	r.last = s
	r.bench.tell(Told{Sample: &s})
	return nil
}

// sample measures the firewall.
func (b *bench) sample(ctx context.Context, began time.Time) (s Sample, err error) {
	u, err := b.fw.uses()
	if err != nil {
		return s, fmt.Errorf("what the firewall uses: %w", err)
	}
	s = Sample{After: time.Since(began), Age: time.Since(b.fw.began), PID: b.fw.pid(), Resident: u.resident, Files: u.files}
	b.ask(ctx, func(ctx context.Context, c *control.Client) error {
		h, err := c.Health(ctx)
		s.Goroutines = h.Memory.Goroutines
		return err
	})
	return s, nil
}

const (
	// moreMemory is by how much a process may have grown: what its tables, all of them
	// bounded, take when they are used for the first time.
	moreMemory = 24 << 20
	// moreFiles and moreGoroutines are those of questions under way.
	moreFiles, moreGoroutines = 4, 8
)

// leaves compares a process, before its end, with what it was when it was young.
func (r *run) leaves(ctx context.Context) error {
	if err := r.sample(ctx); err != nil {
		return err
	}
	a, z := r.first, r.last
	if a.PID != z.PID || z.PID != r.bench.fw.pid() {
		return nil // too young to have been looked at
	}
	for _, more := range []struct {
		what     string
		was, is  int64
		mayGrown int64
	}{
		{"bytes of memory", a.Resident, z.Resident, moreMemory},
		{"open files", int64(a.Files), int64(z.Files), moreFiles},
		{"goroutines", int64(a.Goroutines), int64(z.Goroutines), moreGoroutines},
	} {
		if more.is > more.was+more.mayGrown {
			r.leaks = append(r.leaks, fmt.Sprintf("process %d had %d %s at an age of %v and %d at %v",
				z.PID, more.was, more.what, a.Age.Round(time.Second), more.is, z.Age.Round(time.Second)))
		}
	}
	return nil
}
