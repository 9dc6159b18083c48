package tui

import (
	"fmt"
	"strings"
	"testing"

	"sttwall/control"
)

func TestDropsAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			d := drive(t, newBusy(), size.width, size.height)
			d.press("5")
			d.more()
			d.more()
			d.golden("drops-" + size.name)
			d.fits()
		})
	}
}

func TestDroppedFramesAreAskedForOnceAndTheNewestIsOnTop(t *testing.T) {
	d := drive(t, newBusy(), 120, 30)
	d.press("5")
	d.shows("> 15:09:20  ! reject", "~ audit")
	d.press("down")
	d.shows("> 15:09:19  x drop")
	d.fake.drop("drop", "tenant_default", "acme", "", "10.1.0.7:40000", "10.1.0.10:8443", 100, 0x0e, 34)
	d.tick()
	// The selected one stays selected.
	d.shows("> 15:09:19  x drop", "10.1.0.10:8443")
	s := d.top().(*drops)
	if len(s.kept) != 5 || s.last != 5 {
		t.Errorf("%d frames, the last %d", len(s.kept), s.last)
	}
}

func TestAFilterSelectsDroppedFrames(t *testing.T) {
	d := drive(t, newBusy(), 100, 30)
	d.press("5", "/")
	d.typed("10.1.0.7 dport:443")
	d.press("enter")
	d.shows("10.1.0.7:40000", "selects 1 frame")
	d.hides("10.1.0.8:50000")
	d.press("esc")
	d.shows("10.1.0.8:50000")
	d.press("/")
	d.typed("10.77.0.1")
	d.press("enter")
	d.shows("The filter selects nothing")
}

func TestReasonsSayWhatTheyMeanAndLeadToTheirFrames(t *testing.T) {
	d := drive(t, newBusy(), 100, 30)
	d.press("5", "left")
	d.more()
	d.shows("> tenant_default", "tenant_default: no rule matched. Do: add a rule.", "30/s")
	d.press("down", "enter")
	d.shows("/reason:l4_offset_mismatch", "10.1.0.8:50000")
	d.hides("10.1.0.9:40001")
}

func TestTheReasonsAreLeftAtTheirTop(t *testing.T) {
	f := newBusy()
	f.drops = nil
	for i := range 12 {
		f.drops = append(f.drops, control.Drop{Reason: fmt.Sprintf("reason_%02d", i), Count: uint64(100 - i), Where: "firewall"})
	}
	d := drive(t, f, 80, 24)
	d.press("5", "left", "end")
	d.shows("> reason_11")
	d.hides("reason_00")
	d.press("right")
	d.shows("reason_00")
	d.press("left", "end", "enter")
	d.shows("reason_00")
}

func TestTheRuleForADropIsOneKeyAway(t *testing.T) {
	d := drive(t, newBusy(), 100, 30)
	d.press("5", "end", "r")
	d.shows("> Drop", "10.1.0.7:40000", "[Rule that would allow it]", `rule "allow-10-1-0-7" {`)
	d.press("esc", "left", "r")
	d.hides("> Drop")
}

func TestAuditDropAndRejectHaveColoursOfTheirOwn(t *testing.T) {
	for _, name := range Themes {
		d := drive(t, newBusy(), 100, 30, func(c *Config) { c.Theme = name })
		d.press("5", "left")
		on := d.env.theme.on
		told := make(map[string]bool)
		for verdict, as := range map[string]tone{"audit": toneAudit, "drop": toneDrop, "reject": toneReject} {
			if !strings.Contains(d.content(), on[as]+verdictText(verdict)) {
				t.Errorf("%s: no %s in its colour in\n%q", name, verdict, d.content())
			}
			told[on[as]+verdictText(verdict)] = true
		}
		if len(told) != 3 || name != "none" && on[toneAudit] == on[toneDrop] {
			t.Errorf("%s: verdicts look the same", name)
		}
	}
}

func TestDropsOfAFirewallThatStartedAnewAreThere(t *testing.T) {
	d := drive(t, newBusy(), 100, 30)
	d.press("5")
	d.fake.status.Started, d.fake.status.PID = d.now, 9
	d.fake.recent.Frames = nil
	d.fake.drop("drop", "tenant_default", "acme", "", "10.5.5.5:1", "10.1.0.10:443", 100, 0x0e, 34)
	d.tick()
	d.tick()
	d.shows("10.5.5.5:1")
	d.hides("10.1.0.8:50000")
}

func TestOnlySoManyDroppedFramesAreKept(t *testing.T) {
	f := newBusy()
	d := drive(t, f, 100, 30)
	d.press("5")
	for range keptDrops + 50 {
		f.drop("drop", "tenant_default", "acme", "", "10.1.0.7:40000", "10.1.0.10:8443", 100, 0x0e, 34)
	}
	d.tick()
	f.drop("drop", "tenant_default", "acme", "", "10.1.0.7:40000", "10.1.0.10:9", 100, 0x0e, 34)
	d.tick()
	if s := d.top().(*drops); len(s.kept) != keptDrops || s.frames.total != keptDrops {
		t.Errorf("%d kept, %d rows", len(s.kept), s.frames.total)
	}
	d.shows("10.1.0.10:9")
}

func TestNothingWasDropped(t *testing.T) {
	f := newFake()
	f.drops, f.recent = nil, control.RecentDrops{}
	d := drive(t, f, 80, 24)
	d.press("5")
	d.shows("No drops yet", "Nothing has been dropped since the firewall started")
}

func TestDropsFitEverySizeAndHostileNames(t *testing.T) {
	f := newBusy()
	f.recent.Frames[0].Tenant = "\x1b]0;title\x07\u202e\x9b31m tenant"
	f.recent.Frames[1].Rule = "a\nb\tc/\x00"
	f.drops[0].Meaning = "\x1b[2J gone"
	for width := minWidth; width < 210; width += 13 {
		for height := minHeight; height < 60; height += 5 {
			d := drive(t, f, width, height)
			d.press("5")
			d.fits()
			d.press("left")
			d.fits()
			d.press("6")
			d.fits()
		}
	}
}
