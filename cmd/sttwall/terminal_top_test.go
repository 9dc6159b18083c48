package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/control"
	"sttwall/internal/tmux"
)

// liveLab is `sttwall demo --no-screen`, as a process of its own.
type liveLab struct {
	cmd    *exec.Cmd
	socket string
}

// startLab starts one. Where namespaces are impossible it skips.
func startLab(t *testing.T) *liveLab {
	t.Helper()
	l := &liveLab{cmd: program(t, "1", "demo", "--no-screen")}
	var wrong bytes.Buffer
	l.cmd.Stderr = &wrong
	out, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.cmd.Process.Signal(os.Interrupt)
		if err := l.cmd.Wait(); err != nil && l.cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Errorf("the lab: %v\n%s", err, &wrong)
		}
	})
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, path, ok := strings.Cut(lines.Text(), "sttwall reload --control "); ok {
			l.socket = path
			return l
		}
	}
	err = l.cmd.Wait()
	if strings.Contains(wrong.String(), "are not available to this user") && os.Getenv("CI") != "true" {
		t.Skip(wrong.String())
	}
	t.Fatalf("no lab: %v\n%s", err, &wrong)
	return nil
}

// ask returns a client of the lab's firewall.
func (l *liveLab) ask(t *testing.T) *control.Client {
	t.Helper()
	c, err := control.Dial(l.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestTopFindsTheFirewallAgainAfterItsRestart(t *testing.T) {
	first := startLab(t)
	// A place that stays while firewalls come and go.
	socket := filepath.Join(t.TempDir(), "control.sock")
	if err := os.Symlink(first.socket, socket); err != nil {
		t.Fatal(err)
	}
	p := sitDown(t, tmux.Config{Width: 100, Height: 30}, "top", "--control", socket, "--screen", "flows", "--filter", "tenant:acme")
	p.sees("acme", "/tenant:acme", " up ")

	if err := first.cmd.Process.Kill(); err != nil { // with it goes its child, and all that was in that
		t.Fatal(err)
	}
	p.sees("does not answer")
	second := startLab(t)
	if err := errors.Join(os.Remove(socket), os.Symlink(second.socket, socket)); err != nil {
		t.Fatal(err)
	}
	p.waits("the new firewall", func(s tmux.Screen) bool {
		return !s.Contains("does not answer") && !s.Contains("not connected") && strings.Contains(s[0], " up ") && s.Contains("10.1.0.80:80")
	})
	p.sees("/tenant:acme")
	p.leaves()
}

func TestAHangupLeavesTheTerminalAsItWas(t *testing.T) {
	l := startLab(t)
	p := sitDown(t, tmux.Config{Width: 100, Height: 30}, "top", "--control", l.socket)
	p.sees(" up ", "acme")
	pid := p.state("it runs", func(s tmux.State) bool { return s.PID != 0 }).PID
	p.must(unix.Kill(pid, unix.SIGHUP))
	p.isLeft()
}

func TestTopIsStoppedByItsKeyAndGoesOn(t *testing.T) {
	l := startLab(t)
	shell := tmux.Config{Width: 100, Height: 30, Command: []string{"sh", "-i"}}
	p := sitDown(t, shell, "top", "--control", l.socket)
	p.types(p.command + "\n")
	p.sees(" up ", "acme")
	for range 3 {
		p.press("C-z")
		p.state("the shell", func(s tmux.State) bool { return !s.Alternate && s.Cursor })
		p.types("echo $((6 * 7)) of those\n")
		p.sees("42 of those")
		p.types("fg\n")
		p.sees(" up ", "acme")
		p.press("2")
		p.sees("SOURCE")
		p.press("1")
		p.sees("Tenants")
	}
	p.press("q")
	p.state("the shell", func(s tmux.State) bool { return !s.Alternate && s.Cursor })
	p.types("exit\n")
	p.isLeft()
}

// In this terminal it is the first program, and no shell is there, as with ssh -t.
func TestTopIsNotStoppedWhereNobodyCouldLetItGoOn(t *testing.T) {
	l := startLab(t)
	p := sitDown(t, tmux.Config{Width: 100, Height: 30}, "top", "--control", l.socket)
	p.sees(" up ", "acme")
	p.press("C-z")
	p.sees("there is no shell here")
	p.press("2")
	p.sees("SOURCE")
	p.leaves()
}

func TestAStoppedTopChangesNothingForPackets(t *testing.T) {
	l := startLab(t)
	p := sitDown(t, tmux.Config{Width: 100, Height: 30}, "top", "--control", l.socket)
	p.sees(" up ", "acme")
	pid := p.state("it runs", func(s tmux.State) bool { return s.PID != 0 }).PID
	// As ^Z, but for the shell that would take the terminal back.
	if err := unix.Kill(pid, unix.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	client := l.ask(t)
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	lost := func() (n uint64) {
		drops, err := client.Drops(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range drops {
			if d.Where == "queue" {
				n += d.Count
			}
		}
		return n
	}
	lostBefore := lost()
	before, err := client.Status(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for again := time.NewTicker(20 * time.Millisecond); ; {
		now, err := client.Status(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if now.Totals.FramesAccepted > before.Totals.FramesAccepted+200 && now.Totals.FramesDropped > before.Totals.FramesDropped+5 {
			again.Stop()
			break
		}
		<-again.C
	}
	if n := lost() - lostBefore; n > 0 {
		t.Errorf("%d packets lost in the queues", n)
	}
	if err := unix.Kill(pid, unix.SIGCONT); err != nil {
		t.Fatal(err)
	}
	p.press("?")
	p.sees("Everywhere")
	p.press("Escape")
	p.waits("no help", func(s tmux.Screen) bool { return !s.Contains("Everywhere") })
	p.leaves()
}

func TestTopWithoutColourAndWithoutATerminal(t *testing.T) {
	l := startLab(t)
	t.Run("NO_COLOR", func(t *testing.T) {
		p := sitDown(t, tmux.Config{Environment: []string{"NO_COLOR=1", "LANG=C.UTF-8"}}, "top", "--control", l.socket)
		p.sees("acme", " up ")
		s, err := p.terminal.Coloured(t.Context())
		p.must(err)
		if found := regexp.MustCompile("\x1b\\[([0-9]*;)*(3[0-8]|4[0-8]|9[0-7])(;|m)").FindString(s.String()); found != "" {
			t.Errorf("there is a colour, %q, in\n%q", found, s)
		}
		p.leaves()
	})
	t.Run("ASCII", func(t *testing.T) {
		p := sitDown(t, tmux.Config{Environment: []string{"LC_ALL=C"}}, "top", "--control", l.socket)
		s := p.sees("acme", " up ")
		if at := strings.IndexFunc(s.String(), func(r rune) bool { return r > 0x7e }); at >= 0 {
			t.Errorf("%q is more than ASCII:\n%s", s.String()[at:at+4], s)
		}
		p.leaves()
	})
	t.Run("TERM=dumb", func(t *testing.T) {
		p := sitDown(t, tmux.Config{Environment: []string{"TERM=dumb"}}, "top", "--control", l.socket)
		p.sees("cannot show a full screen")
		if s := p.state("the end", func(s tmux.State) bool { return s.Ended }); s.Status != 1 || s.Alternate {
			t.Errorf("got %+v", s)
		}
	})
	t.Run("no terminal", func(t *testing.T) {
		status, said := output(t, program(t, "1", "top", "--control", l.socket))
		if status != 1 || !strings.Contains(said, "needs a terminal") {
			t.Errorf("got %d, %s", status, said)
		}
	})
	t.Run("^C", func(t *testing.T) {
		p := sitDown(t, tmux.Config{}, "top", "--control", l.socket)
		p.sees("acme", " up ")
		p.press("C-c")
		p.isLeft()
	})
}

func TestTheDemoIsReadWhereNoScreenCanBeShown(t *testing.T) {
	p := sitDown(t, tmux.Config{Width: 200, Height: 50, Environment: []string{"TERM=dumb"}}, "demo")
	s := p.waits("the first line", func(s tmux.Screen) bool {
		return s.Contains(" 1 ok ") || s.Contains("are not available to this user")
	})
	if s.Contains("are not available to this user") {
		p.opens()
	}
	p.press("C-c")
	p.sees("interrupted after", "the lab is gone")
}

func TestALabsFirewallIsChangedFromElsewhere(t *testing.T) {
	l := startLab(t)
	rules := strings.TrimSuffix(l.socket, "control.sock") + "rules.hcl"
	text, err := os.ReadFile(rules)
	if err != nil {
		t.Fatal(err)
	}
	client := l.ask(t)
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	// A broken file changes nothing, and is named as it can be opened.
	if err := os.WriteFile(rules, append(text, "tenant {"...), 0o644); err != nil {
		t.Fatal(err)
	}
	status, _, said := sttwall("reload", "--control", l.socket)
	if status != 1 || !strings.Contains(said, rules+":") {
		t.Errorf("a broken file: %d, %s", status, said)
	}
	// The rule for which the newcomer looks.
	open := bytes.Replace(text, []byte(`services    = ["tcp/80"]`), []byte(`services    = ["tcp/80", "tcp/443"]`), 1)
	if err := os.WriteFile(rules, open, 0o644); err != nil {
		t.Fatal(err)
	}
	if status, out, said := sttwall("reload", "--control", l.socket); status != 0 || !strings.Contains(out, "in force") {
		t.Errorf("%d, %s%s", status, out, said)
	}
	for again := time.NewTicker(50 * time.Millisecond); ; {
		page, err := client.Flows(ctx, control.FlowQuery{Filter: "tenant:acme src:10.1.0.7 dport:443 state:established"})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Flows) > 0 && page.Flows[0].Rule == "acme/web" {
			again.Stop()
			return
		}
		<-again.C
	}
}
