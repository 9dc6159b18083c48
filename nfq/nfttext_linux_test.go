package nfq

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/limit"
	"sttwall/policy"
)

// textCases are configurations whose texts are looked at.
func textCases() map[string]TableConfig {
	return map[string]TableConfig{
		"one queue, any endpoint": {Ports: []uint16{7471}, Queues: 1},
		"ports, queues, endpoints": {
			Ports: []uint16{8000, 7471, 7471}, FirstQueue: 20, Queues: 3,
			Endpoints: prefixes("10.47.0.0/16", "10.47.3.0/24", "192.0.2.7/32", "2001:db8::/32"),
		},
		"IPv4 endpoints, other tunnels pass, fail open": {
			Ports: []uint16{7471}, FirstQueue: 65535, Queues: 1, Endpoints: prefixes("10.47.0.0/16"), PassOtherTunnels: true, FailOpenAbsent: true,
		},
		"only STT": {Ports: []uint16{7471}, Queues: 2, Endpoints: prefixes("10.47.0.0/16", "2001:db8::/32"), OnlySTT: true},
		"only STT, and its own rules for tunnels": {
			Ports: []uint16{7471}, Queues: 1, Endpoints: prefixes("10.47.0.0/16"), OnlySTT: true, PassOtherTunnels: true,
		},
		"interfaces": {
			Ports: []uint16{7471}, Queues: 2, Endpoints: prefixes("10.47.0.0/16", "10.47.3.0/24", "10.48.0.0/16", "2001:db8::/32"),
			Bound: []policy.BoundEndpoint{
				{Prefix: netip.MustParsePrefix("10.47.3.0/24"), Interface: "eth1"}, {Prefix: netip.MustParsePrefix("10.48.0.0/16"), Interface: "eth1"},
				{Prefix: netip.MustParsePrefix("10.48.0.0/16"), Interface: "eth2.7"}, {Prefix: netip.MustParsePrefix("2001:db8::/32"), Interface: "eth2.7"},
			},
		},
		"a rate for each": {
			Ports: []uint16{7471}, Queues: 2, Endpoints: prefixes("10.47.0.0/16", "2001:db8::/32"), EndpointRate: limit.Rate{Events: 30_000, Per: time.Second, Burst: 1},
		},
		"a rate for anybody":   {Ports: []uint16{7471}, Queues: 1, EndpointRate: limit.Rate{Events: 7, Per: time.Minute, Burst: 1}},
		"queues with a secret": {Ports: []uint16{7471}, Queues: 4, Seed: 0xfedcba98},
		"output":               {Ports: []uint16{7471}, Queues: 2, Hooks: HooksOf(HookOutput), Endpoints: prefixes("10.47.0.0/16", "2001:db8::/32"), OnlySTT: true},
		"prerouting and output": {
			Ports: []uint16{7471}, Queues: 1, Hooks: HooksOf(HookOutput, HookPrerouting), Endpoints: prefixes("10.47.0.0/16"),
			Bound: []policy.BoundEndpoint{{Prefix: netip.MustParsePrefix("10.47.0.0/16"), Interface: "eth1"}},
		},
		"bridge":                           {Ports: []uint16{7471}, Queues: 2, Hooks: HooksOf(HookBridge)},
		"bridge, where other tunnels pass": {Ports: []uint16{7471}, Queues: 1, Hooks: HooksOf(HookBridge, HookOutput), PassOtherTunnels: true},
		"all addresses":                    {Ports: []uint16{7471}, Queues: 256, Endpoints: prefixes("0.0.0.0/0", "::/0")},
	}
}

func writeFile(t *testing.T, text []byte) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "rules")
	must(t, os.WriteFile(name, text, 0o600))
	return name
}

func TestNFTTextIsTheTableThatIsInstalled(t *testing.T) {
	needCommand(t, "nft")
	for name, c := range textCases() {
		t.Run(name, func(t *testing.T) {
			enterNS(t)
			// A drop in the place of the queue statement, which not every
			// kernel has and nft shows differently.
			run(t, "nft", "-f", writeFile(t, c.appendNFT(nil, targetDrop)))
			fromText := run(t, "nft", "list", "ruleset")
			_, err := installTable(c, targetDrop)
			must(t, err)
			installed := run(t, "nft", "list", "ruleset")

			// The map has a name in the kernel alone.
			named := regexp.MustCompile(`(?s)\tmap queues \{\n.*?elements = (\{.*?\})\n\t\}\n\n`)
			if m := named.FindStringSubmatch(installed); m != nil {
				installed = strings.Replace(named.ReplaceAllString(installed, ""), "@queues", m[1], 1)
			}
			// So has the rule that remembers what br_netfilter was like.
			installed = regexp.MustCompile(`(?s)\n\tchain before \{.*?\n\t\}\n`).ReplaceAllString(installed, "")
			space := regexp.MustCompile(`\s+`)
			if diff := cmp.Diff(space.ReplaceAllString(installed, " "), space.ReplaceAllString(fromText, " ")); diff != "" {
				t.Errorf("the installed table, and the one loaded from its text (-got +want):\n%s", diff)
			}
			// It replaces what is there.
			run(t, "nft", "-f", writeFile(t, c.appendNFT(nil, targetDrop)))
			if got := run(t, "nft", "list", "ruleset"); got != fromText {
				t.Errorf("loaded a second time: got %s, want %s", got, fromText)
			}
		})
	}
}

