package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"sttwall/control"
	"sttwall/internal/onlooker"
	"sttwall/metrics"
)

// other is what runs beside the worker; nil work is nobody.
type other struct {
	name string
	work func(context.Context) error
}

// others returns all, and what ends them.
func (t *testee) others() (list []other, done func(), err error) {
	dir, err := os.MkdirTemp("", "strain")
	if err != nil {
		return nil, nil, err
	}
	l, err := control.Listen(filepath.Join(dir, "control.sock"))
	if err != nil {
		return nil, nil, err
	}
	log := slog.New(slog.DiscardHandler)
	server, err := control.NewServer(control.Config{
		Firewall: t, Feed: t.feed, Recent: t.recent, Log: log, Owner: os.Geteuid(),
		Reload: func() (control.Reloaded, error) { return control.Reloaded{}, errors.New("no file") },
	})
	if err != nil {
		return nil, nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(ctx, l); err != nil {
			fmt.Fprintln(os.Stderr, "strain:", err)
		}
	}()
	done = func() {
		stop()
		<-served
		os.RemoveAll(dir)
	}
	client, err := control.Dial(filepath.Join(dir, "control.sock"))
	if err != nil {
		done()
		return nil, nil, err
	}
	scraped, err := metrics.New(metrics.Config{Tenants: metrics.DefaultTenants, Rules: metrics.DefaultRules, Log: log})
	if err != nil {
		done()
		return nil, nil, err
	}
	scraped.Watch(metrics.Source{
		Firewall: t, Queues: func() []control.QueueHealth { return nil },
		Reassembly: func() (h control.ReassemblyHealth) { return h }, Events: t.feed.Health,
		Elsewhere: func() []control.Drop { return nil }, Temporary: func() (inForce, inactive int) { return 0, 0 },
	})
	scraped.Ready()
	screens := func(ctx context.Context) error { return onlooker.Look(ctx, client) }
	return []other{
		{"nobody", nil},
		{"screens", screens},
		{"scrapes", func(ctx context.Context) error { return scrape(ctx, scraped.Handler()) }},
		{"garbage", func(ctx context.Context) error {
			runtime.GC()
			return screens(ctx)
		}},
		{"reload", t.reload},
		{"reap", func(context.Context) error {
			t.shared.Flows().Reap(t.clock())
			return nil
		}},
	}, done, nil
}

func scrape(ctx context.Context, h http.Handler) error {
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, httptest.NewRequestWithContext(ctx, http.MethodGet, "/metrics", nil))
	if answer.Code != http.StatusOK || !strings.Contains(answer.Body.String(), "sttwall_") {
		return fmt.Errorf("scrape: %d %.200s", answer.Code, answer.Body)
	}
	return nil
}

// reload puts the rules in force anew, so that every flow is judged.
func (t *testee) reload(context.Context) error {
	p, err := compile(t.config)
	if err != nil {
		return err
	}
	t.shared.SetPolicy(p)
	if ended := t.shared.Rejudge(t.clock()); ended != 0 {
		return fmt.Errorf("%d flows ended that the rules accept", ended)
	}
	return nil
}
