package main

import (
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/nftables"

	"sttwall/internal/lab"
	"sttwall/nfq"
)

// tableThere reports whether the nftables table is there.
func tableThere(t *testing.T) bool {
	t.Helper()
	tables, err := new(nftables.Conn).ListTables()
	if err != nil {
		t.Fatal(err)
	}
	return slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == nfq.TableName })
}

func TestTheTableStaysAfterTheEndUntilItIsRemoved(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	if tableThere(t) {
		t.Fatal("a table is there before anything ran")
	}
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGKILL} {
		fw := start(t, "--queues", "2")
		if !tableThere(t) {
			t.Error("no table while it runs")
		}
		status, said := fw.stop(t, signal)
		if want := map[bool]int{true: -1, false: statusFine}[signal == syscall.SIGKILL]; status != want {
			t.Errorf("%v: got status %d, want %d:\n%s", signal, status, want, said)
		}
		if signal != syscall.SIGKILL && !strings.Contains(said, "the firewall has stopped") {
			t.Errorf("%v: it said:\n%s", signal, said)
		}
		if !tableThere(t) {
			t.Errorf("%v: the table is gone", signal)
		}
	}
	if status, stderr := output(t, program(t, "plain", "nft", "--remove")); status != statusFine || tableThere(t) {
		t.Errorf("nft --remove: status %d, %s", status, stderr)
	}
}

func TestNoTableIsInstalledWithNoNFT(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	fw := start(t, "--queues", "1", "--no-nft")
	if tableThere(t) {
		t.Error("a table is there")
	}
	fw.stop(t, syscall.SIGTERM)
}

func TestWhatIsLeftOpenIsSaidLoudly(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	fw := start(t, "--queues", "1", "--fail-open=absent,overload,exception")
	_, said := fw.stop(t, syscall.SIGTERM)
	for _, want := range []string{"settings.endpoints is empty", "while no sttwall listens", "when the queue is full", "where the flow table is full"} {
		if !strings.Contains(said, want) {
			t.Errorf("it does not say %q:\n%s", want, said)
		}
	}
}
