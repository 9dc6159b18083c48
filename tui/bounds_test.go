package tui

import (
	"fmt"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"

	"sttwall/filter"
)

func TestWhatIsKeptHasBounds(t *testing.T) {
	f := newFake()
	d := drive(t, f, 100, 30, func(c *Config) { c.Screen = "flows" })
	for i := range maxPast + 10 {
		d.press("/", "ctrl+u")
		d.typed(fmt.Sprintf("dport:%d", i+1))
		d.press("enter")
	}
	if got := len(d.past); got != maxPast || d.past[got-1] != fmt.Sprintf("dport:%d", maxPast+10) {
		t.Errorf("%d filters are remembered, the last is %s", got, d.past[got-1])
	}
	d.press("esc")
	for range trend + 20 {
		f.status.Totals.Packets += 100
		d.tick()
	}
	if got := len(d.trend); got != trend {
		t.Errorf("the header keeps %d rates, want %d", got, trend)
	}
	screen := d.top().(*flows)
	for id, past := range screen.trends {
		if len(past) > trendOf {
			t.Errorf("flow %s: %d rates are kept, want at most %d", id, len(past), trendOf)
		}
	}
	// What is on the page no more is forgotten.
	f.flows = f.flows[:1]
	d.tick()
	if got := len(screen.trends); got != 1 {
		t.Errorf("rates of %d flows are kept, of 1 that is there", got)
	}
}

func TestAFilterHasABoundWhileItIsTyped(t *testing.T) {
	d := drive(t, newFake(), 100, 30)
	d.press("/")
	long := strings.Repeat("x", filter.MaxLen)
	d.send(tea.PasteMsg{Content: long + "y"})
	if d.prompt.text != "" {
		t.Errorf("%d bytes were taken", len(d.prompt.text))
	}
	d.send(tea.PasteMsg{Content: long})
	d.typed("y")
	if d.prompt.text != long {
		t.Errorf("the filter has %d bytes, want %d", len(d.prompt.text), len(long))
	}
}

func TestTheTextOfARuleHasABound(t *testing.T) {
	f := newFake()
	f.ruleText = strings.Repeat("line\n", maxSource+40) + "}"
	d := drive(t, f, 100, 30, func(c *Config) { c.Screen = "rules" })
	d.press("enter", "G")
	d.shows("41 lines more")
}

func TestTheLineOfAFilterIsEdited(t *testing.T) {
	for _, tt := range []struct {
		keys []string // text, or the name of a key in <>
		want string
		at   int
	}{
		{[]string{"a b c", "<left>", "<left>", "x"}, "a bx c", 4},
		{[]string{"ab", "<home>", "x", "<end>", "y"}, "xaby", 4},
		{[]string{"a é", "<backspace>", "b"}, "a b", 3},
		{[]string{"東 京", "<left>", "<delete>", "x"}, "東 x", len("東 x")},
		{[]string{"one two", "<ctrl+w>"}, "one ", 4},
		{[]string{"one two", "<ctrl+u>"}, "", 0},
		{[]string{"one two", "<ctrl+a>", "<right>", "<ctrl+k>"}, "o", 1},
		{[]string{"a", "<backspace>", "<backspace>", "<left>", "<delete>", "<right>"}, "", 0},
		{[]string{"a ", " ", "b"}, "a b", 3}, // a completed word has its space
	} {
		d := drive(t, newFake(), 100, 30)
		d.press("/")
		for _, keys := range tt.keys {
			if name := strings.Trim(keys, "<>"); name != keys {
				d.press(name)
			} else {
				d.typed(keys)
			}
		}
		if d.prompt.text != tt.want || d.prompt.at != tt.at {
			t.Errorf("%q: got %q with the cursor at %d, want %q at %d", tt.keys, d.prompt.text, d.prompt.at, tt.want, tt.at)
		}
		d.whole(fmt.Sprint(tt.keys))
	}
}
