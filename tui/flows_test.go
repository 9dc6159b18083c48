package tui

import (
	"testing"

	"sttwall/control"
)

func TestFlowsAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			d := drive(t, newFake(), size.width, size.height)
			d.press("2")
			d.tick()
			d.golden("flows-" + size.name)
			d.press("j", "enter")
			d.tick()
			d.golden("flow-" + size.name)
		})
	}
}

func TestTheNewestPacketOfAFlowIsViewed(t *testing.T) {
	d := drive(t, newFake(), 150, 40, func(c *Config) { c.Screen, c.Filter = "flows", "sport:40122" })
	d.press("enter")
	d.tick()
	d.shows("v view", "Last packets", "source ports", "> 50000")
	d.press("v")
	d.shows("> Packet", "+ accept  acme", "10.1.0.10:443", "Why", "Frame", "02 00 00 00 00 01")
	d.hides("would have allowed", "Rule that would")
	d.press("r")
	d.shows("it passes: nothing has to be allowed")
	d.press("right", "right", "esc")
	d.shows("Last packets")
}

func TestTheRuleForAFlowOfAuditModeIsAskedForInItsDetail(t *testing.T) {
	f := newBusy()
	d := drive(t, f, 150, 40, func(c *Config) { c.Screen, c.Filter = "flows", "sport:40122" })
	d.press("enter")
	d.tick()
	d.hides("r rule that allows it")
	d.press("r")
	d.shows("it passes: nothing has to be allowed")
	d.press("esc")
	for i := range f.frames {
		f.frames[i].Verdict, f.frames[i].Reason = "audit", "tenant_default"
	}
	d.press("enter")
	d.tick()
	d.shows("r rule that allows it")
	d.press("r")
	d.shows("~ audit", "[Rule that would allow it]", "rule \"allow-10-1-0-7\" {")
}

func TestAFlowThatEndsStaysInView(t *testing.T) {
	f := newFake()
	d := drive(t, f, 150, 40, func(c *Config) { c.Screen, c.Filter = "flows", "sport:40122" })
	d.press("enter")
	f.flows = f.flows[1:]
	d.tick()
	d.shows("has ended", "10.1.0.7:40122", "acme/web")
	asked := f.asked["flows"]
	d.tick()
	if got := f.asked["flows"]; got != asked {
		t.Error("a flow that has ended is asked for")
	}
	// A firewall without frames says so, and is not asked for them again.
	f = newFake()
	f.framesErr = &control.Error{Code: 404, Message: "no such call"}
	d = drive(t, f, 150, 40, func(c *Config) { c.Screen = "flows" })
	d.press("enter")
	d.tick()
	d.tick()
	d.shows("not to be had: no such call")
	if got := f.asked["frames"]; got != 1 {
		t.Errorf("frames were asked for %d times", got)
	}
}

func TestTheFramesOfAFlowHaveABound(t *testing.T) {
	d := drive(t, newFake(), 150, 40, func(c *Config) { c.Screen, c.Filter = "flows", "sport:40122" })
	d.press("enter")
	for range 40 {
		d.tick()
	}
	if got := len(d.top().(*flow).frames); got != lastFrames {
		t.Errorf("%d frames are kept, want %d", got, lastFrames)
	}
	if got := len(d.top().(*flow).original); got > flowTrend {
		t.Errorf("%d rates are kept, want at most %d", got, flowTrend)
	}
}

func TestAFrozenFlowStaysInViewWhateverBecomesOfIt(t *testing.T) {
	f := newFake()
	d := drive(t, f, 120, 30, func(c *Config) { c.Screen = "flows" })
	d.press("j", "space", "f")
	d.tick()
	d.shows("* + accept  acme     tcp     10.1.0.7:40122")
	// A filter does not hide it.
	d.press("/")
	d.typed("udp")
	d.press("enter")
	d.tick()
	d.shows("* + accept  acme     tcp     10.1.0.7:40122", "10.1.0.53:53")
	d.press("esc")
	f.flows = f.flows[1:]
	d.tick()
	d.shows("- + accept  acme     tcp     10.1.0.7:40122")
}
