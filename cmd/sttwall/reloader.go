package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/temporary"
)

// reloader puts the rules file of a running firewall in force again, whoever
// asks for it, one at a time. A file that does not load changes nothing.
type reloader struct {
	mu     sync.Mutex
	inline *nfq.Inline
	// rules puts a rules file in force, with the temporary rules before it.
	rules *temporary.List
	log   *slog.Logger
	feed  *control.Feed
	// events is told too, and opens its files again; nil: there is no event log.
	events *eventlog.Log
	// load reads the rules again. said is about the file, and is printed.
	load func() (p *policy.Policy, said string, err error)
	// done, if not nil, is told how a reload ended.
	done func(error)
}

// reload reports what is in force now; the error is a [control.Error] that says
// why nothing has changed.
func (r *reloader) reload() (control.Reloaded, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done, err := r.tryReload()
	e := &control.Event{Type: control.EventReload, Time: time.Now().UTC(), Tenants: done.Tenants, Rules: done.Rules, FlowsEnded: done.FlowsEnded}
	if err != nil {
		e.Error = err.Error()
	}
	r.feed.Tell(e)
	if r.done != nil {
		r.done(err)
	}
	r.events.Tell(e)
	r.events.Reopen()
	return done, err
}

func (r *reloader) tryReload() (done control.Reloaded, err error) {
	next, said, err := r.load()
	if err != nil {
		const what = "the rules file does not load: the rules that were in force still are"
		if errors.Is(err, errFindings) {
			r.log.Error(what) // why was printed
		} else {
			r.log.Error(what, "why", err)
		}
		return done, &control.Error{Code: http.StatusUnprocessableEntity, Message: what, Diagnostics: said}
	}
	old := r.inline.Shared().Policy().Settings()
	ended, err := r.rules.Reload(next)
	if err != nil {
		const what = "the table does not follow the rules file: the rules that were in force still are"
		r.log.Error(what, "why", err)
		return done, &control.Error{Code: http.StatusInternalServerError, Message: what + ": " + err.Error()}
	}
	done = control.Reloaded{Tenants: len(next.Tenants()), Rules: len(next.Rules()), FlowsEnded: ended}
	r.log.Info("the rules are in force", "tenants", done.Tenants, "rules", done.Rules, "flows_ended", ended)
	if said != "" {
		done.Warnings = append(done.Warnings, strings.TrimSuffix(said, "\n"))
	}
	for _, rule := range r.rules.Rules() {
		if rule.Inactive != "" {
			warnInactive(r.log, rule)
			done.Warnings = append(done.Warnings, fmt.Sprintf("temporary rule %s '%s' is not in force: %s", rule.Name, rule.Pattern, rule.Inactive))
		}
	}
	if next.Settings().Flows != old.Flows {
		const what = "settings.flows has changed: the flow table keeps its size until the next start"
		r.log.Warn(what)
		done.Warnings = append(done.Warnings, what)
	}
	if next.Settings().Bindings != old.Bindings {
		const what = "settings.bindings has changed: the table of bindings keeps its size until the next start"
		r.log.Warn(what)
		done.Warnings = append(done.Warnings, what)
	}
	return done, nil
}

// warnInactive is loud: what an operator has blocked may pass.
func warnInactive(log *slog.Logger, rule temporary.Status) {
	log.Warn("a temporary rule is not in force", "name", rule.Name, "action", rule.Action.String(), "pattern", rule.Pattern, "why", rule.Inactive)
}

// atHangup reloads at each signal until ctx ends.
func (r *reloader) atHangup(ctx context.Context, hangup <-chan os.Signal) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			r.reload() // what there is to say is in the log
		}
	}
}
