package main

import (
	"strings"
	"testing"

	"sttwall/internal/tmux"
)

func TestWatchRedrawsInPlaceOnATerminal(t *testing.T) {
	l := startLab(t)
	p := sitDown(t, tmux.Config{Width: 100, Height: 12}, "flows", "--watch=200ms", "--control", l.socket)
	const head = "sttwall flows, every 200ms, "
	once := func(s tmux.Screen) bool { return strings.HasPrefix(s[0], head) && strings.Count(s.String(), head) == 1 }
	first := p.waits("a full screen", func(s tmux.Screen) bool {
		return once(s) && strings.HasPrefix(s[1], "TENANT") && strings.Contains(s[11], "... and ") && strings.Contains(s[2], "10.1.0.")
	})
	p.waits("the next one in its place", func(s tmux.Screen) bool { return once(s) && s[0] != first[0] && strings.HasPrefix(s[1], "TENANT") })
	ctx := t.Context()
	p.must(p.terminal.Resize(ctx, 60, 8))
	p.waits("a smaller one", func(s tmux.Screen) bool { return len(s) == 8 && once(s) && strings.Contains(s[7], "... and ") })
	p.press("C-c")
	if s := p.state("its end", func(s tmux.State) bool { return s.Ended }); s.Status != statusFine {
		t.Errorf("status %d", s.Status)
	}

	dumb := sitDown(t, tmux.Config{Width: 100, Height: 40, Environment: []string{"LANG=C.UTF-8", "TERM=dumb"}}, "tenants", "--watch=200ms", "--control", l.socket)
	dumb.waits("one below the other", func(s tmux.Screen) bool { return strings.Count(s.String(), "sttwall tenants, every 200ms, ") > 2 })
	dumb.press("C-c")
	if s := dumb.state("its end", func(s tmux.State) bool { return s.Ended }); s.Status != statusFine {
		t.Errorf("status %d", s.Status)
	}
}
