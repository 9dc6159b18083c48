package main

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"sttwall/internal/lab"
	"sttwall/nfq"
)

// bootCommand is what deploy/sttwall-boot.service runs, with these rules and these flags of
// `run` in /etc/default/sttwall.
func bootCommand(t *testing.T, rules string, flags ...string) []string {
	t.Helper()
	line := regexp.MustCompile(`(?m)^ExecStart=/usr/local/sbin/sttwall (.*) /etc/sttwall/rules\.hcl -- \$STTWALL_ARGS$`).FindStringSubmatch(readme(t, "deploy/sttwall-boot.service"))
	if line == nil {
		t.Fatal("the unit starts something else")
	}
	return append(append(strings.Fields(line[1]), rules, "--"), flags...)
}

// sttPorts are those of the table.
func sttPorts(t *testing.T) (ports []int) {
	t.Helper()
	c := new(nftables.Conn)
	set, err := c.GetSetByName(&nftables.Table{Name: nfq.TableName, Family: nftables.TableFamilyINet}, "stt_ports")
	if err != nil {
		t.Fatal(err)
	}
	elements, err := c.GetSetElements(set)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range elements {
		ports = append(ports, int(e.Key[0])<<8|int(e.Key[1]))
	}
	return ports
}

func TestTheBootUnitsTableIsTakenOver(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	const rules = "settings {\n  stt_ports = [8000]\n  endpoints = [\"any\"]\n}\ntenant \"a\" {\n  context_ids = [1]\n}\n"
	for _, c := range []struct {
		name, rules string
		status      int
		port        int
	}{
		{"rules that load", rulesFile(t, rules), statusFine, 8000},
		{"rules that do not", rulesFile(t, "tenant {"), statusRefused, 7471},
		{"no rules", "/nonexistent/rules.hcl", statusRefused, 7471},
	} {
		status, stderr := output(t, program(t, "plain", bootCommand(t, c.rules)...))
		if status != c.status {
			t.Errorf("%s: status %d, %s", c.name, status, stderr)
		}
		if said := strings.Contains(stderr, "drops STT at port 7471 alone"); said != (c.status != statusFine) {
			t.Errorf("%s: %s", c.name, stderr)
		}
		if ports := sttPorts(t); len(ports) != 1 || ports[0] != c.port {
			t.Errorf("%s: the ports are %v, want %d", c.name, ports, c.port)
		}
		fw := start(t, "--queues", "1")
		if status, stderr := output(t, program(t, "plain", bootCommand(t, c.rules)...)); status != c.status {
			t.Errorf("%s, while a firewall runs: status %d, %s", c.name, status, stderr)
		}
		if status, said := fw.stop(t, syscall.SIGTERM); status != statusFine || strings.Contains(said, "another program has changed") {
			t.Errorf("%s: the firewall: status %d, %s", c.name, status, said)
		}
		if status, stderr := output(t, program(t, "plain", "nft", "--remove")); status != statusFine {
			t.Fatal(stderr)
		}
	}
}

// baseChains are those of our tables, with their hooks and priorities.
func baseChains(t *testing.T) (chains []string) {
	t.Helper()
	all, err := new(nftables.Conn).ListChains()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range all {
		if c.Table.Name == nfq.TableName && c.Hooknum != nil {
			chains = append(chains, fmt.Sprint(c.Table.Family, " ", c.Name, " ", *c.Hooknum, " ", *c.Priority))
		}
	}
	slices.Sort(chains)
	return chains
}

// bridgeSetting is one of br_netfilter.
func bridgeSetting(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-filter-vlan-tagged")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func removeTable(t *testing.T) {
	t.Helper()
	if status, stderr := output(t, program(t, "plain", "nft", "--remove")); status != statusFine {
		t.Fatal(stderr)
	}
}

