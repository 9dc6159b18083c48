package tui

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	tea "charm.land/bubbletea/v2"
)

// clickOn clicks on a text that is seen.
func (d *driver) clickOn(text string) {
	d.t.Helper()
	for y, line := range strings.Split(d.screen(), "\n") {
		if before, _, found := strings.Cut(line, text); found {
			d.send(tea.MouseClickMsg{X: width(before), Y: y, Button: tea.MouseLeft})
			return
		}
	}
	d.t.Fatalf("there is no %q to click on in\n%s", text, d.screen())
}

func TestAClickSelectsAndASecondOneOpens(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			d := drive(t, newBusy(), size.width, size.height, first)
			d.more()
			d.clickOn("initech")
			d.shows("> initech")
			d.clickOn("l4_offset_mismatch")
			d.shows("> l4_offset_mismatch")
			d.hides("> initech")
			d.clickOn("l4_offset_mismatch")
			d.shows("[5 Drops]", "/reason:l4_offset", "10.1.0.8:50000")
			d.press("esc")
			d.clickOn("10.1.0.7:40000")
			d.clickOn("10.1.0.7:40000")
			d.shows("> Drop", "[Why]")
			d.press("esc")
			d.clickOn("tenant_default")
			d.clickOn("l4_offset_mismatch")
			d.clickOn("l4_offset_mismatch")
			d.shows("/reason:l4_offset")
		})
	}
}

func TestAClickChoosesAPartOrAFieldOfADrop(t *testing.T) {
	for _, size := range sizes {
		d := openDrop(t, newBusy(), size.width, size.height, "dport:443")
		d.clickOn("Frame")
		d.shows("[Frame]")
		d.clickOn("version            0")
		d.shows("STT frame header, version  byte 0 of the STT frame header")
		d.clickOn("destination        02:00")
		d.shows("Ethernet, destination  bytes 0 to 5 of the inner frame")
		d.clickOn("Rule that")
		d.shows("[Rule that would allow it]", `rule "allow-10-1-0-7" {`)
		d.clickOn("Why ")
		d.shows("[Why]")
	}
}

func TestTheWheelMovesWhatIsUnderIt(t *testing.T) {
	f := newBusy()
	for range 100 {
		f.drop("drop", "tenant_default", "acme", "", "10.1.0.7:40000", "10.1.0.10:8443", 100, 0x0e, 34)
	}
	d := drive(t, f, 80, 24)
	d.press("5")
	s := d.top().(*drops)
	d.send(tea.MouseWheelMsg{Y: 20, Button: tea.MouseWheelDown})
	if s.frames.top != 3 || s.reasons.top != 0 {
		t.Errorf("frames at %d, reasons at %d", s.frames.top, s.reasons.top)
	}
	d.press("1")
	d.send(tea.MouseWheelMsg{Y: 20, Button: tea.MouseWheelDown})
	d.shows("> acme")
	d.press("6")
	d.send(tea.MouseWheelMsg{Y: 20, Button: tea.MouseWheelDown})
	d.send(tea.MouseWheelMsg{Y: 20, Button: tea.MouseWheelUp})
	d.shows("All is well")
}

func TestDropsAreExported(t *testing.T) {
	var dir string
	d := drive(t, newBusy(), 120, 40, func(c *Config) { dir = c.ExportDir })
	d.press("5", "e", "c")
	d.press("left", "e", "j")
	read := func(pattern string) string {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(paths) != 1 {
			t.Fatalf("%s: %v, %v", pattern, paths, err)
		}
		b, err := os.ReadFile(paths[0])
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	if got := read("sttwall-drops-*.csv"); !strings.HasPrefix(got, "time,verdict,tenant,reason,") || strings.Count(got, "\n") != 5 || !strings.Contains(got, "10.1.0.7:40000") || strings.Contains(got, "x drop") {
		t.Errorf("got\n%s", got)
	}
	if got := read("sttwall-reasons-*.json"); !strings.Contains(got, `"reason": "l4_offset_mismatch"`) {
		t.Errorf("got\n%s", got)
	}
}
