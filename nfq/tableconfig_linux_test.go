package nfq

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"sttwall/firewall"
	"sttwall/policy"
)

// settingsPolicy is a policy with these settings.
func settingsPolicy(t testing.TB, settings string) *policy.Policy {
	t.Helper()
	p, diagnostics := policy.Load("test.hcl", fmt.Appendf(nil, "settings {\n%s\n}\ntenant \"a\" {\n  context_ids = [1]\n}\n", settings))
	if p == nil {
		t.Fatal(diagnostics)
	}
	return p
}

func TestOnePlaceDecidesAboutOtherTunnels(t *testing.T) {
	for _, c := range []struct {
		settings   string
		flag       TunnelMode
		pass, only bool
	}{
		{``, TunnelsByRules, false, false},
		{`other_tunnels = "drop"`, TunnelsByRules, false, false},
		{`other_tunnels = "pass"`, TunnelsByRules, true, false},
		{``, TunnelsPassed, true, false},
		{`other_tunnels = "drop"`, TunnelsPassed, true, false},
		{`other_tunnels = "pass"`, TunnelsDropped, false, false},
		{`only_stt = true`, TunnelsByRules, false, true},
		{`only_stt = true`, TunnelsPassed, true, true},
	} {
		inline := InlineConfig{OtherTunnels: c.flag}
		got := inline.TableConfig(settingsPolicy(t, "endpoints = [\"10.0.0.0/8\"]\n"+c.settings).Settings())
		if got.PassOtherTunnels != c.pass || got.OnlySTT != c.only {
			t.Errorf("%q with flag %d: got pass %v, only STT %v, want %v, %v", c.settings, c.flag, got.PassOtherTunnels, got.OnlySTT, c.pass, c.only)
		}
	}
}

// A reload changes what passes between endpoints, and keeps the queue that the
// segments of a frame come to.
func TestTheTableFollowsAReload(t *testing.T) {
	needCommand(t, "nft")
	ns := enterNS(t)
	start := settingsPolicy(t, `endpoints = ["10.0.0.0/8"]`)
	in, err := StartInline(InlineConfig{Policy: start, Queue: Config{NetNS: ns}, Queues: 2, FrameIDBits: 10})
	must(t, err)
	defer in.closeQueues()
	seed := in.Table().config.Seed
	if seed == 0 {
		t.Error("the hash of source ports has no seed")
	}
	for settings, want := range map[string]string{
		`endpoints = ["10.0.0.0/8"]` + "\n" + `only_stt = true`:        "fib daddr type local",
		`endpoints = ["10.0.0.0/8"]` + "\n" + `other_tunnels = "drop"`: `udp dport { 1701`,
	} {
		_, err := in.Reload(settingsPolicy(t, settings))
		must(t, err)
		if got := in.Table().config.Seed; got != seed {
			t.Errorf("%s: the seed was %#x and is %#x", settings, seed, got)
		}
		if rules := run(t, "nft", "list", "ruleset"); !strings.Contains(rules, want) || !strings.Contains(rules, fmt.Sprintf("seed %#x", seed)) {
			t.Errorf("%s: want %q and the seed in\n%s", settings, want, rules)
		}
	}
	_, err = in.Reload(settingsPolicy(t, `endpoints = ["10.0.0.0/8"]`+"\n"+`other_tunnels = "pass"`))
	must(t, err)
	if rules := run(t, "nft", "list", "ruleset"); strings.Contains(rules, "1701") || strings.Contains(rules, "fib") {
		t.Errorf("other tunnels are to pass:\n%s", rules)
	}
}

// Where a source port goes is a matter of the seed.
func TestWithAnotherSeedSourcePortsGoElsewhere(t *testing.T) {
	w := newWire(t)
	const queues = 4
	opened := make([]Queue, queues)
	for i := range opened {
		q, err := Open(Config{Number: uint16(i)})
		must(t, err)
		defer q.Close()
		opened[i] = q
	}
	places := func(seed uint32) (where [64]int) {
		_, err := InstallTable(TableConfig{Ports: []uint16{testPort}, Queues: queues, Seed: seed})
		must(t, err)
		var sent [][]byte
		for i := range uint32(len(where)) {
			sent = append(sent, outer{id: i, sport: uint16(40000 + i)}.bytes())
		}
		w.send(t, sent...)
		batch := make([]firewall.Packet, 64)
		n := 0
		for start := time.Now(); n < len(sent) && time.Since(start) < patience; {
			for i, q := range opened {
				m, err := q.Receive(batch, time.Millisecond)
				must(t, err)
				for _, p := range batch[:m] {
					where[frameID(p)] = i
				}
				n += m
			}
		}
		if n != len(sent) {
			t.Fatalf("got %d packets of %d", n, len(sent))
		}
		return where
	}
	first := places(1)
	if second := places(1); second != first {
		t.Errorf("with one seed: got %v and %v", first, second)
	}
	if other := places(2); other == first {
		t.Errorf("with two seeds: got %v twice", other)
	}
}
