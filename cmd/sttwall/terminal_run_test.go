package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/internal/lab"
	"sttwall/internal/tmux"
)

// runOnScreen is a firewall with its screen in a terminal.
func runOnScreen(t *testing.T, more ...string) *person {
	t.Helper()
	args := []string{"run", "--rules", acceptAll, "--queues", "1", "--no-nft", "--state", "", "--control", filepath.Join(t.TempDir(), "control.sock"), "--tui"}
	p := sitDown(t, tmux.Config{Width: 120, Height: 30}, append(args, more...)...)
	p.sees(" up ", "q leaves this screen, and the firewall goes on; ^C stops it")
	return p
}

func TestTheScreenOfRunIsLeftWhileTheFirewallGoesOn(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	p := runOnScreen(t)
	p.press("2")
	s := p.sees("No flows yet", "has seen no STT packet", "q leave")
	if s.Contains("level=INFO") {
		t.Errorf("the log is on the screen:\n%s", s)
	}
	p.press("C-z")
	p.sees("^Z would stop the firewall too")
	p.press("q")
	// What was logged meanwhile comes now.
	p.sees("The screen is closed, and the firewall goes on", `msg="the firewall runs"`)
	if p.state("it runs", func(s tmux.State) bool { return !s.Alternate && s.Cursor && !s.Mouse }).Ended {
		t.Error("the firewall has ended with its screen")
	}
	p.press("C-c")
	p.isLeft()
	p.sees(`msg="the firewall has stopped"`)
}

func TestInterruptingTheScreenOfRunStopsTheFirewall(t *testing.T) {
	if !lab.Inside(t) {
		return
	}
	log := filepath.Join(t.TempDir(), "log")
	p := runOnScreen(t, "--log", log)
	p.press("C-c")
	p.isLeft()
	said, err := os.ReadFile(log)
	if err != nil || !strings.Contains(string(said), `msg="the firewall runs"`) || !strings.Contains(string(said), `msg="the firewall has stopped"`) {
		t.Errorf("the log has %s, %v", said, err)
	}
	if s, err := p.terminal.Screen(p.ctx); err != nil || s.Contains("level=") {
		t.Errorf("it is on the terminal too: %v\n%s", err, s)
	}
}
