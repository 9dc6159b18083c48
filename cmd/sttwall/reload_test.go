package main

import (
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"sttwall/control"
	"sttwall/internal/lab"
	"sttwall/policy"
)

func TestReloadPutsTheChangedFileInForce(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	file := rulesFile(t, smallRules)
	fw := startRules(t, file, "--queues", "1", "--no-nft")
	reload := func(rules string) (status int, out, stderr string) {
		if err := os.WriteFile(file, []byte(rules), 0o640); err != nil {
			t.Fatal(err)
		}
		return sttwall("reload", "--control", fw.socket)
	}
	status, out, stderr := reload(smallRules + "tenant \"globex\" {\n  context_ids = [200]\n}\n")
	if status != statusFine || out != "the rules are in force: 2 tenants, 2 rules; 0 flows ended\n" || stderr != "" {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
	status, out, stderr = reload(strings.Replace(smallRules, "settings {", "settings {\n  flows = 100000", 1))
	if status != statusFine || !strings.HasPrefix(out, "the rules are in force: 1 tenant, ") || !strings.Contains(stderr, "settings.flows has changed") {
		t.Errorf("a smaller table: status %d\n%s%s", status, out, stderr)
	}
	status, out, stderr = reload(strings.Replace(smallRules, `endpoints = ["any"]`, "", 1))
	if status != statusFine || !strings.Contains(stderr, "warning: Any host may send STT") {
		t.Errorf("a warning: status %d\n%s%s", status, out, stderr)
	}

	broken := strings.Replace(smallRules, `"accept"`, `"allow"`, 1)
	status, out, stderr = reload(broken)
	_, _, check := sttwall("check", file)
	if status != statusRefused || out != "" || !strings.HasPrefix(stderr, check) || !strings.Contains(check, file+":") {
		t.Errorf("a broken file: status %d\n%s%s\nwant first what check says:\n%s", status, out, stderr, check)
	}
	if err := fw.cmd.Process.Signal(syscall.SIGHUP); err != nil { // the same once more
		t.Fatal(err)
	}
	if err := fw.waitFor(2, "the rules file does not load"); err != nil {
		t.Error(err)
	}
	status, said := fw.stop(t, syscall.SIGTERM)
	if status != statusFine || strings.Count(said, check) != 2 {
		t.Errorf("status %d; it does not say twice\n%s\nbut\n%s", status, check, said)
	}
	if status, _, stderr := sttwall("reload", "--control", fw.socket); status != statusRefused || !strings.Contains(stderr, "no sttwall listens on "+fw.socket) {
		t.Errorf("afterwards: status %d\n%s", status, stderr)
	}
}

func TestReloadReadsFilesOfAddressesAgain(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	file := rulesFile(t, strings.NewReplacer(
		`tenant "acme"`, "address_group \"blocked\" {\n  addresses_from = \"blocked.txt\"\n}\ntenant \"acme\"",
		`  rule "no-telnet"`, "  rule \"blocked\" {\n    action = \"drop\"\n    source = [address_group.blocked]\n  }\n  rule \"no-telnet\"",
	).Replace(smallRules))
	list := func(addresses string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(filepath.Dir(file), "blocked.txt"), []byte(addresses), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	list("# nobody yet\n10.9.9.9\n")
	fw := startRules(t, file, "--queues", "1", "--no-nft")
	decided := func() string {
		t.Helper()
		_, out, stderr := sttwall("explain", "--control", fw.socket, "--context", "100", "tcp 10.0.0.1:1 > 10.0.0.2:443 syn")
		lines := strings.Split(strings.TrimSpace(out), "\n")
		return lines[len(lines)-1] + stderr
	}
	list("10.9.9.9\n10.0.0.0/30  # guests\n")
	if got := decided(); got != "accept by acme/web" {
		t.Errorf("before the reload: %s", got)
	}
	if status, out, stderr := sttwall("reload", "--control", fw.socket); status != statusFine {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
	if got := decided(); got != "drop by acme/blocked: rule_drop" {
		t.Errorf("after the reload: %s", got)
	}
	list("10.0.0.0/33\n")
	if status, _, stderr := sttwall("reload", "--control", fw.socket); status != statusRefused || !strings.Contains(stderr, "blocked.txt") {
		t.Errorf("a file that is broken: status %d\n%s", status, stderr)
	}
	if got := decided(); got != "drop by acme/blocked: rule_drop" {
		t.Errorf("after a reload that was refused: %s", got)
	}
	fw.stop(t, syscall.SIGTERM)
}

func TestTheSocketOfALiveFirewallIsNotTaken(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	fw := start(t, "--queues", "1", "--no-nft")
	status, stderr := output(t, program(t, "plain", "run", "--state", "", "--rules", acceptAll, "--control", fw.socket, "--queue", "1", "--queues", "1", "--no-nft"))
	if status != statusRefused || !strings.Contains(stderr, "another sttwall listens on "+fw.socket) || !strings.Contains(stderr, "--take-over takes its place") {
		t.Errorf("a second one: status %d\n%s", status, stderr)
	}
	fw.stop(t, syscall.SIGKILL)
	if _, err := os.Lstat(fw.socket); err != nil {
		t.Fatalf("a killed firewall cannot take its socket away: %v", err)
	}
	again := start(t, "--queues", "1", "--no-nft", "--control", fw.socket)
	if status, out, stderr := sttwall("reload", "--control", fw.socket); status != statusFine {
		t.Errorf("after it was replaced: status %d\n%s%s", status, out, stderr)
	}
	again.stop(t, syscall.SIGTERM)
}

func TestOneReloadAtATime(t *testing.T) {
	const asked = 20
	var under, most, loads atomic.Int32
	started := make(chan struct{})
	r := &reloader{log: slog.New(slog.DiscardHandler), feed: new(control.Feed), load: func() (*policy.Policy, string, error) {
		most.Store(max(most.Load(), under.Add(1)))
		<-started // so that the others have come too
		runtime.Gosched()
		under.Add(-1)
		loads.Add(1)
		return nil, "what is wrong", errFindings
	}}
	var running sync.WaitGroup
	for range asked {
		running.Go(func() {
			var refused *control.Error
			if _, err := r.reload(); !errors.As(err, &refused) || refused.Code != http.StatusUnprocessableEntity || refused.Diagnostics != "what is wrong" {
				t.Errorf("got %v", err)
			}
		})
	}
	close(started)
	running.Wait()
	if most.Load() != 1 || loads.Load() != asked {
		t.Errorf("%d loads, %d of them at once", loads.Load(), most.Load())
	}
}
