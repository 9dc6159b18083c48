package eventlog

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"sttwall/control"
	"sttwall/firewall"
	"sttwall/limit"
)

// Defaults and bounds of a [Config].
const (
	// DefaultSampled is how many events a second there are of each sampled type.
	DefaultSampled = 100
	// DefaultStats is how often counters are logged.
	DefaultStats = 10 * time.Second
	// MaxTargets is how many targets a log has.
	MaxTargets = 8
)

// Config makes a [Log].
type Config struct {
	// Targets are where lines go, 1 to [MaxTargets], each once.
	Targets []Target
	// Sampled bounds drops, rejects, what audit mode lets pass, frames that rules log,
	// and moves of bindings: so many a second of each, in bursts of as many. The rest is
	// counted. Not valid means none of them.
	Sampled limit.Rate
	// Stats is how often counters are logged; 0: never.
	Stats time.Duration
	// Host is the name of this host in each line; "" leaves it out.
	Host string
	// Elsewhere, if not nil, returns what was dropped before the firewall saw it.
	Elsewhere func() []control.Drop
	// Log is told when a target cannot be written, and when it can again. Required.
	Log *slog.Logger

	// retry is after how long a target that could not be written is tried again; 0 is
	// a second.
	retry time.Duration
	// reap is how often flows whose time is over are looked for; 0 is every two seconds.
	reap time.Duration
	// last is how long it may take to put what is left into words; 0 is a second.
	last time.Duration
	// write is how long it may take then to write it; 0 is three seconds.
	write time.Duration
	// Where the syslog daemon is, for tests; "" is the local one.
	syslogNetwork, syslogAddress string
}

// Running is the firewall whose events are logged; nfq.Inline is one. Its methods
// may be called from any goroutine.
type Running interface {
	Shared() *firewall.Shared
	Tallies() (rules, tenants map[string]firewall.Tally)
	Totals() firewall.Totals
	Now() int64 // ns, on the firewall's clock
}

// Validate says what is missing or out of bounds.
func (c *Config) Validate() error {
	switch {
	case c.Log == nil:
		return errors.New("event log: no logger")
	case len(c.Targets) < 1 || len(c.Targets) > MaxTargets:
		return fmt.Errorf("event log: %d targets, want 1 to %d", len(c.Targets), MaxTargets)
	case c.Stats < 0:
		return fmt.Errorf("event log: counters every %v: must not be negative", c.Stats)
	}
	seen := make(map[Target]bool)
	for _, t := range c.Targets {
		if seen[t] {
			return fmt.Errorf("event log: %s is there twice: two would write into each other's lines", t)
		}
		seen[t] = true
	}
	return nil
}
