package main

import (
	"bytes"
	"context"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sttwall/internal/lab"
)

func TestDroppedFramesAreShownOneByOne(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	fw := startRules(t, rulesFile(t, smallRules+"tenant \"trial\" {\n  context_ids = [200]\n  mode        = \"audit\"\n}\n"), "--queues", "1")
	defer fw.stop(t, syscall.SIGTERM)
	w := newWire(t)
	w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", 1)
	w.send(t, 200, "udp 10.0.0.1:40000 > 10.0.0.2:9", 1)
	w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", 1)
	w.send(t, 9, "arp request 10.0.0.1 > 10.0.0.2", 1)
	for deadline := time.Now().Add(sayPatience); ; time.Sleep(10 * time.Millisecond) {
		if _, out, _ := sttwall("drops", "--control", fw.socket, "--recent"); strings.Count(out, "\n") == 3 {
			break
		} else if time.Now().After(deadline) {
			t.Fatalf("got\n%s", out)
		}
	}
	clock := regexp.MustCompile(`(?m)^\d\d:\d\d:\d\d\.\d{3} `)
	const (
		audited = "would_drop trial udp 10.0.0.1:40000 > 10.0.0.2:9 from 127.0.0.1 to 127.0.0.1, 60 bytes: tenant_default\n"
		telnet  = "drop acme tcp 10.0.0.1:40000 > 10.0.0.2:23 from 127.0.0.1 to 127.0.0.1, 72 bytes by acme/no-telnet: rule_drop\n"
		nobodys = "drop context 0x9 ethertype 0x0806 from 127.0.0.1 to 127.0.0.1, 60 bytes: context_unknown\n"
	)
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"--recent"}, audited + telnet + nobodys},
		{[]string{"--recent", "2"}, telnet + nobodys},
		{[]string{"--recent=1"}, nobodys},
		{[]string{"--recent", "--filter", "tenant:acme dport:23"}, telnet},
		{[]string{"--recent", "--filter", "dport:80"}, ""},
	} {
		status, out, stderr := sttwall(append([]string{"drops", "--control", fw.socket}, tt.args...)...)
		if got := clock.ReplaceAllString(out, ""); status != statusFine || got != tt.want || stderr != "" {
			t.Errorf("%v: status %d, %s\ngot\n%swant\n%s", tt.args, status, stderr, got, tt.want)
		}
	}
	if _, out, _ := sttwall("drops", "--control", fw.socket, "--recent", "1", "--json"); !strings.HasPrefix(out, `{"seq":3,"verdict":"drop","type":"drop",`) || strings.Count(out, "\n") != 1 {
		t.Errorf("as JSON: %s", out)
	}

	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	follow := make(lineWriter, 100)
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- execute(ctx, []string{"drops", "--control", fw.socket, "-f", "--filter", "dport:23"}, streams{strings.NewReader(""), follow, &stderr})
	}()
	for line := ""; line == ""; { // until it follows
		w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:24 syn", 1)
		w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn", 1)
		w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:23 syn", 1)
		select {
		case line = <-follow:
			if got := clock.ReplaceAllString(line, ""); got != telnet {
				t.Errorf("it follows with %q", got)
			}
		case <-time.After(20 * time.Millisecond):
		}
	}
	interrupt()
	if status := <-ended; status != statusFine || stderr.Len() > 0 {
		t.Errorf("status %d, %s", status, &stderr)
	}
}

func TestFlagsOfDrops(t *testing.T) {
	for want, args := range map[string][]string{
		`--recent "0": want 1 to`:      {"--recent=0"},
		`--recent "x": want 1 to`:      {"--recent", "x"},
		`--recent "1025": want 1 to`:   {"--recent=1025"},
		"unknown command \"7\" for":    {"7"},
		"--watch shows sums":           {"--recent", "--watch"},
		"--filter: ":                   {"--filter", "tenant:acme"},
		"there is no field \"tenent\"": {"-f", "--filter", "tenent:acme"},
	} {
		status, out, stderr := sttwall(append([]string{"drops", "--control", "none"}, args...)...)
		if status != statusUsage || out != "" || !strings.Contains(stderr, want) {
			t.Errorf("%v: status %d, %q, want %q", args, status, stderr, want)
		}
	}
}
