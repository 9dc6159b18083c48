package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/firewall"
	"sttwall/internal/vitals"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/temporary"
)

func newRunCommand(s streams) *cobra.Command {
	var (
		rules  string
		socket string
		state  string
		report time.Duration
		inline inlineFlags
		counts metricsFlags
		events eventLogFlags
		place  inPlaceFlags
		drops  dropCaptureFlags
		rights rightsFlags
		over   handoverFlags
		table  tableWatchFlags
		cpu    string

		simulate string
	)
	cmd := &cobra.Command{
		Use:   "run --rules FILE",
		Short: "Run the firewall on this host",
		Long: "run takes the STT packets that this host forwards or receives from NFQUEUE, and lets leave what\n" +
			"the rules allow; with --hook also what it sends, or what its bridges forward (docs/table.md). It opens the queues, installs the nftables table 'sttwall', and works until SIGTERM\n" +
			"or ^C. The table stays then, and drops: 'sttwall nft --remove' takes it away. SIGHUP reads the rules file again.\n" +
			"A control socket lets 'sttwall reload', 'flows', 'explain' and others ask and change it.\n" +
			"It needs CAP_NET_ADMIN, CAP_NET_RAW for answering what rules reject, and CAP_BPF for --gso-guard;\n" +
			"once it runs it has given up all rights but the first.",
		Example: "  sttwall run --rules /etc/sttwall/rules.hcl\n" +
			"  sttwall run --rules rules.hcl --queues 4 --fail-open=absent\n" +
			"  sttwall run --rules /etc/sttwall/rules.hcl --take-over",
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rules == "" {
				return usageError{errors.New("--rules is missing")}
			}
			if report < 0 {
				return usageError{fmt.Errorf("--report %v: must not be negative", report)}
			}
			if err := counts.check(); err != nil {
				return usageError{err}
			}
			if err := drops.check(); err != nil {
				return usageError{err}
			}
			if err := table.check(); err != nil {
				return usageError{err}
			}
			config, err := inline.config()
			if err != nil {
				return usageError{err}
			}
			if err := rights.become(socket, state); err != nil {
				return err
			}
			here, err := place.open(s, socket)
			if err != nil {
				return err
			}
			defer here.close()
			log := slog.New(slog.NewTextHandler(here.log(), nil))
			logged, err := events.config(log)
			if err != nil {
				return usageError{err}
			}
			if config.Simulate, err = simulation(simulate); err != nil {
				return usageError{err}
			}
			var read []string
			var said string
			config.Policy, read, said, err = readPolicyFiles(rules, policy.Printout{Color: colour(s.err)})
			io.WriteString(s.err, rights.explain(said, err))
			if err != nil {
				return err
			}
			ctx, stop := context.WithCancel(cmd.Context())
			defer stop()
			c := runConfig{
				inline: config, rules: rules, socket: socket, state: state, report: report, metrics: counts,
				log: log, events: logged, drops: drops, table: table,
				load: func() (*policy.Policy, string, error) {
					here.reopen()
					p, said, err := readPolicy(rules, policy.Printout{})
					said = rights.explain(said, err)
					io.WriteString(here.log(), said)
					return p, said, err
				},
			}
			c.confine = func(c *runConfig) error { return rights.confine(c, read, place) }
			if c.over, err = over.begin(ctx, &c, stop); err != nil {
				return err
			}
			if place.on {
				c.started = func() { here.show(ctx, stop) }
			}
			profiled, err := startProfile(cpu)
			if err != nil {
				return err
			}
			err = run(ctx, c)
			stop()
			c.over.finish()
			return errors.Join(err, profiled())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&rules, "rules", "", "rules `file` (required)")
	flags.StringVar(&socket, "control", defaultSocket(), "`socket` over which the firewall is asked and changed; \"\" is none")
	flags.StringVar(&state, "state", defaultState(), "`file` in which temporary rules outlast a restart; \"\" is none")
	flags.DurationVar(&report, "report", 10*time.Second, "how often losses and drops are logged, if there were any; 0 is never")
	flags.StringVar(&cpu, "cpu-profile", "", "`file` for a profile of the processor's time until the end\n(go tool pprof); \"\" is none")
	flags.StringVar(&simulate, "simulate", "", simulateUsage)
	flags.MarkHidden("simulate")
	counts.add(flags)
	events.add(flags)
	drops.add(flags)
	place.add(flags)
	rights.add(flags)
	over.add(flags)
	table.add(flags)
	inline.addRun(flags)
	return cmd
}

