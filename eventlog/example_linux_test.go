package eventlog_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"time"

	"sttwall/eventlog"
	"sttwall/limit"
	"sttwall/nfq"
	"sttwall/policy"
)

// A firewall whose events go to a file and to systemd's journal.
func Example() {
	rules, diagnostics := policy.Load("rules.hcl", []byte("tenant \"acme\" {\n  context_ids = [100]\n}\n"))
	if rules == nil {
		fmt.Println(diagnostics)
		return
	}
	var targets []eventlog.Target
	for _, text := range []string{"/var/log/sttwall/eve.json", "journald:"} {
		target, err := eventlog.ParseTarget(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		targets = append(targets, target)
	}
	events, err := eventlog.New(eventlog.Config{
		Targets: targets, Log: slog.Default(), Stats: eventlog.DefaultStats,
		Sampled: limit.Rate{Events: eventlog.DefaultSampled, Per: time.Second, Burst: eventlog.DefaultSampled},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	inline, err := nfq.StartInline(nfq.InlineConfig{Policy: rules, Queues: 1, FrameIDBits: 20, Observer: events.Observe})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var logging sync.WaitGroup
	logging.Go(func() { events.Run(ctx, inline) })
	if err := inline.Run(ctx); err != nil {
		fmt.Println(err)
	}
	logging.Wait()
}

func ExampleParseTarget() {
	for _, text := range []string{"/var/log/sttwall/eve.json", "syslog:", "syslog:mail"} {
		target, err := eventlog.ParseTarget(text)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(target)
	}
	// Output:
	// /var/log/sttwall/eve.json
	// syslog:local5
	// syslog has no facility "mail": want one of auth, authpriv, daemon, local0, local1, local2, local3, local4, local5, local6, local7, user
}
