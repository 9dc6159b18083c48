package tui

import (
	"strings"
	"testing"

	"sttwall/control"
	"sttwall/tui/plot"
)

// first leaves it to the program with which screen it begins.
func first(c *Config) { c.Screen = "" }

func TestOverviewAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			d := drive(t, newBusy(), size.width, size.height, first)
			for range 5 {
				d.more()
			}
			d.golden("overview-" + size.name)
		})
	}
}

func TestTheOverviewIsFirst(t *testing.T) {
	d := drive(t, newBusy(), 80, 24, first)
	if got := d.root().Title(); got != "Overview" {
		t.Errorf("got %s", got)
	}
	d.shows("All is well", "Throughput", "accept", "Tenants that send most", "globex", "Dropped most, by reason", "tenant_default")
}

func TestTroublesStandFirstWithWhatToDo(t *testing.T) {
	f := newBusy()
	f.health.Troubles = []control.Trouble{
		{Severity: "warning", What: "the flow table is 95 % full", Remedy: "raise flows"},
		{Severity: "critical", What: "queue 1 is full", Remedy: "raise --queue-length"},
		{Severity: "warning", What: "a third", Remedy: "none"},
	}
	d := drive(t, f, 80, 24, first)
	d.shows("critical: queue 1 is full", "and 2 more troubles: see the screen Health")
	d.hides("All is well")
	d.golden("overview-troubles-80x24")
}

func TestTheTenantThatSendsMostIsOnTop(t *testing.T) {
	d := drive(t, newBusy(), 80, 24, first)
	for range 3 {
		d.more()
	}
	d.shows("> globex")
	// It stays selected when another one sends more.
	d.press("down", "down")
	d.shows("> initech")
	d.fake.tenants[2].Bytes += 1e9
	d.more()
	d.shows("> initech")
	d.press("home", "enter")
	d.shows("tenant:initech")
	if got := d.root().Title(); got != "Flows" {
		t.Errorf("Enter leads to %s", got)
	}
}

func TestAReasonLeadsToItsFrames(t *testing.T) {
	d := drive(t, newBusy(), 120, 40, first)
	d.more()
	d.press("right")
	d.shows("> tenant_default", "tenant_default: no rule matched. Do: add a rule.")
	d.press("down", "enter")
	d.shows("reason:l4_offset_mismatch", "10.1.0.8:50000")
	d.hides("10.1.0.7:40000")
}

func TestTheOverviewSaysWhatToDoWithoutTraffic(t *testing.T) {
	f := newFake()
	f.status.Totals = control.Totals{}
	f.drops = nil
	drive(t, f, 80, 24, first).shows("No packets yet", "Does the route between the tunnel endpoints lead through this host")
}

func TestAFilterOnTheOverviewSaysWhereToLook(t *testing.T) {
	d := drive(t, newBusy(), 80, 24, first)
	d.press("/")
	d.typed("10.1.0.7 dport:443")
	d.press("enter")
	d.shows("/10.1.0.7 dport:443  selects 1 flow (key 2) and 1 frame dropped lately (key 5)")
	d.press("5")
	d.shows("10.1.0.7:40000")
}

func TestWhatTheKernelLostHasALineIfThereIsAny(t *testing.T) {
	f := newBusy()
	drive(t, f, 80, 24, first).hides("? lost")
	f.history.Samples[300].Lost = 7
	d := drive(t, f, 80, 24, first)
	d.shows("? lost       0/s  peak 7/s")
	d.fits()
}

func TestTheOverviewInASCII(t *testing.T) {
	d := drive(t, newBusy(), 80, 24, first)
	d.env.glyphs = plot.ASCII
	d.more()
	for _, r := range d.screen() {
		if strings.ContainsRune("▁▂▃▄▅▆▇█┤│", r) || r >= 0x2800 && r <= 0x28ff {
			t.Fatalf("%c in\n%s", r, d.screen())
		}
	}
	d.golden("overview-ascii-80x24")
}

func TestTheOverviewFitsEverySize(t *testing.T) {
	f := newBusy()
	f.tenants[0].Tenant = "\x1b[31mred\x1b[0m\u202e\ttenant of a very, very long name that goes on and on"
	f.health.Troubles = []control.Trouble{{Severity: "warning", What: "\x1b]52;c;aGk=\x07 what", Remedy: "r"}}
	for width := minWidth; width < 150; width += 7 {
		for height := minHeight; height < 60; height += 3 {
			d := drive(t, f, width, height, first)
			d.more()
			d.fits()
		}
	}
}
