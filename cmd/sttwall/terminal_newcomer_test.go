package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"sttwall/internal/tmux"
)

// TestANewcomerFindsWhatIsMissing is a person who has never seen the screen, and asks
// it which tenant sends most, why 10.1.0.7 cannot reach port 443, and for the rule; who
// then puts the rule into the file, and sees that it was the right one.
func TestANewcomerFindsWhatIsMissing(t *testing.T) {
	p := sitDown(t, tmux.Config{Width: 110, Height: 32}, "demo")
	p.opens()

	p.waits("acme first among the tenants", func(s tmux.Screen) bool {
		row := s.Row("Tenants that send most")
		return row >= 0 && strings.Contains(s[row+1], "acme") && strings.Contains(s[row+1], "b/s")
	})

	p.shows("Drops")
	p.sees("Frames, the newest first", "tenant_default")
	p.press("/")
	p.types("src:10.1.0.7 dport:443 drop")
	p.press("Enter")
	p.reads(`^> .*x drop +acme +tenant_default +tcp +10\.1\.0\.7:\d+ +10\.1\.0\.80:443`)
	p.press("Enter")
	p.sees("no rule of the tenant matched", "default_action of the tenant: drop", "acme/web (rules.hcl:", `services is ["tcp/80"]`)
	p.press("Right")
	p.sees("[Frame]", "0000")
	p.reads(`(?i)context`)
	p.press("r")
	p.sees(`rule "https" {`, `["tcp/443"]`, `"10.1.0.7"`)
	place := regexp.MustCompile(`(/proc/\d+/root/\S+/rules\.hcl):(\d+)`).FindStringSubmatch(p.sees("end of the block").String())
	if place == nil {
		t.Fatal("it does not say where the rule goes")
	}
	p.press("y")
	var rule string
	p.waits("the copied rule", func(tmux.Screen) bool {
		var err error
		rule, err = p.terminal.Clipboard(p.ctx)
		return err == nil && strings.Contains(rule, `rule "https"`)
	})

	path := place[1]
	line, err := strconv.Atoi(place[2])
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(text), "\n")
	lines = slices.Insert(lines, line-1, "", strings.TrimRight(rule, "\n"))
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
	status, out, said := sttwall("reload", "--control", filepath.Join(filepath.Dir(path), "control.sock"))
	if status != 0 {
		t.Fatalf("the rule at %s:%d: %d, %s%s\n%s", path, line, status, out, said, strings.Join(lines, "\n"))
	}

	p.press("Escape")
	p.sees("Frames, the newest first")
	p.shows("Flows")
	p.press("Escape") // the filter goes
	p.waits("all flows", func(s tmux.Screen) bool { return s.Contains("globex") && !s.Contains("dport:443") })
	p.press("/")
	p.types("src:10.1.0.7 dport:443")
	p.press("Enter")
	p.reads(`\+ accept +acme +tcp +10\.1\.0\.7:\d+ +10\.1\.0\.80:443`)
	p.shows("Rules")
	p.sees("acme/https")
	p.leaves()
}

// TestAFrameInFlightDoesNotOutlastAResize: what is drawn for the size that the terminal
// had a moment ago may leave a scrolling region behind.
func TestAFrameInFlightDoesNotOutlastAResize(t *testing.T) {
	l := startLab(t)
	p := sitDown(t, tmux.Config{Width: 80, Height: 24}, "top", "--control", l.socket, "--screen", "flows")
	p.sees(" up ", "acme")
	// The terminal is larger already, and the program does not know yet.
	pid := p.state("it runs", func(s tmux.State) bool { return s.PID != 0 }).PID
	p.must(unix.Kill(pid, unix.SIGSTOP))
	p.must(p.terminal.Resize(p.ctx, 120, 40))
	p.state("the new size", func(s tmux.State) bool { return s.Bottom == 39 })
	p.must(p.terminal.Show(p.ctx, "\x1b[1;24r"))
	p.state("the region", func(s tmux.State) bool { return s.Bottom == 23 })
	p.must(unix.Kill(pid, unix.SIGCONT))
	p.state("no region", func(s tmux.State) bool { return s.Bottom == 39 })
	p.waits("all rows where they belong", func(s tmux.Screen) bool {
		return len(s) == 40 && strings.HasPrefix(s[0], " sttwall ") && strings.Contains(s[1], "1 Overview") &&
			strings.Contains(s[2], "VERDICT") && strings.Contains(s[39], "q quit")
	})
	p.leaves()
}

// TestEachScreenAtEachSize is the live screen at the sizes that it is made for, and
// after each change of size.
func TestEachScreenAtEachSize(t *testing.T) {
	l := startLab(t)
	p := sitDown(t, tmux.Config{Width: 80, Height: 24}, "top", "--control", l.socket)
	p.sees(" up ", "acme")
	on := map[string][]string{
		"Overview": {"Throughput", "acme", "accept"},
		"Flows":    {"VERDICT", "TENANT", "acme", "globex"},
		"Tenants":  {"acme", "globex", "initech"},
		"Rules":    {"acme/web", "globex/no-mail"},
		"Drops":    {"tenant_default", "Frames"},
		"Health":   {"7471"},
	}
	for _, size := range []struct{ width, height int }{{80, 24}, {200, 60}, {40, 10}, {80, 24}} {
		p.must(p.terminal.Resize(p.ctx, size.width, size.height))
		p.waits(fmt.Sprintf("%dx%d", size.width, size.height), func(s tmux.Screen) bool {
			return len(s) == size.height && strings.Contains(s[size.height-1], "q quit")
		})
		for i, title := range []string{"Overview", "Flows", "Tenants", "Rules", "Drops", "Health"} {
			p.press(strconv.Itoa(i + 1))
			wanted := on[title]
			if size.height < 20 {
				wanted = wanted[:1]
			}
			s := p.waits(title, func(s tmux.Screen) bool {
				for _, text := range wanted {
					if !slices.ContainsFunc(s[min(2, len(s)):], func(row string) bool { return strings.Contains(row, text) }) {
						return false
					}
				}
				return len(s) == size.height && strings.Contains(s[0], "sttwall") && strings.Contains(s[size.height-1], "q quit")
			})
			p.fits(s, size.height, "q quit")
		}
	}
	p.leaves()
}
