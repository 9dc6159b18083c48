package tui

import (
	"testing"

	"sttwall/control"
)

func troubled() *fake {
	f := newBusy()
	f.health.Queues[1].Waiting, f.health.Queues[1].DroppedFull, f.health.Queues[1].Overruns = 16_000, 812, 3
	f.health.Flows.Now, f.health.Flows.Refused = 830_000, 17
	f.health.Queues[0].Waiting = -1
	f.health.EventLog = &control.EventLogHealth{
		Lost: 3, LeftOut: map[string]uint64{"drop": 1200, "flow": 7},
		Targets: []control.EventLogTarget{{Target: "/var/log/sttwall/eve.json", Written: 42_000, Lost: 5, Errors: 2, Failing: true}, {Target: "journald", Written: 42_007}},
	}
	f.health.Troubles = []control.Trouble{
		{Severity: "critical", What: "queue 1 is full: the kernel has dropped 812 packets", Remedy: "more --queues, or a larger --queue-length; packets that the rules would accept are among those that were lost"},
		{Severity: "warning", What: "the flow table is 83 % full", Remedy: "raise settings.flows"},
	}
	return f
}

func TestHealthAtThreeSizes(t *testing.T) {
	for _, size := range sizes {
		t.Run(size.name, func(t *testing.T) {
			d := drive(t, troubled(), size.width, size.height)
			d.press("6")
			d.fake.health.Uptime++
			d.fake.health.Queues[1].Packets += 1400
			d.tick()
			d.golden("health-" + size.name)
			d.fits()
		})
	}
}

func TestHealthScrollsToItsEndAndNoFurther(t *testing.T) {
	d := drive(t, troubled(), 80, 24)
	d.press("6")
	d.shows("critical: queue 1 is full")
	d.press("end")
	d.shows("event followers")
	d.hides("critical")
	d.press("down", "pgdown")
	d.shows("event followers")
	d.press("home")
	d.shows("critical")
}

func TestTroublesAreCopied(t *testing.T) {
	d := drive(t, troubled(), 80, 24)
	d.press("6", "y")
	d.shows("copied 2 troubles")
}

func TestHealthOfAFirewallThatIsWell(t *testing.T) {
	d := drive(t, newBusy(), 80, 24)
	d.press("6")
	d.shows("All is well", "queue 0")
	d.hides("critical", "warning")
}
