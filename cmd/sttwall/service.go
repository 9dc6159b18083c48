package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"sttwall/nfq"
	"sttwall/policy"
)

// service tells the service manager how the firewall does, where one wants to know:
// sd_notify(3), systemd.service(5). Its methods may be called from any goroutine.
type service struct {
	log    *slog.Logger
	failed atomic.Bool // the last time
}

// notifiesAbstract reports whether the service manager listens on an abstract socket.
func notifiesAbstract() bool { return strings.HasPrefix(os.Getenv("NOTIFY_SOCKET"), "@") }

// notify sends lines of sd_notify; without a service manager it does nothing.
func (s *service) notify(lines ...string) {
	_, err := daemon.SdNotify(false, strings.Join(lines, "\n"))
	if failed := err != nil; s.failed.Swap(failed) != failed && failed {
		s.log.Warn("the service manager is not told how the firewall does", "why", err)
	}
}

// ready tells that packets are taken, or that a reload is over.
func (s *service) ready(p *policy.Policy) {
	s.notify(daemon.SdNotifyReady, "STATUS=runs: "+rulesText(len(p.Tenants()), p.FileRules()))
}

// reload tells of the beginning and the end of what load and done are called for.
func (s *service) reload(r *reloader) {
	load, done := r.load, r.done
	r.load = func() (*policy.Policy, string, error) {
		// Since Linux 2.6 this clock does not fail.
		var now unix.Timespec
		unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
		s.notify(daemon.SdNotifyReloading, fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000))
		return load()
	}
	r.done = func(err error) {
		done(err)
		s.ready(r.inline.Shared().Policy())
		if err != nil {
			s.notify("STATUS=runs with the rules from before: those of the file do not load, see the log")
		}
	}
}

// watch tells that the firewall is alive, as often as the service manager wants it, for as
// long as every worker comes around; and when it begins to stop. It returns when ctx ends.
func (s *service) watch(ctx context.Context, inline *nfq.Inline) {
	defer s.notify(daemon.SdNotifyStopping)
	every, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		s.log.Warn("the service manager's watchdog is not served", "why", err)
	}
	if every <= 0 {
		<-ctx.Done()
		return
	}
	tick := time.NewTicker(every / 3)
	defer tick.Stop()
	for {
		if hang := inline.Progress(); len(hang) == 0 {
			s.notify(daemon.SdNotifyWatchdog)
		} else {
			s.log.Error("workers hang: the service manager is not told that the firewall is alive", "queues", fmt.Sprint(hang))
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
