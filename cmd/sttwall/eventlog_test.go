package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sttwall/internal/eve"
	"sttwall/internal/lab"
)

// typesIn are the types of the events in a file, all of which are valid.
func typesIn(t *testing.T, path string) map[string]int {
	t.Helper()
	schema, err := eve.Load("../../docs/eve.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := schema.Lines(text)
	if err != nil {
		t.Fatal(err)
	}
	count := map[string]int{}
	for _, l := range lines {
		count[l.Type()]++
	}
	return count
}

// waitThere waits until a file is there.
func waitThere(t *testing.T, path string) {
	t.Helper()
	for start := time.Now(); ; time.Sleep(time.Millisecond) {
		_, err := os.Stat(path)
		if err == nil {
			return
		}
		if time.Since(start) > sayPatience {
			t.Fatal(err)
		}
	}
}

func TestSIGHUPOpensTheEventLogAnew(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	dir := t.TempDir()
	path, other := filepath.Join(dir, "eve.json"), filepath.Join(dir, "other.json")
	fw := start(t, "--queues", "1", "--no-nft", "--event-log", path, "--event-log", "file:"+other, "--event-log-stats", "1h")
	waitThere(t, path)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := fw.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	if err := fw.waitFor(1, "the rules are in force"); err != nil {
		t.Fatal(err)
	}
	waitThere(t, path) // what comes before that is written to the old one
	status, said := fw.stop(t, syscall.SIGTERM)
	if status != statusFine || strings.Contains(said, "event log") {
		t.Errorf("status %d\n%s", status, said)
	}
	if got := typesIn(t, other); got["reload"] != 1 || got["stats"] != 1 {
		t.Errorf("the one that stayed: %v", got)
	}
	if got := typesIn(t, path); got["stats"] != 1 {
		t.Errorf("the new one: %v", got)
	}
}

// It would rather decide packets without an event log than not at all.
func TestAnEventLogThatCannotBeWrittenStopsNothing(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	fw := start(t, "--queues", "1", "--no-nft", "--event-log", filepath.Join(t.TempDir(), "missing", "eve.json"))
	if err := fw.waitFor(1, "the event log cannot be written"); err != nil {
		t.Error(err)
	}
	if status, out, stderr := sttwall("reload", "--control", fw.socket); status != statusFine {
		t.Errorf("status %d\n%s%s", status, out, stderr)
	}
	if status, said := fw.stop(t, syscall.SIGTERM); status != statusFine || !strings.Contains(said, "events were lost") {
		t.Errorf("status %d\n%s", status, said)
	}
}
