package flood

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"sttwall/control"
)

// Options say what [Run] does. Zero fields have their defaults.
type Options struct {
	Names []string // of the attacks; none are all
	// Good is how many packets a second the two others send; 0 means 10,000.
	Good int
	// Half is how long each half of a round lasts, 2 s, and Rounds how many there are, 4.
	Half   time.Duration
	Rounds int
	Log    io.Writer // of the firewall; nil: none
	// Progress, if not nil, is told what is measured next.
	Progress func(what string)
}

// Row is what came of one attack.
type Row struct {
	Attack, What string
	// Rate is how many packets a second the attacker has sent while they got through.
	Rate float64 `json:"rate"`
	// Goodput with the attack and without, each the median of the part of the others'
	// packets that arrived, and their ratio.
	With, Without, Ratio float64
	// Least is the ratio of the worst round.
	Least float64
	// Dropped counts, by "where/reason".
	Dropped map[string]uint64
	// Waited is how many packets were in the kernel's queues at most; of all who looked.
	Flows, Bindings, Frames, Held control.Gauge
	// Before and Most are resident memory in bytes; Bound what it can be at most.
	Before, Most, Bound int64
	LoggedLines         int64 // of the event log
}

// Run makes the attacks, one after the other, each on a firewall of its own, and tells
// of each.
func Run(ctx context.Context, o Options, tell func(*Row)) error {
	if o.Good == 0 {
		o.Good = 10_000
	}
	if o.Half == 0 {
		o.Half = 2 * time.Second
	}
	if o.Rounds == 0 {
		o.Rounds = 4
	}
	network, err := newNetwork()
	if err != nil {
		return err
	}
	defer network.close()
	for _, a := range Attacks() {
		if len(o.Names) > 0 && !slices.Contains(o.Names, a.Name) {
			continue
		}
		row, err := try(ctx, o, network, &a)
		if err != nil {
			return fmt.Errorf("%s: %w", a.Name, err)
		}
		tell(row)
	}
	return nil
}

