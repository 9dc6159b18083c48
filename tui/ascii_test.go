package tui

import (
	"testing"

	"sttwall/tui/plot"
)

func TestTextForATerminalThatKnowsNoMoreThanASCII(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"plain \x1b[1mbold\x1b[m", "plain \x1b[1mbold\x1b[m"}, {"RATE▼ 12…", "RATEv 12~"}, {"←→ ↑ ↓", "<> ^ v"},
		{"kundé", "kund?"}, {"kunde\u0301", "kunde"}, {"租户", "????"}, {"\ufffd", "?"},
	} {
		got := asciiOnly(c.text)
		if got != c.want || styledWidth(got) != styledWidth(c.text) {
			t.Errorf("%q: got %q, want %q", c.text, got, c.want)
		}
	}
}

func TestEveryScreenIsASCIIWhereTheLocaleIsNotUTF8(t *testing.T) {
	f := newBusy()
	f.tenants[0].Tenant = "租户 acme…"
	f.rules[0].Rule = "租户/€"
	for _, locale := range [][]string{{"LANG=C"}, {"LC_ALL=POSIX", "LANG=en_US.UTF-8"}} {
		d := drive(t, f, 100, 30, func(c *Config) { c.Environ = append(locale, "TERM=vt100") })
		if d.env.glyphs != plot.ASCII {
			t.Fatalf("%q: plots are not ASCII", locale)
		}
		look := func() {
			t.Helper()
			for _, r := range d.View().Content {
				if r > '~' {
					t.Fatalf("%q in\n%s", r, d.View().Content)
				}
			}
		}
		for _, tab := range []string{"1", "2", "3", "4", "5", "6"} {
			d.press(tab)
			d.more()
			look()
			d.press("enter", "?")
			look()
			d.press("esc", "esc")
		}
	}
}
