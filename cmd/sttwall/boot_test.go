package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/google/nftables"

	"sttwall/internal/lab"
	"sttwall/nfq"
)

// bootCommand is what deploy/sttwall-boot.service runs, with these rules.
func bootCommand(t *testing.T, rules string) []string {
	t.Helper()
	unit, err := os.ReadFile("../../deploy/sttwall-boot.service")
	if err != nil {
		t.Fatal(err)
	}
	_, command, found := strings.Cut(string(unit), "\nExecStart=/usr/local/sbin/sttwall ")
	command, _, _ = strings.Cut(command, "\n")
	args := strings.Fields(command)
	if !found || len(args) < 2 || args[len(args)-2] != "--rules" {
		t.Fatalf("the unit starts %q", command)
	}
	args[len(args)-1] = rules
	return args
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
