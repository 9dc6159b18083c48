package main

import (
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"sttwall/firewall"
)

// panicLines hands on what is written.
type panicLines chan string

func (w panicLines) Write(b []byte) (int, error) {
	w <- string(b)
	return len(b), nil
}

func TestAPanicIsLoggedWithItsStackButNotEachTime(t *testing.T) {
	lines := make(panicLines, 1)
	told := logPanics(slog.New(slog.NewTextHandler(lines, nil)))
	p := firewall.Panic{
		Value: "a mistake", Stack: []byte("goroutine 7"), Time: 1, Known: true, Packets: 3, FrameID: 9,
		Src: netip.MustParseAddr("192.0.2.1"), Dst: netip.MustParseAddr("192.0.2.2"),
	}
	stacks := 0
	for range 5 {
		told(&p)
		line := <-lines
		for _, want := range []string{"level=ERROR", "a mistake", "src=192.0.2.1", "dst=192.0.2.2", "frame_id=9", "packets_dropped=3"} {
			if !strings.Contains(line, want) {
				t.Errorf("%s is not in %s", want, line)
			}
		}
		if strings.Contains(line, "goroutine 7") {
			stacks++
		}
	}
	if stacks != 2 {
		t.Errorf("%d stacks of 5 panics at once, want 2", stacks)
	}
}