// try makes one attack.
func try(ctx context.Context, o Options, n *network, a *Attack) (row *Row, err error) {
	folder, err := os.MkdirTemp("", "sttwall-flood-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(folder)
	if err := os.WriteFile(filepath.Join(folder, "rules.hcl"), rules(a.Settings), 0o644); err != nil {
		return nil, err
	}
	fw, err := start(n.firewall, folder, a.Flags, o.Log)
	if err != nil {
		return nil, err
	}
	defer fw.end()

	honest, err := n.ends[0].sender(outerB, o.Good, good, 1)
	if err != nil {
		return nil, err
	}
	hostile, err := n.ends[2].sender(outerD, a.Rate, a.next, 2)
	if err != nil {
		return nil, err
	}
	row = &Row{Attack: a.Name, What: a.What}
	row.Before, _ = fw.memory()
	sending, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var failed [2]error
	for i, s := range []*sender{honest, hostile} {
		running.Go(func() { failed[i] = s.run(sending) })
	}
	defer func() {
		stop()
		running.Wait()
		err = errors.Join(err, failed[0], failed[1])
	}()

	half := max(o.Half, a.Last/time.Duration(o.Rounds))
	var with, without, rates []float64
	for round := range o.Rounds {
		for _, open := range []bool{false, true} {
			if o.Progress != nil {
				o.Progress(fmt.Sprintf("%s, round %d of %d, %s", a.Name, round+1, o.Rounds, map[bool]string{false: "kept away", true: "let in"}[open]))
			}
			if err := n.gate(open); err != nil {
				return row, err
			}
			if err := wait(ctx, half/4); err != nil { // what is on its way
				return row, err
			}
			part, rate, err := measure(ctx, n, honest, hostile, half, func() error { return row.look(ctx, fw) })
			if err != nil {
				return row, err
			}
			if open {
				with, rates = append(with, part), append(rates, rate)
			} else {
				without = append(without, part)
			}
		}
	}
	row.With, row.Without, row.Rate = median(with), median(without), median(rates)
	row.Ratio, row.Least = row.With/row.Without, slices.Min(with)/row.Without
	_, row.Most = fw.memory()
	row.Bound = fw.bound.Load()
	row.Dropped = map[string]uint64{}
	err = fw.ask(ctx, func(ctx context.Context, c *control.Client) error {
		list, err := c.Drops(ctx)
		for _, d := range list {
			row.Dropped[d.Where+"/"+d.Reason] += d.Count
		}
		return err
	})
	if text, err := os.ReadFile(filepath.Join(folder, "events.json")); err == nil {
		row.LoggedLines = int64(bytes.Count(text, []byte("\n")))
	}
	return row, err
}

// measure returns which part of the honest packets of a time arrived, and how many
// packets a second the attacker sent.
func measure(ctx context.Context, n *network, honest, hostile *sender, d time.Duration, look func() error) (part, rate float64, err error) {
	honest.paused.Store(true)
	received, err := n.settled(ctx)
	honest.paused.Store(false)
	if err != nil {
		return 0, 0, err
	}
	sent, attacked, began := honest.sent.Load(), hostile.sent.Load(), time.Now()
	if err := wait(ctx, d*3/4); err != nil {
		return 0, 0, err
	}
	if err := look(); err != nil {
		return 0, 0, err
	}
	if err := wait(ctx, d-time.Since(began)); err != nil {
		return 0, 0, err
	}
	rate = float64(hostile.sent.Load()-attacked) / time.Since(began).Seconds()
	// What waits in a queue is no loss: the rest is waited for, while the attack goes on.
	honest.paused.Store(true)
	defer honest.paused.Store(false)
	after, err := n.settled(ctx)
	if err != nil {
		return 0, 0, err
	}
	part = float64(after-received) / max(1, float64(honest.sent.Load()-sent))
	return part, rate, nil
}

// settled returns how many packets have come to endpoint B when no more come.
func (n *network) settled(ctx context.Context) (last uint64, err error) {
	for still, looks := 0, 0; still < 10 && looks < 200; looks++ {
		now, err := n.ends[1].received()
		if err != nil {
			return now, err
		}
		if still++; now != last {
			still, last = 0, now
		}
		if err := wait(ctx, 10*time.Millisecond); err != nil {
			return now, err
		}
	}
	return last, nil
}

// look notes how full the tables are at most.
func (r *Row) look(ctx context.Context, fw *process) error {
	return fw.ask(ctx, func(ctx context.Context, c *control.Client) error {
		h, err := c.Health(ctx)
		if err != nil {
			return err
		}
		for _, g := range []struct {
			most *control.Gauge
			now  control.Gauge
		}{{&r.Flows, h.Flows.Gauge}, {&r.Bindings, h.Bindings.Gauge}, {&r.Frames, h.Reassembly.Frames}, {&r.Held, h.Reassembly.Memory}} {
			if g.now.Now >= g.most.Now {
				*g.most = g.now
			}
		}
		return nil
	})
}

// gate lets the attack reach the queues, or has a rule drop it before them.
func (n *network) gate(open bool) error {
	text := "table ip flood\ndelete table ip flood\n"
	if !open {
		text += fmt.Sprintf("table ip flood {\n chain gate {\n  type filter hook prerouting priority -500;\n  ip saddr %v drop\n }\n}\n", attackers)
	}
	return inside(n.firewall, func() error {
		cmd := exec.Command("nft", "-f", "-")
		cmd.Stdin = strings.NewReader(text)
		out, err := cmd.CombinedOutput()
		if err != nil {
			return fmt.Errorf("nft: %w: %s", err, out)
		}
		return nil
	})
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func median(list []float64) float64 {
	slices.Sort(list)
	n := len(list)
	return (list[(n-1)/2] + list[n/2]) / 2
}
