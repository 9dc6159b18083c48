package main

import (
	"encoding/json"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/internal/lab"
)

// traced runs trace until it ends, with frames sent again and again until then.
func traced(t *testing.T, fw *running, send func(), args ...string) string {
	t.Helper()
	type result struct {
		status      int
		out, stderr string
	}
	done := make(chan result, 1)
	go func() {
		status, out, stderr := sttwall(append([]string{"trace", "--control", fw.socket}, args...)...)
		done <- result{status, out, stderr}
	}()
	for {
		send()
		select {
		case r := <-done:
			if r.status != statusFine || r.stderr != "" {
				t.Fatalf("%v: status %d, %s", args, r.status, r.stderr)
			}
			return r.out
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestTraceShowsEachStep(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	file := rulesFile(t, smallRules)
	fw := startRules(t, file, "--queues", "1")
	defer fw.stop(t, syscall.SIGTERM)
	w := newWire(t)
	for _, tt := range []struct {
		name   string
		send   func()
		filter []string
		want   string
	}{
		{"no rule", func() { w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:22 syn seq 7", 2) }, []string{"drop", "dport:22"}, `TIME drop: tenant_default
  packets: 127.0.0.1 port 40000 > 127.0.0.1, frame ID ID, 72 bytes in 2 packets: 0-35, 36-71
  STT frame header: context ID 0x64, checksum verified
  Ethernet: 02:00:00:00:00:01 > 02:00:00:00:00:02
  IPv4: 10.0.0.1 > 10.0.0.2, TTL 64
  TCP: 40000 > 22, syn, seq 7
  context ID 0x64 is tenant acme (context_ids 0x64)
  state: new: it would begin a flow
    FILE:6 acme/no-telnet: no: services = ["tcp/23"], but the packet is tcp/22 from port 40000, flags syn
    FILE:10 acme/web: no: services = ["tcp/443"], but the packet is tcp/22 from port 40000, flags syn
    default_action of the tenant: drop
  drop: tenant_default
    no rule of the tenant matched, and its default is drop
    > see which tenant it was; a last rule with action drop and log = true names each frame; add a rule if they should pass

`},
		{"a flow", func() { w.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn seq 7", 1) }, []string{"state:original"}, `TIME accept by acme/web
  packets: 127.0.0.1 port 40000 > 127.0.0.1, frame ID ID, 72 bytes in 1 packet: 0-71
  STT frame header: context ID 0x64, checksum verified
  Ethernet: 02:00:00:00:00:01 > 02:00:00:00:00:02
  IPv4: 10.0.0.1 > 10.0.0.2, TTL 64
  TCP: 40000 > 443, syn, seq 7
  context ID 0x64 is tenant acme (context_ids 0x64)
  state: original: of the flow tcp 10.0.0.1:40000 > 10.0.0.2:443, syn_sent, accept by acme/web
  the flow's first packet decides; the rules for that:
    FILE:6 acme/no-telnet: no: services = ["tcp/23"], but the packet is tcp/443 from port 40000, flags syn
    FILE:10 acme/web: matches
  accept by acme/web

`},
		{"nobody's", func() { w.send(t, 9, "arp request 10.0.0.1 > 10.0.0.2", 1) }, []string{"reason:context_unknown"}, `TIME drop: context_unknown
  packets: 127.0.0.1 port 40000 > 127.0.0.1, frame ID ID, 60 bytes in 1 packet: 0-59
  STT frame header: context ID 0x9, checksum verified
  Ethernet: 02:00:00:00:00:01 > ff:ff:ff:ff:ff:ff
  ARP: who has 10.0.0.2? tell 10.0.0.1
  no tenant claims context ID 0x9
    settings.default_action: drop
  drop: context_unknown
    no tenant claims the Context ID, and the default is drop
    > add the Context ID to a tenant if it is yours

`},
	} {
		got := traced(t, fw, tt.send, append(tt.filter, "-n", "1")...)
		got = regexp.MustCompile(`^\d\d:\d\d:\d\d\.\d{6} `).ReplaceAllString(got, "TIME ")
		got = regexp.MustCompile(`frame ID 0x[0-9a-f]{8}`).ReplaceAllString(got, "frame ID ID")
		if want := strings.ReplaceAll(tt.want, "FILE", file); got != want {
			t.Errorf("%s:\ngot\n%s\nwant\n%s", tt.name, got, want)
		}
	}
	out := traced(t, fw, func() { w.send(t, 9, "arp request 10.0.0.1 > 10.0.0.2", 1) }, "-n", "2", "--json", "--filter", "context:9")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	var f control.Frame
	if err := json.Unmarshal([]byte(lines[0]), &f); err != nil || len(lines) != 2 || f.Explanation == nil || f.Reason != "context_unknown" {
		t.Errorf("%v: %s", err, out)
	}
}

func TestTraceRefusesAFilter(t *testing.T) {
	if status, _, stderr := sttwall("trace", "tenant:acme", "dport:x", "--control", "none"); status != statusUsage || !strings.Contains(stderr, "tenant:acme dport:x\n            ") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if status, _, stderr := sttwall("trace", "--filter", "dport:x", "--control", "none"); status != statusUsage || !strings.Contains(stderr, "dport: expected") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if status, _, stderr := sttwall("trace", "--filter", "tcp", "dport:443", "--control", "none"); status != statusUsage || !strings.Contains(stderr, "two filters") {
		t.Errorf("status %d, %s", status, stderr)
	}
}

func TestTraceTellsWhatItLeavesOut(t *testing.T) {
	var out strings.Builder
	tr := &tracer{out: &out, count: 1}
	tr.lost(2)
	fast := &control.Frame{Verdict: "accept", Event: control.Event{EtherType: "0x0800"}}
	if err := tr.frame(fast); err != nil || out.Len() > 0 {
		t.Fatalf("%v, %s", err, out.String())
	}
	fast.Explanation = &control.Explanation{Omitted: 300, Changed: true}
	for range 40 {
		fast.Explanation.Rules = append(fast.Explanation.Rules, control.RuleStep{Rule: "acme/x", File: "f", Line: 1, Condition: "vlan", Got: "untagged"})
	}
	if err := tr.frame(fast); err != errEnough {
		t.Errorf("got %v", err)
	}
	got := out.String()
	for _, want := range []string{"(3 frames not traced: they came too fast)\n\n", "(300 rules that do not match either)\n", "other rules than these have decided"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	if before, _, _ := strings.Cut(got, "(300"); strings.Count(before, "acme/x") != 8 {
		t.Errorf("they are left out elsewhere:\n%s", got)
	}
}

func TestTraceTakesContextIDsOfOVNApart(t *testing.T) {
	header := []byte{0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 4, 0, 0, 7, 0, 0}
	f := &control.Frame{Verdict: "accept", Header: header, Explanation: &control.Explanation{Tenant: "context ID 0x30004000007 is tenant net", Claim: "datapaths 7"}}
	ovn := traceText(f)
	f.Explanation.Claim = "context_ids 0x30004000007"
	if plain := traceText(f); !strings.Contains(ovn, "datapath 7") || strings.Contains(plain, "datapath") {
		t.Errorf("OVN:\n%s\nplain:\n%s", ovn, plain)
	}
}
