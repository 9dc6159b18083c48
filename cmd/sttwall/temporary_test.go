package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"sttwall/control"
	"sttwall/internal/lab"
)

func TestTemporaryRulesOfARunningFirewall(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	state := filepath.Join(t.TempDir(), "state.json")
	file := rulesFile(t, smallRules+"address_group \"web\" {\n  addresses = [\"10.0.0.1\"]\n}\n")
	fw := startRules(t, file, "--queues", "1", "--no-nft", "--state", state)
	ask := func(want int, args ...string) (out, stderr string) {
		t.Helper()
		status, out, stderr := sttwall(append(args, "--control", fw.socket)...)
		if status != want {
			t.Errorf("%v: status %d\n%s%s", args, status, out, stderr)
		}
		return out, stderr
	}
	matches := func(pattern, text string) {
		t.Helper()
		if !regexp.MustCompile(pattern).MatchString(text) {
			t.Errorf("no %s in\n%s", pattern, text)
		}
	}
	const head = `^NAME +ACTION +LEFT +FRAMES +FLOWS +LAST HIT +BY +PATTERN +COMMENT\n`
	out, _ := ask(statusFine, "temporary")
	matches(head+"$", out)
	out, stderr := ask(statusFine, "block", "tenant:acme  tcp 10.1.9.9 > web:443", "--for", "1h", "--comment", "ticket 7")
	matches(`^t1: packets of 'tenant:acme tcp 10.1.9.9 > web:443' are dropped for 1h, until \d{4}-\d\d-\d\d \d\d:\d\d:\d\d; 0 flows ended\n$`, out)
	if stderr != "" {
		t.Errorf("it says %q", stderr)
	}
	out, _ = ask(statusFine, "allow", "any > any", "--for", "2d", "--name", "open")
	matches(`^open: packets of 'any > any' pass for 2d, until`, out)
	out, _ = ask(statusFine, "block", "udp any > any", "--for", "3h", "--reject")
	matches(`^t2: packets of 'udp any > any' are rejected for 3h, until`, out)

	_, stderr = ask(statusRefused, "block", "tcp any > nobody:443", "--for", "1h")
	matches(`^sttwall: pattern: column 11: expected any, addresses, or an address_group of the rules file; there is no "nobody"`, stderr)
	_, stderr = ask(statusRefused, "unblock", "open", "9")
	matches(`no such temporary rule: "t9"`, stderr)

	const list = head + `t2 +reject +(3h|2h5\S+) +0 +0 +- +\S+ +udp any > any +-
open +accept +\S+ +0 +0 +- +\S+ +any > any +-
t1 +drop +\S+ +0 +0 +- +\S+ +tenant:acme tcp 10.1.9.9 > web:443 +ticket 7`
	out, _ = ask(statusFine, "temporary")
	matches(list+"\n$", out)

	// A reload does not lose them, and says which mean nothing any more.
	if err := os.WriteFile(file, []byte(smallRules), 0o600); err != nil {
		t.Fatal(err)
	}
	_, stderr = ask(statusFine, "reload")
	matches(`temporary rule t1 'tenant:acme tcp 10.1.9.9 > web:443' is not in force: column 28: `, stderr)
	out, _ = ask(statusFine, "temporary")
	matches(list+"; NOT IN FORCE: column 28: expected any, addresses, or an address_group of the rules file; there is no \"web\"", out)
	fw.stop(t, syscall.SIGKILL)

	// Nor does a crash.
	fw = startRules(t, file, "--queues", "1", "--no-nft", "--state", state)
	if err := fw.waitFor(1, "a temporary rule is not in force"); err != nil {
		t.Error(err)
	}
	out, _ = ask(statusFine, "temporary", "--json")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var last control.TemporaryRule
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || len(lines) != 3 || last.Name != "t1" || last.Inactive == "" || !strings.Contains(out, ` > web:443"`) {
		t.Errorf("%v: %s", err, out)
	}
	c, err := control.Dial(fw.socket)
	if err != nil {
		t.Fatal(err)
	}
	status, err := c.Status(t.Context())
	if c.Close(); err != nil || status.RuleCount != strings.Count(smallRules, "rule \"")+2 {
		t.Errorf("%d rules are in force (%v), want those of the file and two", status.RuleCount, err)
	}
	out, _ = ask(statusFine, "unblock", "open", "2")
	matches(`^t2 'udp any > any' is removed, \S+ before its time\nopen 'any > any' is removed, .*\n0 flows ended\n$`, out)
	fw.stop(t, syscall.SIGTERM)

	// What is kept and cannot be read stops the start, before anything is touched.
	text, err := os.ReadFile(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(state, text[:len(text)-4], 0o600); err != nil {
		t.Fatal(err)
	}
	ended, stderr := output(t, program(t, "plain", "run", "--rules", file, "--control", fw.socket, "--state", state))
	if ended != statusRefused || !strings.Contains(stderr, "state file "+state+": broken") || !strings.Contains(stderr, "move it away") || tableThere(t) {
		t.Errorf("status %d\n%s", ended, stderr)
	}

	fw = startRules(t, file, "--queues", "1", "--no-nft")
	_, stderr = ask(statusFine, "block", "any > any", "--for", "1h")
	if !strings.Contains(stderr, "It does not outlast a restart") {
		t.Errorf("without a state file: %q", stderr)
	}
	fw.stop(t, syscall.SIGTERM)
}

func TestTheTimeLeftIsWrittenAsPeopleDo(t *testing.T) {
	for _, tt := range []struct {
		seconds float64
		want    string
	}{
		{0.001, "1s"}, {1, "1s"}, {59.9, "59s"}, {60, "1m"}, {61, "1m1s"}, {3600.06, "1h"}, {3660, "1h1m"}, {3661, "1h1m1s"},
		{86400, "1d"}, {86401, "1d1s"}, {90000, "1d1h"}, {30 * 86400, "30d"},
	} {
		if got := leftText(tt.seconds); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.seconds, got, tt.want)
		}
	}
}
