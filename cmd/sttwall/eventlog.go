package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/pflag"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/internal/vitals"
	"sttwall/limit"
	"sttwall/nfq"
)

// eventLogFlags are the flags of `run` that make an [eventlog.Config].
type eventLogFlags struct {
	targets []string
	drops   string
	stats   time.Duration
}

func (f *eventLogFlags) add(flags *pflag.FlagSet) {
	flags.StringArrayVar(&f.targets, "event-log", nil, "write events as lines of JSON, in the manner of Suricata's EVE, to this `file`;\nor to syslog: (syslog:FACILITY), or journald:. Can be given again. SIGHUP opens files anew")
	flags.StringVar(&f.drops, "event-log-drops", fmt.Sprintf("%d/s", eventlog.DefaultSampled), "log so many drops at most (`N/s`; rejects, and what audit mode lets pass, likewise);\nthe rest is counted. 0 logs none")
	flags.DurationVar(&f.stats, "event-log-stats", eventlog.DefaultStats, "how often counters are logged; 0 is never")
}

// config returns what the flags say; nil if there is no event log.
func (f *eventLogFlags) config(log *slog.Logger) (*eventlog.Config, error) {
	c := &eventlog.Config{Stats: f.stats, Log: log}
	if f.stats < 0 {
		return nil, fmt.Errorf("--event-log-stats %v: must not be negative", f.stats)
	}
	if f.drops != "0" {
		var err error
		if c.Sampled, err = limit.ParseRate(f.drops); err != nil {
			return nil, fmt.Errorf("--event-log-drops: %w", err)
		}
	}
	for _, text := range f.targets {
		t, err := eventlog.ParseTarget(text)
		if err != nil {
			return nil, fmt.Errorf("--event-log %.80q: %w", text, err)
		}
		c.Targets = append(c.Targets, t)
	}
	if len(c.Targets) == 0 {
		return nil, nil
	}
	return c, c.Validate()
}

// openEventLog makes the event log; nil if there is to be none.
func openEventLog(c *eventlog.Config, elsewhere func() []control.Drop) (*eventlog.Log, error) {
	if c == nil {
		return nil, nil
	}
	c.Host, _ = os.Hostname() // a host without a name has none in its log
	c.Elsewhere = elsewhere
	return eventlog.New(*c)
}

// logEvents writes events until end is called: when all have told what they had to
// tell. It returns when they are written.
func logEvents(events *eventlog.Log, inline *nfq.Inline) (end func()) {
	if events == nil {
		return func() {}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		events.Run(ctx, inline)
	}()
	return func() {
		stop()
		<-ended
	}
}

// vitalsOf returns how a firewall and its event log do.
func vitalsOf(inline *nfq.Inline, events *eventlog.Log) control.Vitals {
	v := vitals.Of(inline)
	v.EventLog = events.Health()
	return v
}