// runConfig is a firewall that `run` runs.
type runConfig struct {
	inline  nfq.InlineConfig
	rules   string // the rules file
	socket  string // of control; "": none
	state   string // state file of temporary rules; "": none
	report  time.Duration
	metrics metricsFlags
	drops   dropCaptureFlags
	table   tableWatchFlags
	log     *slog.Logger
	events  *eventlog.Config // nil: no event log
	over    *successor       // nil: none comes before or after
	// load reads the rules again; see [reloader].
	load func() (*policy.Policy, string, error)
	// confine, if not nil, gives up the rights that are needed no more, when all is open.
	confine func(*runConfig) error
	rights  string // what confine has left; "": all that it was started with
	// started, if not nil, is called when the firewall takes packets and can be asked.
	started func()
}

// run runs the firewall until ctx ends.
func run(ctx context.Context, c runConfig) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	var inline *nfq.Inline
	told := newObservers(c.log, func() *policy.Policy { return inline.Shared().Policy() })
	watch, feed, recent, taps, audited := told.watch, told.feed, told.recent, told.taps, told.audited
	events, err := openEventLog(c.events, func() []control.Drop { return vitals.Drops(inline) })
	if err != nil {
		return err
	}
	c.inline.Observer = func(e *firewall.FrameEvent) {
		told.observe(e)
		events.Observe(e)
	}
	c.inline.Wrap, c.inline.Whole = told.wrap, taps.Whole
	c.inline.WantsQuiet = taps.WantsQuiet // nobody else does
	c.inline.Panicked = logPanics(c.log)
	c.inline.Adopt = c.over.adopter()
	// The socket first: what cannot be asked shall not run unnoticed, and nothing
	// has been touched yet.
	var socket *control.Listener
	if c.socket != "" {
		if socket, err = control.Listen(c.socket); err != nil {
			return fmt.Errorf("%w (--take-over takes its place, --control names another socket, --control \"\" makes none)", err)
		}
		defer socket.Close()
	}
	dropped, err := c.drops.open(taps, c.log)
	if err != nil {
		return err
	}
	measures, err := c.metrics.open(c.log)
	if err != nil {
		return err
	}
	defer measures.close()
	rules, err := temporary.Open(temporary.Config{Policy: c.inline.Policy, File: c.state})
	if err != nil {
		return err
	}
	c.inline.Policy = rules.Policy()
	defer roomForWorkers(c.inline.Queues)()
	// From here on a SIGHUP ends nothing.
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	defer signal.Stop(hangup)
	if inline, err = nfq.StartInline(c.inline); err != nil {
		return err
	}
	rules.Start(inline)
	warnInterfaces(c.log, c.inline.Policy.Settings().BoundEndpoints, inline.Table() == nil) // the sandbox hides them
	if c.confine != nil {
		if err := c.confine(&c); err != nil {
			return err
		}
	}
	reloads := &reloader{inline: inline, rules: rules, log: c.log, feed: feed, events: events, load: c.load, done: measures.reloaded}
	manager := &service{log: c.log}
	manager.reload(reloads)
	serving, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	if socket != nil {
		server, err := control.NewServer(control.Config{
			Firewall: inline, Reload: reloads.reload, HandOver: c.over.asked(), Temporary: rules, Feed: feed, Recent: recent, Taps: taps,
			Elsewhere: func() []control.Drop { return vitals.Drops(inline) }, Vitals: func() control.Vitals { return vitalsOf(inline, events) },
			Seen: audited.Seen, Log: c.log, Version: version(), Rules: c.rules, Rights: c.rights, Owner: os.Geteuid(),
		})
		if err != nil {
			stop()
			return err
		}
		running.Go(func() {
			if err := server.Serve(serving, socket); err != nil {
				c.log.Error("the control socket is out of order: the firewall goes on without it", "why", err)
			}
		})
	}
	measures.watch(ctx, watched{inline, rules, feed, events})
	lookAfterTable := c.table.watch(inline, c.log) // before anybody is told that it runs
	announce(c, inline, rules.Rules())
	running.Go(func() { c.over.settle(inline) })
	running.Go(func() { watch.run(serving, inline, c.report) })
	running.Go(func() { audited.Run(serving) })
	running.Go(func() { lookAfterTable(serving) })
	running.Go(func() { dropped.run(serving, inline.Now, c.report) })
	endLog := logEvents(events, inline)
	running.Go(func() { reloads.atHangup(serving, hangup) })
	running.Go(func() { manager.watch(ctx, inline) })
	manager.ready(c.inline.Policy)
	if c.started != nil {
		c.started()
	}
	err = inline.Run(ctx)
	end() // also for those who wait for it where a queue has failed
	c.over.leave(inline, err)
	stop()
	running.Wait()
	endLog()
	return err
}

