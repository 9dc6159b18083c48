package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"sttwall/bench/peers"
	"sttwall/bench/rows"
	"sttwall/internal/load"
	"sttwall/policy"
	"sttwall/ruletest"
)

// The rules differ in what the first packet of a flow costs, not in what they decide.
func TestEveryRulesFileAcceptsTheTrafficByItsLastRule(t *testing.T) {
	ends := load.DefaultEnds()
	for _, rules := range []int{0, 1, 10, 1000, 10_000} {
		text := rulesFile(rules)
		for _, flow := range []int{0, 16_384, 999_999} {
			for _, protocol := range []string{"tcp %v > %v syn", "udp %v > %v"} {
				text = fmt.Appendf(text, "\ntest \"%d %.3s\" {\n  context_id = %d\n  packet = \"%s from %v to %v\"\n  expect = \"accept\"\n  rule = \"bench/traffic\"\n}\n",
					flow, protocol, load.ContextID, fmt.Sprintf(protocol, ends.ClientOf(flow), netip.AddrPortFrom(ends.Server, ends.ServerPort)), ends.Left, ends.Right)
			}
		}
		p, diagnostics := policy.Load("rules.hcl", text)
		if diagnostics.HasErrors() {
			t.Fatalf("%d rules: %v", rules, diagnostics)
		}
		if got, want := p.FileRules(), max(rules, 1); got != want {
			t.Errorf("%d rules, want %d", got, want)
		}
		if n := len(p.Tests()); n != 6 {
			t.Errorf("%d rules: %d tests", rules, n)
		}
		failures, err := ruletest.Run(p)
		if err != nil || len(failures) > 0 {
			t.Errorf("%d rules: %v %v", rules, failures, err)
		}
	}
}

func TestABenchmarkOfAllThatRunsHereLosesNothing(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, since BPF is closed to others")
	}
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute) // it builds the program
	defer cancel()
	binary, err := build(ctx, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o, err := parse([]string{"--quick", "--rounds", "1", "--duration", "50ms"})
	if err != nil {
		t.Fatal(err)
	}
	var chosen []variant
	for _, v := range variants(binary) {
		switch v.name() { // one of each kind
		case "forward", "c_batch", "c_batch_copy256", "sttwall_rules_1000", "sttwall_tui", "sttwall_go_nfqueue":
			chosen = append(chosen, v)
		}
	}
	all := []cell{{load.Small150, 1, 1000}, {load.Shuffled45, 2, 1000}, {load.GSO64K, 1, 1000}}
	o.progress = newProgress(o, all, chosen, time.Now)
	for _, c := range all {
		list, err := measure(ctx, o, c, chosen)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := rows.Table(&out, list); err != nil {
			t.Fatal(err)
		}
		for _, r := range list {
			if r.Error != "" || r.Lost != 0 {
				t.Errorf("%+v", r)
			}
			if c.timed() != (len(r.Latency) > 0) && slices.Contains(timedVariants, r.Variant) {
				t.Errorf("latency %+v", r)
			}
		}
		want := 0
		for _, v := range chosen {
			if c.takes(v) {
				want++
			}
		}
		if len(list) != want {
			t.Errorf("%d rows, want %d\n%s", len(list), want, &out)
		}
	}
}

func TestMain(m *testing.M) {
	peers.RunChild() // does not return in the process of a peer
	os.Exit(m.Run())
}
