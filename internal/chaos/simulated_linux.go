package chaos

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"sttwall/firewall"
)

// simulated are faults that the firewall is told to meet, by run --simulate.
func simulated() []*fault {
	return []*fault{
		{
			name: "memory", what: "there is no memory for every second frame that is held (simulated)",
			flags: []string{"--simulate", "memory:1/2"},
			run: func(ctx context.Context, b *bench) (string, error) {
				return b.counted(ctx, "firewall/reassembly_full", func() error { return wait(ctx, 2*time.Second) })
			},
		},
		{
			name: "table", what: "the flow table has no room for every second flow (simulated)", fails: Exception,
			flags: []string{"--simulate", "table:1/2"},
			run: func(ctx context.Context, b *bench) (string, error) {
				if b.open == Exception {
					return "40 of 40 new flows passed, without state", b.newFlows(ctx, true)
				}
				return b.counted(ctx, "firewall/flow_table_full", func() error { return b.newFlows(ctx, false) })
			},
		},
		{
			name: "netlink", what: "one batch of packets or verdicts in 50 is lost (simulated)",
			flags: []string{"--simulate", "netlink:1/50"},
			run:   lossyNetlink,
		},
		{
			name: "panic", what: "a mistake of the firewall's own, now and then (simulated)",
			flags: []string{"--simulate", "panic:1/30000"},
			run:   contained,
		},
		{
			name: "panics", what: "the same, again and again (simulated)", fails: Absent, ends: true,
			flags: []string{"--simulate", "panic:1/1000"},
			run: func(ctx context.Context, b *bench) (string, error) {
				how, err := b.absence(ctx, absentFor, func() (string, error) { return b.fw.gone(ctx, 2*startBound) })
				return fmt.Sprintf("after more than %d in a minute in one worker: %s", firewall.MostPanics, how), err
			},
		},
		{
			name: "netlink-dead", what: "the netlink socket of a queue fails for good (simulated)", fails: Absent, ends: true,
			flags: []string{"--simulate", "queue@6s"},
			run: func(ctx context.Context, b *bench) (string, error) {
				var said string
				how, err := b.absence(ctx, absentFor, func() (string, error) {
					how, err := b.fw.gone(ctx, startBound)
					said = b.fw.log.last(1)
					return how, err
				})
				if err == nil && !strings.Contains(said, "queue") {
					err = fmt.Errorf("the end was not explained: %s", said)
				}
				return how + ": " + quoted(said), err
			},
		},
		{
			name: "clock", what: "the clock jumps by an hour (simulated)",
			flags: []string{"--simulate", "clock:+1h@6s"},
			run: func(ctx context.Context, b *bench) (string, error) {
				left := time.Until(b.fw.began.Add(6 * time.Second))
				if err := wait(ctx, max(left, 0)+2*time.Second); err != nil {
					return "", err
				}
				select {
				case <-b.fw.ended:
					return "", errors.New("it has ended")
				default:
				}
				return "flows whose time is over by the new clock begin anew", nil
			},
		},
	}
}

// contained waits until two mistakes were contained.
func contained(ctx context.Context, b *bench) (string, error) {
	mark, packets := b.fw.log.mark(), 0
	const seen = 2
	for range seen {
		line, at, err := b.fw.log.waitSince(ctx, 2*startBound, mark, "has met a mistake of its own", b.fw.ended)
		if err != nil {
			return "", err
		}
		mark = at
		if _, rest, ok := strings.Cut(line, "packets_dropped="); ok {
			n, _ := strconv.Atoi(strings.Fields(rest)[0])
			packets += n
		}
	}
	select {
	case <-b.fw.ended:
		return "", errors.New("it has ended")
	default:
	}
	return fmt.Sprintf("%d of them were contained and logged, and cost %d packets; all else goes on", seen, packets), nil
}

// counted wants drops of one sort to have been counted while f ran, and the firewall to
// say that faults are simulated.
func (b *bench) counted(ctx context.Context, name string, f func() error) (string, error) {
	before, err := b.dropped(ctx)
	if err != nil {
		return "", err
	}
	if err := f(); err != nil {
		return "", err
	}
	after, err := b.dropped(ctx)
	if err != nil {
		return "", err
	}
	n := after[name] - before[name]
	if n == 0 {
		return "", fmt.Errorf("no drop was counted as %s", name)
	}
	_, short, _ := strings.Cut(name, "/")
	_, err = b.trouble(ctx, "faults are simulated")
	return fmt.Sprintf("%d drops counted as %s; what is not hit goes on", n, short), err
}

func lossyNetlink(ctx context.Context, b *bench) (string, error) {
	if err := wait(ctx, 2*time.Second); err != nil {
		return "", err
	}
	lost, err := b.trouble(ctx, "packets were lost")
	if err != nil {
		return "", err
	}
	refused, err := b.trouble(ctx, "packets were dropped")
	return "stats: " + quoted(lost) + ", " + quoted(refused), err
}
