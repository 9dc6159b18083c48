package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/hashicorp/hcl/v2"

	"sttwall/control"
	"sttwall/internal/lab"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/tui"
)

// demoReport is how often the firewall of the live demo logs losses and drops.
const demoReport = time.Minute

// demoFrameIDBits sizes its frame-ID filter: the live demo sends a few hundred
// frames a second.
const demoFrameIDBits = 20

// runLiveFirewall is the firewall of the live demo, in the lab's child process: the
// same as `sttwall run`. It logs to stderr.
func runLiveFirewall(ctx context.Context, f lab.LiveFirewall) error {
	c, err := liveConfig(f)
	if err != nil {
		return err
	}
	return run(ctx, c)
}

// liveConfig is that firewall.
func liveConfig(f lab.LiveFirewall) (c runConfig, err error) {
	s := streams{os.Stdin, os.Stdout, os.Stderr}
	load := func() (*policy.Policy, string, error) { return readPolicyAs(f.Rules, f.RulesName) }
	p, said, err := load()
	if err != nil {
		return c, fmt.Errorf("%w\n%s", err, said)
	}
	c = runConfig{
		rules: f.RulesName, socket: f.Socket, report: demoReport,
		log: slog.New(slog.NewTextHandler(s.err, nil)), load: load, started: f.Started,
	}
	c.metrics.address = demoMetrics(f.Socket)
	c.inline.Policy, c.inline.Queues, c.inline.FrameIDBits = p, f.Queues, demoFrameIDBits
	c.inline.Queue.Number = defaultQueue
	c.inline.GSOGuard = nfq.GuardOff // no endpoint of it is Windows, and in a user namespace there can be none
	if c.inline.Queues == 0 {
		c.inline.Queues = 2
	}
	return c, nil
}

// demoMetrics is where the metrics of the live demo are, beside its control socket.
func demoMetrics(control string) string { return filepath.Join(filepath.Dir(control), "metrics.sock") }

// readPolicyAs loads a rules file that has another name outside of this process. Both
// that people read, and that they can open, is that one.
func readPolicyAs(path, name string) (rules *policy.Policy, said string, err error) {
	src, err := os.ReadFile(path) // as large as the lab's file system at most
	if err != nil {
		return nil, "", err
	}
	rules, diagnostics := policy.Load(name, src)
	if len(diagnostics) > 0 {
		var out strings.Builder
		if err := policy.WriteDiagnostics(&out, diagnostics, policy.Printout{Files: map[string]*hcl.File{name: {Bytes: src}}}); err != nil {
			return nil, "", err
		}
		said = out.String()
	}
	if diagnostics.HasErrors() {
		return nil, said, errFindings
	}
	return rules, said, nil
}

// liveScreen is what the demo shows its live traffic with.
type liveScreen struct {
	screen tui.Config
	queues int
}

// liveOnScreen shows the live traffic until the user leaves.
func liveOnScreen(ctx context.Context, s streams, c liveScreen) error {
	fmt.Fprint(s.err, "building the lab ...")
	err := lab.RunLive(ctx, lab.LiveOptions{Queues: c.queues}, func(ctx context.Context, live lab.Live) error {
		client, err := control.Dial(live.Control)
		if err != nil {
			return fmt.Errorf("the lab runs, but its firewall cannot be asked from here: %w ('sttwall demo --once' needs no such way)", err)
		}
		defer client.Close()
		c.screen.Firewall, c.screen.Where, c.screen.Title = client, live.Control, "demo"
		c.screen.Hint = "?: keys  Elsewhere: sttwall top --control " + live.Control
		fmt.Fprint(s.err, "\r\x1b[K")
		return watchLive(ctx, s, c.screen)
	})
	fmt.Fprint(s.err, "\r\x1b[K")
	if err == nil {
		fmt.Fprintln(s.err, "The lab is gone: no namespace, link, table, process or file is left.")
	}
	return err
}

// liveWithoutScreen has the live traffic until ctx ends.
func liveWithoutScreen(ctx context.Context, s streams, queues int) error {
	return lab.RunLive(ctx, lab.LiveOptions{Queues: queues}, func(ctx context.Context, live lab.Live) error {
		_, err := fmt.Fprintf(s.out, "The demo runs until ^C. Its rules: %s\nIn another terminal:\n\n"+
			"    sttwall top    --control %[2]s\n"+
			"    sttwall flows  --control %[2]s\n"+
			"    sttwall events --control %[2]s\n"+
			"    sttwall drops  --control %[2]s\n"+
			"    sttwall reload --control %[2]s\n"+
			"    curl --unix-socket %[3]s http://sttwall/metrics\n", live.Rules, live.Control, demoMetrics(live.Control))
		if err != nil {
			return err
		}
		<-ctx.Done()
		return nil
	})
}
