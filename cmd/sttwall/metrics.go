package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"

	"github.com/spf13/pflag"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/internal/vitals"
	"sttwall/metrics"
	"sttwall/nfq"
	"sttwall/reassembly"
	"sttwall/temporary"
)

// metricsFlags say where metrics are served, and how many series there may be.
type metricsFlags struct {
	address        string
	tenants, rules int
}

func (f *metricsFlags) add(flags *pflag.FlagSet) {
	flags.StringVar(&f.address, "metrics", "", "`address` (127.0.0.1:9475, [::1]:9475, :9475) or path of a unix socket where /metrics, /healthz and /readyz are; \"\" is none")
	flags.IntVar(&f.tenants, "metrics-tenants", metrics.DefaultTenants, "how many tenants have metrics of their own; others are summed")
	flags.IntVar(&f.rules, "metrics-rules", metrics.DefaultRules, "how many rules have metrics of their own; others are summed")
}

func (f *metricsFlags) check() error {
	if f.address != "" {
		if err := metrics.CheckAddress(f.address); err != nil {
			return fmt.Errorf("--metrics %s: %w", f.address, err)
		}
	}
	for flag, n := range map[string]int{"--metrics-tenants": f.tenants, "--metrics-rules": f.rules} {
		if n < 1 || n > metrics.MaxListed {
			return fmt.Errorf("%s %d: want 1 to %d", flag, n, metrics.MaxListed)
		}
	}
	return nil
}

// measures serve the metrics of a firewall. A nil one has none.
type measures struct {
	*metrics.Metrics
	stop    context.CancelFunc
	running sync.WaitGroup
}

// open listens and serves: nothing else runs yet, and /readyz says so.
func (f *metricsFlags) open(log *slog.Logger) (*measures, error) {
	if f.address == "" {
		return nil, nil
	}
	all, err := metrics.New(metrics.Config{Tenants: f.tenants, Rules: f.rules, Version: version(), Log: log})
	if err != nil {
		return nil, err
	}
	l, err := metrics.Listen(f.address)
	if err != nil {
		return nil, fmt.Errorf("%w (--metrics names another address)", err)
	}
	log.Info("metrics are served", "address", l.Addr().String())
	if l.Open {
		log.Warn("metrics are open to other hosts, without password or encryption: listen on 127.0.0.1, or let a packet filter decide who may ask",
			"address", l.Addr().String())
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &measures{Metrics: all, stop: stop}
	m.running.Go(func() {
		if err := m.Serve(ctx, l); err != nil {
			log.Error("metrics are out of order: the firewall goes on without them", "why", err)
		}
	})
	return m, nil
}

// close ends serving.
func (m *measures) close() {
	if m != nil {
		m.stop()
		m.running.Wait()
	}
}

// watched is a firewall that is measured, and what belongs to it.
type watched struct {
	inline *nfq.Inline
	rules  *temporary.List
	feed   *control.Feed
	events *eventlog.Log // nil: none
}

// watch measures a firewall, which is ready, until ctx ends.
func (m *measures) watch(ctx context.Context, w watched) {
	if m == nil {
		return
	}
	c := w.inline.Config()
	source := metrics.Source{
		Firewall: w.inline, FailOpenAbsent: c.FailOpenAbsent, FailOpenOverload: c.Queue.FailOpenOverload, FailOpenException: c.FailOpenException,
		Queues:     func() []control.QueueHealth { return vitals.Queues(w.inline) },
		Reassembly: func() control.ReassemblyHealth { return vitals.Held(w.inline) },
		Events:     w.feed.Health,
		Elsewhere:  func() []control.Drop { return vitals.Drops(w.inline) },
		Temporary:  w.temporary,
		HeldFor:    c.Reassembly.Timeout,
	}
	if w.events != nil {
		source.EventLog = w.events.Counters
	}
	if source.HeldFor == 0 {
		source.HeldFor = reassembly.DefaultTimeout
	}
	if w.inline.Table() != nil {
		source.Table = w.table
		source.TableLosses = func() (lost, restored uint64) {
			h := w.inline.TableHealth()
			return h.Losses, h.Restored
		}
	}
	m.Watch(source)
	m.Ready()
	context.AfterFunc(ctx, m.Stopping)
}

// table returns an error if the table is gone or has been changed; that it cannot be
// read is none.
func (w watched) table() error {
	if lost := w.inline.TableHealth().Lost; lost != nil {
		return lost
	}
	if _, err := w.inline.Table().Counters(); errors.Is(err, nfq.ErrTableGone) {
		return err
	}
	return nil
}

// temporary counts the temporary rules that are in force, and those that are not.
func (w watched) temporary() (inForce, inactive int) {
	for _, rule := range w.rules.Rules() {
		if rule.Inactive != "" {
			inactive++
		} else {
			inForce++
		}
	}
	return inForce, inactive
}

// reloaded counts a reload.
func (m *measures) reloaded(err error) {
	if m != nil {
		m.Reloaded(err)
	}
}
