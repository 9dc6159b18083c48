package chaos

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/lab"
)

// Steady is the bench of this package without faults, for package soak: the lab, one
// firewall as a process of its own, and the same traffic through it. One goroutine at a
// time, but for Ask.
type Steady struct {
	b        *bench
	since    time.Time // end of the last interval
	denied   int       // arrived, of the intervals before
	baseline Totals    // what was there before the firewall
}

// Interval is what became of the questions of a span of time: datagrams to an echo
// behind the firewall, and back.
type Interval struct {
	Asked, Lost int
	// RTT are the times until answers, sorted.
	RTT []time.Duration
}

// Totals count since the firewall runs.
type Totals struct {
	// DeniedSent are packets that must not arrive, Denied those that did.
	DeniedSent int64 `json:"denied_sent"`
	Denied     int   `json:"denied"`
	// Verified are bytes of TCP transfers that were compared with what was sent, Whole and
	// Broken the transfers; Corrupt counts other bytes than were sent, in TCP and UDP.
	Verified int64 `json:"verified"`
	Whole    int64 `json:"whole"`
	Broken   int64 `json:"broken"`
	Corrupt  int64 `json:"corrupt"`
	// Missed are packets that the watch for denied ones had no room for; -1: not known.
	Missed int `json:"missed"`
}

// NewSteady builds it in the lab's child, and waits until each sort of denied packets has
// been seen at the far side: no firewall is there yet.
func NewSteady(ctx context.Context, seed uint64, log io.Writer) (s *Steady, err error) {
	b, err := newBench(Input{Seed: seed}, func(any) {}, log)
	if err != nil {
		return nil, err
	}
	if err := b.heard(ctx); err != nil {
		return nil, errors.Join(err, b.close())
	}
	return &Steady{b: b}, nil
}

// Start starts the firewall and waits until traffic goes through it. It logs its events
// into a file of the lab, which Trim empties.
func (s *Steady) Start(ctx context.Context, flags ...string) error {
	if err := s.b.ensure(ctx, append(s.b.flags(nil, NoCase), flags...)); err != nil {
		return err
	}
	at, err := s.b.steady(ctx, time.Now(), beforeBound)
	if err != nil {
		return err
	}
	s.since = at
	s.b.traffic.probe.forget(at)
	s.b.traffic.denied.forget()
	s.baseline = s.counts()
	return nil
}

// Lab is the network.
func (s *Steady) Lab() *lab.Lab { return s.b.lab }

// Path is that of a file of the firewall: rules.hcl, control.sock.
func (s *Steady) Path(name string) string { return s.b.path(name) }

// Ask asks the firewall.
func (s *Steady) Ask(ctx context.Context, f func(context.Context, *control.Client) error) error {
	return s.b.ask(ctx, f)
}

// Reload sends it SIGHUP, and waits until its log tells of what came of it.
func (s *Steady) Reload(ctx context.Context) error {
	mark := s.b.fw.log.mark()
	if err := s.b.fw.signal(unix.SIGHUP); err != nil {
		return err
	}
	_, _, err := s.b.fw.log.waitSince(ctx, startBound, mark, "rules", s.b.fw.ended)
	return err
}

// Trim empties the event log, which would fill its small disk.
func (s *Steady) Trim() error { return s.b.empty() }

// Ended is the last that the firewall said, if it has ended; else "".
func (s *Steady) Ended() string {
	select {
	case <-s.b.fw.ended:
		return "the firewall has ended: " + s.b.fw.log.last(3)
	default:
		return ""
	}
}

// Uses is what the firewall has of the host: resident memory in bytes, open files, threads.
func (s *Steady) Uses() (resident int64, files, threads int, err error) {
	u, err := s.b.fw.uses()
	if err != nil {
		return 0, 0, 0, fmt.Errorf("what the firewall uses: %w", err)
	}
	return u.resident, u.files, u.threads, nil
}

// Late is how long an answer may take at most: what is younger counts in the next interval.
const Late = 10 * time.Second

// Interval returns what has become of the questions since the last call, those of the last
// [Late] apart.
func (s *Steady) Interval() (i Interval) {
	to := time.Now().Add(-Late)
	p := s.b.traffic.probe
	p.mu.Lock()
	for n, sent := range p.sent {
		if sent.Before(s.since) || !sent.Before(to) {
			continue
		}
		i.Asked++
		if at := p.answered[n]; at.IsZero() {
			i.Lost++
		} else {
			i.RTT = append(i.RTT, at.Sub(sent))
		}
	}
	p.mu.Unlock()
	slices.Sort(i.RTT)
	if to.After(s.since) {
		s.since = to
		p.forget(to)
	}
	arrived, _ := s.b.traffic.denied.count(window{})
	s.denied += arrived
	s.b.traffic.denied.forget()
	return i
}

// counts are all since the traffic began, but what was denied and arrived.
func (s *Steady) counts() Totals {
	t := s.b.traffic
	return Totals{
		DeniedSent: t.denied.sentAll(), Verified: t.transfers.verified.Load(), Whole: t.transfers.whole.Load(), Broken: t.transfers.broken.Load(),
		Corrupt: t.transfers.corrupt.Load() + t.probe.corrupt.Load(),
	}
}

// Totals are those up to now; what is denied up to the last Interval.
func (s *Steady) Totals() Totals {
	c := s.counts()
	c.DeniedSent -= s.baseline.DeniedSent
	c.Verified -= s.baseline.Verified
	c.Whole -= s.baseline.Whole
	c.Broken -= s.baseline.Broken
	c.Corrupt -= s.baseline.Corrupt
	c.Denied = s.denied
	missed, err := s.b.traffic.missed()
	if c.Missed = missed; err != nil {
		c.Missed = -1
	}
	return c
}

// Failure is what went wrong in the lab itself.
func (s *Steady) Failure() error { return s.b.lab.Failure() }

// Close ends all of it.
func (s *Steady) Close() error { return s.b.close() }
