package eventlog_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/firewall"
	"sttwall/internal/eve"
	"sttwall/internal/lab"
	"sttwall/policy"
)

func TestMain(m *testing.M) {
	lab.MaybeChild(lab.Programs{})
	os.Exit(m.Run())
}

// idle is a firewall to which nothing happens.
type idle struct{ shared *firewall.Shared }

func newIdle(t *testing.T) *idle {
	t.Helper()
	p, diagnostics := policy.Load("idle.hcl", []byte("tenant \"acme\" {\n  context_ids = [100]\n}\n"))
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Bits: 10})
	if p == nil || err != nil {
		t.Fatal(diagnostics, err)
	}
	shared, err := firewall.NewShared(p, ids)
	if err != nil {
		t.Fatal(err)
	}
	return &idle{shared}
}

func (i *idle) Shared() *firewall.Shared                            { return i.shared }
func (i *idle) Tallies() (rules, tenants map[string]firewall.Tally) { return nil, nil }
func (i *idle) Totals() (t firewall.Totals)                         { return t }
func (i *idle) Now() int64                                          { return time.Now().UnixNano() }

// log runs a log of nothing, into which a test puts reloads.
type log struct {
	*eventlog.Log
	said        eventlog.Said
	told, bytes int
	end         func()
}

func newLog(t *testing.T, target string, fw eventlog.Running) *log {
	t.Helper()
	to, err := eventlog.ParseTarget(target)
	if err != nil {
		t.Fatal(err)
	}
	l := &log{said: make(eventlog.Said, 1000)}
	if l.Log, err = eventlog.New(eventlog.Config{Targets: []eventlog.Target{to}, Log: slog.New(l.said)}.Hasty()); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l.Run(ctx, fw)
	}()
	l.end = func() {
		stop()
		<-ended
	}
	t.Cleanup(l.end)
	return l
}

// tell makes an event of some length, numbered.
func (l *log) tell(length int) {
	l.told++
	l.Tell(&control.Event{Type: control.EventReload, Time: time.Now(), Rules: l.told, Error: strings.Repeat("x", length)})
}

// numbers are those of the reloads in a file, all of whose lines are valid, but perhaps
// the last, which is cut off then.
func numbers(t *testing.T, path string, cut *string) (list []int) {
	t.Helper()
	schema, err := eve.Load("../docs/eve.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if cut != nil {
		whole := bytes.LastIndexByte(text, '\n') + 1
		text, *cut = text[:whole], string(text[whole:])
	}
	lines, err := schema.Lines(text)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, l := range lines {
		if l.Type() != "reload" {
			continue // the counters at the end
		}
		n := 0
		fmt.Sscan(l.Text("sttwall.reload.rules"), &n)
		list = append(list, n)
	}
	return list
}

// all checks that the numbers are those from 1 on.
func all(t *testing.T, list []int, count int) {
	t.Helper()
	if len(list) != count {
		t.Errorf("%d events, want %d", len(list), count)
	}
	for i, n := range list {
		if n != i+1 {
			t.Fatalf("event %d stands at place %d", n, i+1)
		}
	}
}

func tmpfs(t *testing.T, size string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

// fill tells events until there are so many bytes, and waits until the disk is full.
func (l *log) fill(t *testing.T, r *rand.Rand, bytes int) {
	t.Helper()
	for l.bytes < bytes {
		n := r.IntN(10000)
		l.tell(n)
		l.bytes += n
	}
	l.said.Wait(t, "the event log cannot be written")
}

func TestAFullDiskLosesAndSpoilsNothingThatFindsRoom(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	dir := tmpfs(t, "64k")
	path := filepath.Join(dir, "eve.json")
	l := newLog(t, path, newIdle(t))
	for size := 128; size <= 1024; size *= 2 { // KiB, and there are half of them
		l.fill(t, r, size*3/4<<10)
		if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, fmt.Sprintf("size=%dk", size)); err != nil {
			t.Fatal(err)
		}
		l.said.Wait(t, "the event log can be written again")
	}
	l.end()
	all(t, numbers(t, path, nil), l.told)
	if c := l.Health().Targets[0]; c.Lost != 0 || c.Errors == 0 || c.Written != uint64(l.told)+1 {
		t.Errorf("%+v of %d", c, l.told)
	}
}

// The line in whose middle the disk was full is whole in the next file.
func TestAFileThatIsMovedAwayWhileTheDiskIsFullEndsCutOff(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	seed := rand.Uint64()
	t.Log("seed", seed)
	dir := tmpfs(t, "64k")
	path := filepath.Join(dir, "eve.json")
	l := newLog(t, path, newIdle(t))
	l.fill(t, rand.New(rand.NewPCG(seed, 0)), 90<<10)
	old := filepath.Join(t.TempDir(), "old")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(old, text, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	l.Reopen()
	l.said.Wait(t, "the event log can be written again")
	l.end()
	var cut string
	list := append(numbers(t, old, &cut), numbers(t, path, nil)...)
	all(t, list, l.told)
	if cut == "" || len(cut) == len(text) {
		t.Errorf("%d bytes of a line are at the end", len(cut))
	}
}

func TestAFullDeviceIsLoudOnceAndEventsAreLost(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("there is no /dev/full")
	}
	l := newLog(t, "/dev/full", newIdle(t))
	l.tell(10)
	l.said.Wait(t, "the event log cannot be written")
	for range 3 {
		l.tell(10)
	}
	l.end()
	if before := l.said.Wait(t, "events were lost"); len(before) > 0 {
		t.Errorf("it says too: %q", before)
	}
	if c := l.Health().Targets[0]; c.Written != 0 || c.Lost != 5 || c.Errors == 0 {
		t.Errorf("%+v", c)
	}
}

func TestAFileThatCannotBeOpenedIsTriedAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	path := filepath.Join(dir, "eve.json")
	l := newLog(t, path, newIdle(t))
	l.tell(1)
	l.said.Wait(t, "the event log cannot be written")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l.said.Wait(t, "the event log can be written again")
	l.tell(1)
	l.end()
	all(t, numbers(t, path, nil), 2)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// What another program, or the power, has left half written, is a line by itself.
func TestALineThatWasCutOffBeforeTheStartIsEnded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eve.json")
	if err := os.WriteFile(path, []byte(`{"timestamp":"2026-1`), 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLog(t, path, newIdle(t))
	l.tell(1)
	l.end()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	first, rest, _ := strings.Cut(string(text), "\n")
	if first != `{"timestamp":"2026-1` {
		t.Errorf("the first line is %q", first)
	}
	if err := os.WriteFile(path, []byte(rest), 0o600); err != nil {
		t.Fatal(err)
	}
	all(t, numbers(t, path, nil), 1)
}

func TestANamedPipeThatNobodyReadsHoldsNothingUp(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	l := newLog(t, path, newIdle(t))
	l.tell(1)
	l.said.Wait(t, "the event log cannot be written")
	l.end()
}
