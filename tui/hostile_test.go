package tui

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"sttwall/control"
)

// hostileNames are what a rules file, or somebody who answers for the firewall, could
// try.
var hostileNames = []string{
	"\x1b[2J\x1b[H", "\x1b]0;title\x07", "\x1b]52;c;ZWNobw==\x07", "\u009b31m", "a\nb\nc", "a\rb", "\u202eevil", "\u2066x\u2069",
	"\u200b\u200b", "東京都庁舎前東京都庁舎前東京都庁舎前", "e" + strings.Repeat("\u0301", 300), strings.Repeat("x", 5000), "👨\u200d👩\u200d👧\u200d👦", "🇩🇪🇫", "\xff\xfe\x9b", "", "\x00",
	"=cmd|' /C calc'!A0", "a/b/c", "\"quoted\"",
}

// hostile puts such names wherever text comes from the firewall.
func (f *fake) hostile(pick func() string) {
	for i := range f.flows {
		f.flows[i].Tenant, f.flows[i].Rule, f.flows[i].State = pick(), pick(), pick()
		f.flows[i].Protocol, f.flows[i].Reason, f.flows[i].Verdict = pick(), pick(), pick()
	}
	for i := range f.tenants {
		f.tenants[i].Tenant = pick()
	}
	for i := range f.rules {
		f.rules[i].Rule, f.rules[i].File = pick(), pick()
	}
	for i := range f.drops {
		f.drops[i].Reason, f.drops[i].Meaning, f.drops[i].Remedy, f.drops[i].Where = pick(), pick(), pick(), pick()
	}
	for _, list := range [][]control.Frame{f.frames, f.recent.Frames} {
		for i := range list {
			list[i].Tenant, list[i].Rule, list[i].Reason, list[i].State, list[i].Verdict = pick(), pick(), pick(), pick(), pick()
		}
	}
	for i := range f.health.Troubles {
		f.health.Troubles[i].What, f.health.Troubles[i].Remedy, f.health.Troubles[i].Severity = pick(), pick(), pick()
	}
	f.remedy = control.Remedy{Text: pick(), Place: pick(), Why: pick()}
	f.explain.Tenant, f.explain.Claim, f.explain.Default, f.explain.Rule, f.explain.Reason = pick(), pick(), pick(), pick(), pick()
}

var ownCodes = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// whole fails if what is seen has anything in it that is not ours, or does not fit.
func (d *driver) whole(context string) {
	d.t.Helper()
	content := d.content()
	lines := strings.Split(content, "\n")
	if len(lines) > max(1, d.height) {
		d.t.Fatalf("%s: %d lines on %d", context, len(lines), d.height)
	}
	for i, line := range lines {
		if n := ansi.StringWidth(line); n > d.width {
			d.t.Fatalf("%s: line %d has %d columns of %d: %q", context, i, n, d.width, line)
		}
		for _, r := range ownCodes.ReplaceAllString(line, "") {
			if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 || r == 0x200b {
				d.t.Fatalf("%s: line %d has %U: %q", context, i, r, line)
			}
		}
	}
}

// walk goes through every screen, what opens from it, and back.
func (d *driver) walk(context string) {
	for i := range d.tabs {
		d.press(fmt.Sprint(i + 1))
		d.tick()
		d.whole(fmt.Sprintf("%s: screen %d", context, i+1))
		for _, keys := range [][]string{{"enter"}, {"j", "enter", "enter"}, {"?"}, {"c"}, {"space", "s", "S"}, {"/"}, {"e"}, {"G"}, {"g"}, {"t"}} {
			before := d.at
			d.press(keys...)
			d.tick()
			d.whole(fmt.Sprintf("%s: screen %d, %v", context, i+1, keys))
			d.press("esc", "esc", "esc")
			if d.at != before {
				d.press(fmt.Sprint(before + 1))
			}
		}
	}
}

func TestHostileTextCannotBreakAnyScreenAtAnySize(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	pick := func() string { return hostileNames[random.IntN(len(hostileNames))] }
	for _, size := range [][2]int{{80, 24}, {40, 10}, {41, 11}, {57, 13}, {120, 40}, {170, 30}, {250, 70}} {
		f := newFake()
		f.hostile(pick)
		d := drive(t, f, size[0], size[1], func(c *Config) {
			c.Theme, c.Title, c.Hint, c.Where = "dark", pick(), pick(), pick()
		})
		d.walk(fmt.Sprint(size))
		f.err = fmt.Errorf("%s%s", pick(), pick())
		d.walk(fmt.Sprint(size, " lost"))
	}
}

func TestEverySizeFrom1x1Up(t *testing.T) {
	d := drive(t, newFake(), 80, 24, func(c *Config) { c.Theme = "dark" })
	for i := range d.tabs {
		d.press(fmt.Sprint(i + 1))
		for width := 1; width <= 130; width += 1 + width/6 {
			for height := 1; height <= 50; height += 1 + height/4 {
				d.send(tea.WindowSizeMsg{Width: width, Height: height})
				d.whole(fmt.Sprintf("screen %d at %dx%d", i+1, width, height))
			}
		}
	}
	d.send(tea.WindowSizeMsg{Width: 30, Height: 5})
	d.shows("this needs a terminal of", "40x10")
}

func FuzzScreens(f *testing.F) {
	for i, name := range hostileNames {
		f.Add(name, 40+7*i, 10+i)
	}
	f.Fuzz(func(t *testing.T, name string, width, height int) {
		width, height = 1+abs(width)%300, 1+abs(height)%100
		fake := newFake()
		fake.hostile(func() string { return name })
		d := drive(t, fake, width, height, func(c *Config) { c.Title, c.Hint, c.Where, c.Theme = name, name, name, "light" })
		d.walk(fmt.Sprint(width, "x", height))
		d.press("/")
		d.send(tea.PasteMsg{Content: name})
		d.whole("prompt")
	})
}

func abs(n int) int {
	if n < 0 {
		return -(n + 1)
	}
	return n
}
