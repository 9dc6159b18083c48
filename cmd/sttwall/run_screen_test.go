package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestTheLiveScreenNeedsATerminal(t *testing.T) {
	for _, args := range [][]string{{"top", "--control", "x"}, {"run", "--rules", acceptAll, "--control", "x", "--tui"}} {
		if status, _, stderr := sttwall(args...); status != statusRefused || !strings.Contains(stderr, "needs a terminal: 'sttwall stats --watch'") {
			t.Errorf("%v: status %d, %s", args, status, stderr)
		}
	}
}

func TestALogIsKeptWhileTheScreenIsThereAndThenGoesOn(t *testing.T) {
	var to bytes.Buffer
	h := &heldLog{to: &to, holding: true}
	fmt.Fprintln(h, "one")
	fmt.Fprintln(h, "two")
	if to.Len() > 0 {
		t.Fatalf("%q breaks the screen", to.String())
	}
	h.release()
	fmt.Fprintln(h, "three")
	h.release()
	if got, want := to.String(), "one\ntwo\nthree\n"; got != want {
		t.Errorf("the log is %q, want %q", got, want)
	}
}

func TestAKeptLogHasABound(t *testing.T) {
	var to bytes.Buffer
	h := &heldLog{to: &to, holding: true}
	line := strings.Repeat("x", 99) + "\n"
	const lines = maxHeld/100 + 50
	for range lines {
		fmt.Fprint(h, line)
	}
	if got := h.kept.Len(); got > maxHeld {
		t.Errorf("%d bytes are kept, want %d at most", got, maxHeld)
	}
	h.release()
	told, rest, _ := strings.Cut(to.String(), "\n")
	if kept := strings.Count(rest, "\n"); kept+h.lost != lines || h.lost == 0 {
		t.Errorf("%d lines are there and %d lost, of %d", kept, h.lost, lines)
	}
	if want := fmt.Sprintf("(%d lines of the log before this were not kept", h.lost); !strings.HasPrefix(told, want) {
		t.Errorf("it says %q, want %q", told, want)
	}
}

func TestTheLogGoesToAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "log")
	for range 2 {
		flags := inPlaceFlags{log: file}
		flags.look.theme = "auto"
		p, err := flags.open(streams{err: new(bytes.Buffer)}, "x")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(p.log(), "a line")
		p.close()
	}
	if got, err := os.ReadFile(file); err != nil || string(got) != "a line\na line\n" {
		t.Errorf("the file has %q, %v", got, err)
	}
}

func TestALogFileThatWasMovedAwayIsMadeAnew(t *testing.T) {
	folder := t.TempDir()
	file := filepath.Join(folder, "log")
	flags := inPlaceFlags{log: file}
	flags.look.theme = "auto"
	p, err := flags.open(streams{err: new(bytes.Buffer)}, "x")
	if err != nil {
		t.Fatal(err)
	}
	defer p.close()
	fmt.Fprintln(p.log(), "before")
	if err := os.Rename(file, file+".1"); err != nil {
		t.Fatal(err)
	}
	p.reopen()
	fmt.Fprintln(p.log(), "after")
	for name, want := range map[string]string{file + ".1": "before\n", file: "after\n"} {
		if got, err := os.ReadFile(name); err != nil || string(got) != want {
			t.Errorf("%s has %q, %v", filepath.Base(name), got, err)
		}
	}
	// Where it cannot be opened the log goes on where it was, and says so.
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(folder, "nowhere", "log"), file); err != nil {
		t.Fatal(err)
	}
	p.reopen()
	if n, err := fmt.Fprintln(p.log(), "still"); n == 0 || err != nil {
		t.Errorf("after a failure %d bytes are written, %v", n, err)
	}
}
