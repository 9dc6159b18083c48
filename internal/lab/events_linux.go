package lab

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"sttwall/firewall"
	"sttwall/nfq"
)

// eventBound is how many bytes of events are kept.
const eventBound = 512 << 20

// observe keeps a copy of what the firewall tells of a frame. It is called by
// all workers.
func (l *Lab) observe(e *firewall.FrameEvent) {
	l.feed.Observe(e)
	if l.also != nil {
		l.also(e)
	}
	copied := *e
	copied.InnerData = bytes.Clone(e.InnerData[:min(len(e.InnerData), l.keep)])
	copied.Beginning = bytes.Clone(e.Beginning[:min(len(e.Beginning), l.keep)])
	copied.Packets = slices.Clone(e.Packets)
	copied.Moves = slices.Clone(e.Moves)
	l.events.add(copied, 512+96*len(copied.Packets)+len(copied.InnerData)+len(copied.Beginning))
}

// Events returns what the firewall told of frames, in the order in which it
// did. InnerData is cut to Config.KeepInner bytes.
func (l *Lab) Events() []firewall.FrameEvent { return l.events.all() }

// WaitEvent returns the first event, of those told and those to come until
// ctx ends, that match reports true for. what names it in the error.
func (l *Lab) WaitEvent(ctx context.Context, what string, match func(*firewall.FrameEvent) bool) (firewall.FrameEvent, error) {
	return l.events.wait(ctx, "the firewall's word on "+what, func(e firewall.FrameEvent) bool { return match(&e) })
}

// Totals returns what the firewall has counted.
func (l *Lab) Totals() firewall.Totals {
	if l.firewall == nil {
		return firewall.Totals{}
	}
	return l.firewall.Totals()
}

// TableCounters returns what the nftables table has dropped before the queue.
func (l *Lab) TableCounters() (c nfq.TableCounters, err error) {
	if l.firewall == nil {
		return c, errors.New("lab: no nftables table")
	}
	err = l.Do(Firewall, func() error {
		c, err = l.firewall.Table().Counters()
		return err
	})
	return c, err
}

// WaitTotals waits until enough reports true for the firewall's counters.
func (l *Lab) WaitTotals(ctx context.Context, what string, enough func(firewall.Totals) bool) error {
	return l.waitMoved(ctx, what, func() bool { return enough(l.Totals()) })
}

func (l *Lab) waitMoved(ctx context.Context, what string, enough func() bool) error {
	for {
		moved := l.moved.wait()
		if enough() {
			return nil
		}
		select {
		case <-moved:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the firewall to count %s: %w", what, context.Cause(ctx))
		}
	}
}

// watchedCore is a firewall that tells when it has counted something.
type watchedCore struct {
	*firewall.Firewall
	moved *wakeup
	seen  *atomic.Uint64
}

func (c watchedCore) ProcessBatch(now int64, packets []firewall.Packet, out *firewall.Verdicts) {
	c.Firewall.ProcessBatch(now, packets, out)
	c.seen.Add(uint64(len(packets))) // not before: the frames' events are there by now
	c.moved.tell()
}

func (c watchedCore) Expire(now int64, out *firewall.Verdicts) {
	c.Firewall.Expire(now, out)
	c.moved.tell()
}

// wakeup wakes all that wait when something has happened. The zero value is ready.
type wakeup struct {
	mu sync.Mutex
	c  chan struct{} // nil while nobody waits
}

// wait returns a channel that the next tell closes.
func (s *wakeup) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c == nil {
		s.c = make(chan struct{})
	}
	return s.c
}

func (s *wakeup) tell() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.c != nil {
		close(s.c)
		s.c = nil
	}
}
