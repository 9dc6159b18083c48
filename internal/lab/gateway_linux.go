package lab

import (
	"context"
	_ "embed"
	"fmt"

	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/reassembly"
)

// DemoRules are the rules of the demo.
//
//go:embed demo.hcl
var DemoRules []byte

// frameIDBits sizes the frame-ID filter of a lab: a demo sends a few ten
// thousand frames.
const frameIDBits = 22

// startFirewall runs the firewall as `sttwall run` does, but tells the lab of
// every frame and every packet.
func (l *Lab) startFirewall(c Config) error {
	rules, diagnostics := policy.Load(c.RulesName, c.Rules)
	if rules == nil {
		return fmt.Errorf("lab: rules: %w", diagnostics)
	}
	return l.Do(Firewall, func() error {
		in, err := nfq.StartInline(nfq.InlineConfig{
			Policy: rules, Queues: c.Queues, Hooks: c.Position.hooks(),
			FrameIDBits: frameIDBits, StartupGuard: c.StartupGuard,
			Reassembly: reassembly.Config{Timeout: c.ReassemblyTimeout},
			Hold:       firewall.HoldConfig{Wait: c.FragmentWait},
			GSOGuard:   nfq.GuardOff, // no endpoint here is Windows, and in a user namespace there can be none
			Observer:   l.observe,
			Wrap:       func(f *firewall.Firewall) nfq.Core { return watchedCore{f, &l.moved, &l.seen} },
		})
		if err != nil {
			return fmt.Errorf("lab: firewall: %w", err)
		}
		l.firewall = in
		l.start("firewall", in.Run)
		return nil
	})
}

// start runs f until the lab closes. An error of it before that is the lab's failure.
func (l *Lab) start(what string, f func(context.Context) error) {
	l.running.Go(func() {
		if err := f(l.ctx); err != nil && l.ctx.Err() == nil {
			l.failures.add(fmt.Errorf("lab: %s: %w", what, err), 0)
		}
	})
}

// Failure returns the error of the first part of the lab that has stopped
// working; nil if all work.
func (l *Lab) Failure() error {
	if failures := l.failures.all(); len(failures) > 0 {
		return failures[0]
	}
	return nil
}

// failed returns a channel that gets the first failure, if there is one before ctx
// ends.
func (l *Lab) failed(ctx context.Context) <-chan error {
	c := make(chan error, 1)
	go func() {
		if err, stopped := l.failures.wait(ctx, "a failure", func(error) bool { return true }); stopped == nil {
			c <- err
		}
	}()
	return c
}

// QueueStats returns what each queue has counted.
func (l *Lab) QueueStats() []nfq.Stats { return l.firewall.QueueStats() }
