package main

import (
	"context"
	"errors"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/internal/tmux"
)

// patience is how long a screen may take on a machine that has other things to do.
const patience = 3 * time.Minute

// person sits before a terminal in which sttwall runs.
type person struct {
	t        *testing.T
	ctx      context.Context
	terminal *tmux.Terminal
	command  string // that starts sttwall, for a shell
}

// sitDown starts sttwall in a terminal of its own, or c.Command, in which it is to be
// started.
func sitDown(t *testing.T, c tmux.Config, args ...string) *person {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	command := append([]string{"env", asProgram + "=1", exe}, args...)
	if c.Command == nil {
		c.Command = command
	}
	p := sitBefore(t, c)
	p.command = strings.Join(command, " ")
	return p
}

// sitBefore starts any command in a terminal of its own.
func sitBefore(t *testing.T, c tmux.Config) *person {
	t.Helper()
	if c.Environment == nil {
		c.Environment = []string{"LANG=C.UTF-8", "COLORTERM=truecolor"}
	}
	c.Environment = append(slices.Clip(c.Environment), watchRaces(t))
	ctx, end := context.WithTimeout(t.Context(), patience)
	defer end()
	terminal, err := tmux.Start(ctx, c)
	if errors.Is(err, tmux.ErrMissing) {
		if os.Getenv("CI") == "true" {
			t.Fatalf("must run in CI: %v", err)
		}
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := terminal.Close(); err != nil {
			t.Error(err)
		}
	})
	return &person{t: t, ctx: t.Context(), terminal: terminal}
}

// in is the same person in a subtest.
func (p *person) in(t *testing.T) *person { return &person{t, t.Context(), p.terminal, p.command} }

func (p *person) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// press presses keys, one after the other.
func (p *person) press(keys ...string) {
	p.t.Helper()
	p.must(p.terminal.Press(p.ctx, keys...))
}

func (p *person) types(text string) {
	p.t.Helper()
	p.must(p.terminal.Type(p.ctx, text))
}

// waits waits until the screen is as match wants it.
func (p *person) waits(what string, match func(tmux.Screen) bool) tmux.Screen {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	s, err := p.terminal.WaitFor(ctx, what, match)
	p.must(err)
	return s
}

// sees waits until all of the texts are on the screen.
func (p *person) sees(texts ...string) tmux.Screen {
	p.t.Helper()
	return p.waits(strings.Join(texts, ", "), func(s tmux.Screen) bool {
		for _, text := range texts {
			if !s.Contains(text) {
				return false
			}
		}
		return true
	})
}

// reads waits until a row matches a pattern, and returns that row.
func (p *person) reads(pattern string) (row string) {
	p.t.Helper()
	is := regexp.MustCompile(pattern)
	p.waits(pattern, func(s tmux.Screen) bool {
		for _, row = range s {
			if is.MatchString(row) {
				return true
			}
		}
		return false
	})
	return row
}

// state waits until the terminal is in that state.
func (p *person) state(what string, match func(tmux.State) bool) tmux.State {
	p.t.Helper()
	ctx, end := context.WithTimeout(p.ctx, patience)
	defer end()
	s, err := p.terminal.WaitState(ctx, what, match)
	p.must(err)
	return s
}

// leaves presses q and sees the terminal as it was before.
func (p *person) leaves() {
	p.t.Helper()
	p.press("q")
	p.isLeft()
}

func (p *person) isLeft() {
	p.t.Helper()
	s := p.state("the end", func(s tmux.State) bool { return s.Ended })
	if s.Status != 0 {
		screen, _ := p.terminal.Screen(p.ctx)
		p.t.Errorf("exit status %d; the screen is:\n%s", s.Status, screen)
	}
	p.state("the terminal as it was", func(s tmux.State) bool { return !s.Alternate && s.Cursor && !s.Mouse })
}

// fits fails if a row is wider, or there are more rows, than the terminal has; tmux
// itself would have broken such a row in two.
func (p *person) fits(s tmux.Screen, height int, last string) {
	p.t.Helper()
	if len(s) != height || !strings.Contains(s[len(s)-1], last) {
		p.t.Errorf("%d rows, and the last is not that with %q:\n%s", len(s), last, s)
	}
}
