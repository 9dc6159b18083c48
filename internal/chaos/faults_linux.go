package chaos

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// fault is something that goes wrong.
type fault struct {
	name, what string
	// fails is the case that it brings about.
	fails Case
	// flags of the firewall besides those of all; FOLDER stands for that of the bench.
	flags []string
	// possible, if not nil, says why it cannot be tried here; "" if it can.
	possible func(*bench) string
	// prepare, if not nil, comes before the firewall is started for it.
	prepare func(*bench) error
	// run brings it about and ends it, and returns what was seen of it. The error is
	// that the firewall, its log or its screens did not do what they should.
	run func(ctx context.Context, b *bench) (seen string, err error)
	// mend takes the cause away where run has failed in the middle; may be nil.
	mend func(ctx context.Context, b *bench) error
	// ends: the firewall's process ends.
	ends bool
	// once: not among the random ones.
	once bool
}

// faults are all of them, in the order in which they are tried.
func faults() []*fault {
	return concat(endings(), overloads(), surroundings(), files(), simulated())
}

func concat(lists ...[]*fault) (all []*fault) {
	for _, l := range lists {
		all = append(all, l...)
	}
	return all
}

// Names lists the faults.
func Names() (list []string) {
	for _, f := range faults() {
		list = append(list, f.name)
	}
	return list
}

// absence is the time in which no firewall listens: nothing passes then, or with
// --fail-open=absent everything. It begins with end, which returns when the firewall is
// gone, and lasts for d; then the firewall is started again.
func (b *bench) absence(ctx context.Context, d time.Duration, end func() (string, error)) (string, error) {
	b.nowOpen()
	how, err := end()
	if err != nil {
		return "", err
	}
	gone := time.Now()
	if err := wait(ctx, d); err != nil {
		return "", err
	}
	// What was sent a moment before may have been on its way.
	l := b.traffic.probe.loss(window{gone.Add(50 * time.Millisecond), time.Now().Add(-50 * time.Millisecond)})
	b.over()
	if err := b.again(ctx); err != nil {
		return "", err
	}
	b.nowShut()
	switch {
	// Where it is closed all are lost; on a busy machine some are answered too late.
	case b.open == Absent && l.lost > l.asked/2:
		return "", fmt.Errorf("%s; STT was to pass uninspected, and %d of %d questions were lost", how, l.lost, l.asked)
	case b.open == Absent:
		return how + "; STT passed uninspected until the next start", nil
	case l.lost < l.asked:
		return "", fmt.Errorf("%s; nothing was to pass, and %d of %d questions were answered", how, l.asked-l.lost, l.asked)
	}
	return how + "; the table stayed, and nothing passed until the next start", nil
}

// absentFor is how long the firewall stays away: as long as a service manager waits.
const absentFor = 700 * time.Millisecond

var errStarted = errors.New("it has started all the same")
