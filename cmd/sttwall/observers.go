package main

import (
	"log/slog"
	"time"

	"sttwall/control"
	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/suggest"
	"sttwall/tap"
)

// observers are told of every frame while a firewall runs, whether somebody asks them or
// not. What is measured by `bench` has the same as what `run` runs.
type observers struct {
	watch   *reporter
	feed    *control.Feed
	recent  *control.Recent
	taps    *tap.Taps
	audited *suggest.Watch
}

// newObservers makes them; rules returns those in force.
func newObservers(log *slog.Logger, rules func() *policy.Policy) *observers {
	return &observers{newReporter(log), new(control.Feed), control.NewRecent(), new(tap.Taps), suggest.NewWatch(rules, time.Now())}
}

func (o *observers) observe(e *firewall.FrameEvent) {
	o.watch.observe(e)
	o.feed.Observe(e)
	o.recent.Observe(e)
	o.taps.Observe(e)
	o.audited.Observe(e)
}

// wrap stands between a worker and its core.
func (o *observers) wrap(f *firewall.Firewall) nfq.Core { return o.taps.Wrap(f) }