// A kernel without the queue statement (CONFIG_NFT_QUEUE) refuses the rules
// that use it, and nothing else of the text.
func TestNFTTextLoadsButForAQueueStatementThatTheKernelLacks(t *testing.T) {
	needCommand(t, "nft")
	enterNS(t)
	target, err := probeTarget(0)
	must(t, err)
	for name, c := range textCases() {
		text, err := AppendNFT(nil, c)
		must(t, err)
		out, err := try("nft", "-c", "-f", writeFile(t, text))
		if (err == nil) != (target == TargetNative) {
			t.Errorf("%s: with the target %q: %v\n%s", name, target, err, out)
		}
		refused := strings.Split(out, "Error: Could not process rule: No such file or directory\n")
		for _, quoted := range refused[1:] {
			if !strings.HasPrefix(strings.TrimSpace(quoted), "queue ") {
				t.Errorf("%s: the kernel refuses more than queue statements:\n%s", name, out)
			}
		}
		if strings.Count(out, "Error:") != len(refused)-1 {
			t.Errorf("%s: %s", name, out)
		}
	}
}

// Without the kernel: nft's own parser must take the native form too.
func TestNFTTextParses(t *testing.T) {
	needCommand(t, "nft")
	enterNS(t)
	for name, c := range textCases() {
		text, err := AppendNFT(nil, c)
		must(t, err)
		out, _ := try("nft", "-c", "-f", writeFile(t, text))
		for _, complaint := range []string{"syntax error", "unexpected", "mismatch", "not allowed"} {
			if strings.Contains(out, complaint) {
				t.Errorf("%s: %s", name, out)
			}
		}
	}
}

func TestTextsRefuseWhatTheTableRefuses(t *testing.T) {
	c := TableConfig{Queues: 1}
	if got, err := AppendNFT([]byte("before"), c); err == nil || string(got) != "before" {
		t.Errorf("nft: got %q, %v, want what was there and an error", got, err)
	}
	if got, err := AppendIPTables([]byte("before"), c, IPv4); err == nil || string(got) != "before" {
		t.Errorf("iptables: got %q, %v, want what was there and an error", got, err)
	}
	c.Ports = []uint16{7471}
	if _, err := AppendIPTables(nil, c, 5); err == nil {
		t.Error("iptables: got no error for IP version 5")
	}
}

func TestIPTablesTextLoads(t *testing.T) {
	enterNS(t)
	for name, c := range textCases() {
		for _, f := range []Family{IPv4, IPv6} {
			command := map[Family]string{IPv4: "iptables-restore", IPv6: "ip6tables-restore"}[f]
			needCommand(t, command)
			text, err := AppendIPTables(nil, c, f)
			if c.Hooks != 0 {
				if err == nil {
					t.Errorf("%s: got no error, and rules for prerouting", name)
				}
				continue
			}
			must(t, err)
			file := writeFile(t, text)
			if out, err := try(command, "--noflush", "--test", file); err != nil {
				t.Errorf("%s: %s --test: %v\n%s", name, command, err, out)
			}
		}
	}
}

func TestIPTablesTextDoesWhatTheTableDoes(t *testing.T) {
	for _, command := range []string{"nft", "iptables", "iptables-restore", "ip6tables", "ip6tables-restore"} {
		needCommand(t, command)
	}
	w := newWire(t)
	got := collect(t, w, 40)
	// What passes the raw table.
	run(t, "nft", "-f", writeFile(t, []byte(`table inet probe {
	counter passed {
	}
	chain c {
		type filter hook prerouting priority 0
		meta l4proto ipv6-icmp ip6 daddr != fd00:99::77 accept
		counter name passed
	}
}
`)))
	passed := func() (n int) {
		out := run(t, "nft", "list", "counters", "table", "inet", "probe")
		if _, err := fmt.Sscanf(out[strings.Index(out, "packets"):], "packets %d", &n); err != nil {
			t.Fatalf("%v in %s", err, out)
		}
		return n
	}
	var loaded TableConfig
	load := func(c TableConfig) {
		t.Helper()
		if c.equal(loaded) {
			return
		}
		loaded = c
		for f, command := range map[Family]string{IPv4: "iptables", IPv6: "ip6tables"} {
			text, err := AppendIPTables(nil, c, f)
			must(t, err)
			run(t, command, "-t", "raw", "-F")
			run(t, command, "-t", "raw", "-X")
			run(t, command+"-restore", "--noflush", writeFile(t, text))
		}
	}
	for _, c := range tableCases() {
		if c.config.Ports == nil {
			c.config.Ports = []uint16{testPort}
		}
		c.config.FirstQueue, c.config.Queues = 40, 1
		load(c.config)
		before := passed()
		c.packet.id = 1
		w.send(t, c.packet.bytes())
		w.delivered(t)
		gotPassed := passed()-before-2 == 1
		if !c.config.admitsFar() {
			c.config.Endpoints, c.config.Bound = prefixes("0.0.0.0/0", "::/0"), nil
			load(c.config) // for the last packets of collect
		}
		gotQueued := len(got()) == 1
		if wantPassed := !c.queued && c.counters == (TableCounters{}); gotPassed != wantPassed || gotQueued != c.queued {
			t.Errorf("%s: got passed %v, queued %v, want %v, %v", c.name, gotPassed, gotQueued, wantPassed, c.queued)
		}
	}
}

func TestIPTablesTextSpreadsOverAllQueues(t *testing.T) {
	for _, command := range []string{"iptables-restore", "ip6tables-restore"} {
		needCommand(t, command)
	}
	for _, n := range []int{2, 3} {
		t.Run(fmt.Sprintf("%d queues", n), func(t *testing.T) {
			w := newWire(t)
			for f, command := range map[Family]string{IPv4: "iptables-restore", IPv6: "ip6tables-restore"} {
				text, err := AppendIPTables(nil, TableConfig{Ports: []uint16{testPort}, FirstQueue: 50, Queues: n, Seed: 99}, f)
				must(t, err)
				run(t, command, "--noflush", writeFile(t, text))
			}
			spreads(t, w, 50, n)
		})
	}
}
