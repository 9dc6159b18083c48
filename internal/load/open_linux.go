package load

import (
	"context"
	"errors"
	"fmt"
)

// openAtOnce is how many flows are half-open at the same time, or a part of all, whichever
// is more: firewalls have a limit on those.
const (
	openAtOnce = 1000
	openParts  = 64
)

// Open establishes the flows of t that are not established yet, through whatever
// firewall there is. It is an error if one of their packets gets lost.
func (l *Lab) Open(ctx context.Context, t Traffic) (err error) {
	if err := t.validate(); err != nil {
		return err
	}
	flows := max(t.Flows, 1)
	if err := l.config.Ends.checkFlows(flows); err != nil {
		return err
	}
	if l.opened[t.Inner] >= flows {
		return nil
	}
	l.countWhole(Traffic{}) // packets are small
	var senders []sender
	defer func() {
		for _, s := range senders {
			err = errors.Join(err, s.close())
		}
	}()
	for _, step := range opening(t.Inner) {
		s, err := l.sender(t, step, false)
		if err != nil {
			return err
		}
		senders = append(senders, s)
	}
	for first := l.opened[t.Inner]; first < flows; {
		next := min(flows, first+max(openAtOnce, flows/openParts))
		for _, s := range senders {
			if err := l.openStep(ctx, s, first, next); err != nil {
				return fmt.Errorf("load: open flows %d to %d of %d: %w", first+1, next, flows, err)
			}
		}
		first = next
		l.opened[t.Inner] = next
	}
	return nil
}

// openStep sends one packet of each of these flows.
func (l *Lab) openStep(ctx context.Context, s sender, first, next int) error {
	sent := l.forgetLost()
	l.board.half(boardFlow).Store(uint32(first))
	want := sent + uint64(next-first)
	l.board.word(boardLimit).Store(want)
	l.pace(0)
	stop, thread := make(chan struct{}), make(chan string, 1)
	errs := make(chan error, 1)
	go func() { errs <- l.run(s, stop, thread) }()
	<-thread
	err := l.arrived(ctx, want, l.patience)
	if err != nil && ctx.Err() == nil {
		all := l.board.word(boardSent).Load()
		err = fmt.Errorf("of %d packets that were sent %d did not arrive", all-sent, all-l.seen())
	}
	close(stop)
	return errors.Join(err, <-errs)
}
