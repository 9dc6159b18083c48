package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/reason"
)

// bareFirewall is a firewall for the live demo that nobody can ask.
func bareFirewall(ctx context.Context, f LiveFirewall) error {
	text, err := os.ReadFile(f.Rules)
	if err != nil {
		return err
	}
	rules, diagnostics := policy.Load(f.RulesName, text)
	if rules == nil {
		return diagnostics
	}
	in, err := nfq.StartInline(nfq.InlineConfig{Policy: rules, Queues: 1, FrameIDBits: 16})
	if err != nil {
		return err
	}
	f.Started()
	return in.Run(ctx)
}

func TestTheLiveTrafficIsOfManyKindsAndBounded(t *testing.T) {
	if !Inside(t) {
		return
	}
	before := runtime.NumGoroutine()
	l, err := New(Config{Third: true, Rules: LiveRules, RulesName: "live.hcl", ReassemblyTimeout: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	withLab := runtime.NumGoroutine()
	traffic, err := l.startTraffic(20)
	if err != nil {
		t.Fatal(err)
	}
	ctx := bounded(t)
	reasons := []reason.Reason{
		reason.TenantDefault, reason.RuleDrop, reason.RuleReject, reason.L4OffsetMismatch, reason.ContextUnknown,
		reason.SegmentFlags, reason.SegmentOverlap, reason.FrameVersion, reason.FrameTimeout,
	}
	// Clients have an attempt each, and services a connection each for it, which
	// takes a few goroutines at either end.
	bound, files := withLab+12*int(traffic.actors), openFiles(t)+8*int(traffic.actors)
	if err := l.WaitTotals(ctx, "traffic of all kinds", func(total firewall.Totals) bool {
		if n := runtime.NumGoroutine(); n > bound {
			t.Fatalf("%d goroutines, and %d clients", n, traffic.actors)
		}
		for _, r := range reasons {
			if total.Reasons[r] < 3 {
				return false
			}
		}
		return total.FramesAccepted > 5000 && total.FramesAudited > 200
	}); err != nil {
		t.Errorf("%v\n%+v", err, l.Totals())
	}
	if n := openFiles(t); n > files {
		t.Errorf("%d open files, and %d clients", n, traffic.actors)
	}
	table, err := l.TableCounters()
	if err != nil || table.EndpointUnknown == 0 {
		t.Errorf("no spoofed endpoint: %+v, %v", table, err)
	}
	wanted := map[string]bool{}
	for _, name := range []string{"no-telnet", "web", "dns", "ping", "ssh", "backup", "syslog"} {
		wanted["acme/"+name] = true
	}
	for _, name := range []string{"no-mail", "web", "dns", "database"} {
		wanted["globex/"+name] = true
	}
	wanted["initech/web"], wanted["initech/dns"], wanted["10.1.0.7 to port 443"] = true, true, true
	for _, e := range l.Events() {
		delete(wanted, e.Decision.Rule)
		if e.Verdict == firewall.Drop && e.Reason == reason.TenantDefault && e.Inner.Src == liveDesk && e.Inner.DstPort == portHTTPS {
			delete(wanted, "10.1.0.7 to port 443")
		}
	}
	if len(wanted) > 0 {
		t.Errorf("nothing of %v", wanted)
	}
	if err := errors.Join(traffic.Close(), l.Failure(), l.Close()); err != nil {
		t.Error(err)
	}
	// What the last connections leave ends soon.
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for runtime.NumGoroutine() > before+2 {
		select {
		case <-again.C:
		case <-ctx.Done():
			buffer := make([]byte, 1<<16)
			t.Fatalf("%d goroutines are left, before there were %d\n%s", runtime.NumGoroutine(), before, buffer[:runtime.Stack(buffer, true)])
		}
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

func TestTheLiveDemoEndsWhenItsScreenDoes(t *testing.T) {
	left := errors.New("the screen is broken")
	for _, want := range []error{nil, left} {
		var live Live
		err := RunLive(t.Context(), LiveOptions{}, func(ctx context.Context, l Live) error {
			live = l
			text, err := os.ReadFile(l.Rules)
			if err != nil || string(text) != string(LiveRules) {
				t.Errorf("the rules at %s: %q, %v", l.Rules, text, err)
			}
			return want
		})
		if errors.Is(err, ErrUnavailable) {
			unavailable(t, err)
		}
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("got %v, want %v", err, want)
		}
		if _, err := os.Stat(live.Rules); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", live.Rules, err)
		}
	}
}

func TestTheScreenEndsWhenTheLiveDemoDoes(t *testing.T) {
	var pid int
	err := RunLive(t.Context(), LiveOptions{started: func(p int) { pid = p }}, func(ctx context.Context, _ Live) error {
		process, err := os.FindProcess(pid)
		if err != nil {
			return err
		}
		if err := process.Kill(); err != nil {
			return err
		}
		<-ctx.Done()
		return ctx.Err()
	})
	if errors.Is(err, ErrUnavailable) {
		unavailable(t, err)
	}
	if err == nil || !strings.Contains(err.Error(), "the child") {
		t.Errorf("got %v", err)
	}
}

func TestKillingTheParentOfTheLiveDemoLeavesNothing(t *testing.T) {
	v := startVictim(t, "live")
	if err := v.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	v.mustBeGone(t)
	v.cmd.Wait()
}

func TestAFirewallThatDoesNotStartIsToldWithItsWords(t *testing.T) {
	t.Setenv(brokenVariable, "1")
	err := RunLive(t.Context(), LiveOptions{}, func(context.Context, Live) error {
		return errors.New("it was shown")
	})
	if errors.Is(err, ErrUnavailable) {
		unavailable(t, err)
	}
	if err == nil || !strings.Contains(err.Error(), "no firewall today") || !strings.Contains(err.Error(), "my last words") {
		t.Errorf("got %v", err)
	}
}

func TestOnlyTheLastWordsAreKept(t *testing.T) {
	var words tail
	for i := range 10_000 {
		fmt.Fprintf(&words, "line %d\n", i)
	}
	if s := words.String(); len(s) > tailBytes || !strings.HasSuffix(s, "line 9999") {
		t.Errorf("%d bytes kept, ending in %q", len(s), s[len(s)-20:])
	}
}