// What `run` will take out, the table before it drops at the same hooks; and where `run`
// would install none that drops, there is none before.
func TestTheBootUnitWantsTheTableThatRunWillWant(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	before := bridgeSetting(t)
	for _, flags := range [][]string{
		nil, {"--hook", "output"}, {"--hook=prerouting,output"}, {"--hook", "bridge"}, {"--queues", "1", "--hook=bridge,output", "--tui=false"},
		{"--fail-open=overload", "--event-log", t.TempDir() + "/absent.json", "--other-tunnels=pass"},
	} {
		if status, stderr := output(t, program(t, "plain", bootCommand(t, acceptAll, flags...)...)); status != statusFine || stderr != "" {
			t.Fatalf("%q: status %d, %s", flags, status, stderr)
		}
		got := baseChains(t)
		set := bridgeSetting(t)
		fw := start(t, flags...)
		if want := baseChains(t); !slices.Equal(got, want) || len(got) == 0 {
			t.Errorf("%q: base chains at boot %q, want those of run %q", flags, got, want)
		}
		if want := bridgeSetting(t); set != want {
			t.Errorf("%q: br_netfilter shows packets with a VLAN tag: %s at boot, %s while it runs", flags, set, want)
		}
		if status, said := fw.stop(t, syscall.SIGTERM); status != statusFine || strings.Contains(said, "another program has changed") {
			t.Errorf("%q: the firewall: status %d, %s", flags, status, said)
		}
		removeTable(t)
		if now := bridgeSetting(t); now != before {
			t.Errorf("%q: after all br_netfilter has %s, before %s", flags, now, before)
		}
	}
	for _, flags := range [][]string{
		{"--fail-open=absent"}, {"--queues", "4", "--fail-open", "overload, absent"}, strings.Fields(installedArguments(t)), {"--no-nft"},
	} {
		if status, stderr := output(t, program(t, "plain", bootCommand(t, acceptAll, flags...)...)); status != statusFine || tableThere(t) {
			t.Errorf("%q: status %d, a table is there: %v\n%s", flags, status, tableThere(t), stderr)
		}
	}
}

// `run` does not start with flags that are wrong, and STT does not pass for it.
func TestWithFlagsThatAreWrongTheBootUnitDropsAllTheSame(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	for _, c := range []struct {
		flags  []string
		said   string
		chains int // base chains: two for what comes in, two for what is sent, one before a bridge
	}{
		{[]string{"--hok", "bridge"}, "unknown flag: --hok", 2},
		{[]string{"--hook", "bridge", "--qeues", "4"}, "unknown flag: --qeues", 3},
		{[]string{"--hook", "brigde"}, "hook=brigde", 4},
		{[]string{"--queues", "many", "--hook=output"}, "many", 2},
		{[]string{"--fail-open", "overload,exeption"}, "exeption", 2},
		{[]string{"output"}, `"output" is no flag`, 2},
		{[]string{"--help"}, "--help starts no firewall", 4},
		{[]string{"--hook", "output", "--no-nft=perhaps"}, "perhaps", 4},
		{[]string{"--fail-open=absent", "--qeues", "4"}, "unknown flag: --qeues", 0},
		{[]string{"--no-nft", "--qeues", "4"}, "unknown flag: --qeues", 0},
	} {
		status, stderr := output(t, program(t, "plain", bootCommand(t, acceptAll, c.flags...)...))
		if status != statusUsage || !strings.Contains(stderr, c.said) || !strings.Contains(stderr, "/etc/default/sttwall") {
			t.Errorf("%q: status %d, %s", c.flags, status, stderr)
		}
		if chains := baseChains(t); len(chains) != c.chains {
			t.Errorf("%q: base chains %q, want %d", c.flags, chains, c.chains)
		}
		removeTable(t)
	}
}

func TestWithoutBrNetfilterTheBootUnitDropsWhatIsRouted(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	// As where the module is not loaded.
	if err := unix.Mount("tmpfs", "/proc/sys/net/bridge", "tmpfs", 0, ""); err != nil {
		t.Fatal(err)
	}
	status, stderr := output(t, program(t, "plain", bootCommand(t, acceptAll, "--hook=bridge,output")...))
	if status != statusRefused || !strings.Contains(stderr, "modprobe br_netfilter") || !strings.Contains(stderr, "bridges pass STT") || !strings.Contains(stderr, "at prerouting,output") {
		t.Errorf("status %d, %s", status, stderr)
	}
	if chains := baseChains(t); len(chains) != 4 {
		t.Errorf("base chains: %q", chains)
	}
}
