package lab

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/metrics"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/tap"
)

// allSampled is how many events of a type a second are logged: more than a scenario has.
const allSampled = 100_000

// onlookers show what the firewall of a scenario does, as those of `sttwall run` do: over
// a control socket, in an event log, as metrics.
type onlookers struct {
	recent  *control.Recent
	taps    tap.Taps
	events  *eventlog.Log
	logFile string
	rules   string // the rules file
	metrics *metrics.Metrics
	scrapes string // the socket of metrics
	client  *control.Client

	stop    context.CancelFunc
	running sync.WaitGroup
	failed  chan error // room for both servers
}

// newOnlookers makes onlookers that see nothing yet. Their files are where nobody
// outside of the child sees them.
func newOnlookers(rules string) (*onlookers, error) {
	folder, err := coverFolder(folderBytes)
	if err != nil {
		return nil, err
	}
	o := &onlookers{
		recent: control.NewRecent(), failed: make(chan error, 2),
		logFile: filepath.Join(folder, "eve.json"), rules: filepath.Join(folder, "demo.hcl"), scrapes: filepath.Join(folder, "metrics.sock"),
	}
	if err := os.WriteFile(o.rules, []byte(rules), 0o644); err != nil {
		return nil, err
	}
	target, err := eventlog.ParseTarget(o.logFile)
	if err != nil {
		return nil, err
	}
	if o.events, err = eventlog.New(eventlog.Config{
		Targets: []eventlog.Target{target}, Log: slog.New(slog.DiscardHandler), Stats: time.Second,
		Sampled: limit.Rate{Events: allSampled, Per: time.Second, Burst: allSampled},
	}); err != nil {
		return nil, err
	}
	o.metrics, err = metrics.New(metrics.Config{Log: slog.New(slog.DiscardHandler)})
	return o, err
}

// observe takes what a worker tells of a frame.
func (o *onlookers) observe(e *firewall.FrameEvent) {
	o.recent.Observe(e)
	o.taps.Observe(e)
	o.events.Observe(e)
}

// look begins to show what the firewall of l does.
func (o *onlookers) look(l *Lab) error {
	path := filepath.Join(filepath.Dir(o.rules), "control.sock")
	listener, err := control.Listen(path)
	if err != nil {
		return err
	}
	server, err := control.NewServer(control.Config{
		Firewall: l.firewall, Elsewhere: l.Drops, Vitals: l.Vitals, Feed: &l.feed, Recent: o.recent, Taps: &o.taps,
		Log: slog.New(slog.DiscardHandler), Rules: o.rules, Owner: os.Geteuid(),
		Reload: func() (done control.Reloaded, err error) { return o.reload(l.firewall) },
	})
	if err != nil {
		return errors.Join(err, listener.Close())
	}
	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	o.running.Go(func() {
		if err := server.Serve(ctx, listener); err != nil {
			o.failed <- err
		}
	})
	o.running.Go(func() { o.events.Run(ctx, l.firewall) })
	o.metrics.Watch(metrics.Source{
		Firewall: l.firewall, Elsewhere: l.Drops, EventLog: o.events.Counters,
		Queues: func() []control.QueueHealth { return l.Vitals().Queues },
	})
	o.metrics.Ready()
	scrapes, err := metrics.Listen(o.scrapes)
	if err != nil {
		return err
	}
	o.running.Go(func() {
		if err := o.metrics.Serve(ctx, scrapes); err != nil {
			o.failed <- err
		}
	})
	o.client, err = control.Dial(path)
	return err
}

func (o *onlookers) reload(fw *nfq.Inline) (done control.Reloaded, err error) {
	text, err := os.ReadFile(o.rules)
	if err != nil {
		return done, err
	}
	p, diagnostics := policy.Load(o.rules, text)
	if p == nil {
		return done, &control.Error{Code: http.StatusUnprocessableEntity, Message: "the rules file does not load", Diagnostics: diagnostics.Error()}
	}
	ended, err := fw.Reload(p)
	return control.Reloaded{Tenants: len(p.Tenants()), Rules: len(p.Rules()), FlowsEnded: ended}, err
}

// Close ends what look began; the error is that of a socket, if one had any.
func (o *onlookers) Close() error {
	if o.stop == nil {
		return nil
	}
	o.stop()
	o.running.Wait()
	if o.client != nil {
		o.client.Close()
	}
	select {
	case err := <-o.failed:
		return fmt.Errorf("lab: %w", err)
	default:
		return nil
	}
}