// announce says what runs, and loudly what is left open.
func announce(run runConfig, inline *nfq.Inline, set []temporary.Status) {
	c, log := run.inline, run.log
	settings := c.Policy.Settings()
	where := "somebody else's"
	if table := inline.Table(); table != nil {
		where = table.Target().String()
	}
	socket := run.socket
	if socket == "" {
		socket = "none"
	}
	log.Info("the firewall runs", "ports", settings.STTPorts, "receivers", settings.Receivers.String(),
		"tenants", len(c.Policy.Tenants()), "rules", c.Policy.FileRules(), "temporary", len(set),
		"queue", c.Queue.Number, "queues", c.Queues, "hooks", c.Hooks.String(), "table", where, "control", socket)
	tellMemory(run)
	for _, rule := range set {
		if rule.Inactive != "" {
			warnInactive(log, rule)
		}
	}
	if len(settings.Endpoints) == 0 {
		log.Warn("settings.endpoints is empty: any address may send STT")
	}
	if !inline.Answers() {
		log.Warn("without CAP_NET_RAW no reject is answered: rejected frames are dropped silently")
	}
	if missing := inline.GuardMissing(); missing != nil {
		warnGuard(log, missing)
	}
	if left := inline.BridgeLeft(); left != nil {
		log.Warn("br_netfilter is still as a firewall with --hook bridge has set it: 'sttwall nft --remove' where /proc/sys can be written", "why", left)
	}
	if c.FailOpenAbsent {
		log.Warn("fails open: STT passes uninspected while no sttwall listens")
	}
	if c.Simulate != nil {
		log.Warn("faults are simulated: this firewall is out of order by intention", "faults", c.Simulate.Faults)
	}
	if c.Queue.FailOpenOverload {
		log.Warn("fails open: STT passes uninspected when the queue is full")
	}
	if c.FailOpenException {
		log.Warn("fails open: what rules accept passes without a flow where the flow table is full")
	}
	for i, q := range inline.QueueStats() {
		if q.ReceiveBuffer < c.Queue.ReceiveBuffer {
			log.Warn("the receive buffer is smaller than asked for: raise net.core.rmem_max, or run with CAP_NET_ADMIN in the first user namespace",
				"queue", int(c.Queue.Number)+i, "bytes", q.ReceiveBuffer, "wanted", c.Queue.ReceiveBuffer)
		}
	}
}
