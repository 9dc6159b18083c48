package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"sttwall/nfq"
	"sttwall/policy"
)

func newRunCommand(s streams) *cobra.Command {
	var (
		rules  string
		report time.Duration
		inline inlineFlags
	)
	cmd := &cobra.Command{
		Use:   "run --rules FILE",
		Short: "Run the firewall on this host",
		Long: "run takes the STT packets that this host forwards or receives from NFQUEUE, and lets leave what\n" +
			"the rules allow. It opens the queues, installs the nftables table 'sttwall', and works until SIGTERM\n" +
			"or ^C. The table stays then, and drops: 'sttwall nft --remove' takes it away. SIGHUP reads the rules file again.\n" +
			"It needs CAP_NET_ADMIN, and CAP_NET_RAW for answering what rules reject.",
		Example: "  sttwall run --rules /etc/sttwall/rules.hcl\n" +
			"  sttwall run --rules rules.hcl --queues 4 --fail-open=absent",
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if rules == "" {
				return usageError{errors.New("--rules is missing")}
			}
			if report < 0 {
				return usageError{fmt.Errorf("--report %v: must not be negative", report)}
			}
			config, err := inline.config()
			if err != nil {
				return usageError{err}
			}
			if config.Policy, err = loadPolicy(s, rules); err != nil {
				return err
			}
			return run(cmd.Context(), config, slog.New(slog.NewTextHandler(s.err, nil)), report, func() (*policy.Policy, error) { return loadPolicy(s, rules) })
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&rules, "rules", "", "rules `file` (required)")
	flags.DurationVar(&report, "report", 10*time.Second, "how often losses and drops are logged, if there were any; 0 is never")
	inline.addRun(flags)
	return cmd
}

// run runs the firewall until ctx ends. load reads the rules again, at SIGHUP.
func run(ctx context.Context, config nfq.InlineConfig, log *slog.Logger, every time.Duration, load func() (*policy.Policy, error)) error {
	watch := newReporter(log)
	config.Observer = watch.observe
	inline, err := nfq.StartInline(config)
	if err != nil {
		return err
	}
	settings := config.Policy.Settings()
	announce(log, config, settings, inline)
	stopped := make(chan struct{})
	reporting, stop := context.WithCancel(context.Background())
	go func() {
		defer close(stopped)
		watch.run(reporting, inline, every)
	}()
	go reloadAtHangup(reporting, inline, log, load)
	err = inline.Run(ctx)
	stop()
	<-stopped
	return err
}

// reloadAtHangup puts the rules file in force again at each SIGHUP. A file that
// does not load changes nothing.
func reloadAtHangup(ctx context.Context, inline *nfq.Inline, log *slog.Logger, load func() (*policy.Policy, error)) {
	hangup := make(chan os.Signal, 1)
	signal.Notify(hangup, unix.SIGHUP)
	defer signal.Stop(hangup)
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			reload(inline, log, load)
		}
	}
}

func reload(inline *nfq.Inline, log *slog.Logger, load func() (*policy.Policy, error)) {
	old := inline.Shared().Policy()
	next, err := load()
	if err != nil {
		log.Error("the rules file does not load: the rules that were in force still are", "why", err)
		return
	}
	ended, err := inline.Reload(next)
	if err != nil {
		log.Error("the table does not follow the rules file: the rules that were in force still are", "why", err)
		return
	}
	log.Info("the rules are in force", "tenants", len(next.Tenants()), "rules", len(next.Rules()), "flows_ended", ended)
	if next.Settings().Flows != old.Settings().Flows {
		log.Warn("settings.flows has changed: the flow table keeps its size until the next start")
	}
}

// announce says what runs, and loudly what is left open.
func announce(log *slog.Logger, c nfq.InlineConfig, settings policy.Settings, inline *nfq.Inline) {
	where := "somebody else's"
	if table := inline.Table(); table != nil {
		where = table.Target().String()
	}
	log.Info("the firewall runs", "ports", settings.STTPorts, "receivers", settings.Receivers.String(),
		"tenants", len(c.Policy.Tenants()), "rules", len(c.Policy.Rules()),
		"queue", c.Queue.Number, "queues", c.Queues, "table", where)
	if len(settings.Endpoints) == 0 {
		log.Warn("settings.endpoints is empty: any address may send STT")
	}
	if !inline.Answers() {
		log.Warn("without CAP_NET_RAW no reject is answered: rejected frames are dropped silently")
	}
	if c.FailOpenAbsent {
		log.Warn("fails open: STT passes uninspected while no sttwall listens")
	}
	if c.Queue.FailOpenOverload {
		log.Warn("fails open: STT passes uninspected when the queue is full")
	}
	for i, q := range inline.QueueStats() {
		if q.ReceiveBuffer < c.Queue.ReceiveBuffer {
			log.Warn("the receive buffer is smaller than asked for: raise net.core.rmem_max, or run with CAP_NET_ADMIN in the first user namespace",
				"queue", int(c.Queue.Number)+i, "bytes", q.ReceiveBuffer, "wanted", c.Queue.ReceiveBuffer)
		}
	}
}
