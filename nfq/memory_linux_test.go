package nfq

import (
	"testing"

	"sttwall/policy"
	"sttwall/reassembly"
)

// The queues are as long as the host's memory allows, and as holding needs.
func TestQueuesFitTheMemoryOfTheHost(t *testing.T) {
	for name, c := range map[string]struct {
		queues, held int
		memory       int64
		want         int
	}{
		"a large host":       {2, 0, 64 << 30, DefaultLength},
		"4 GiB":              {2, 0, 4 << 30, 2 * (4096 + 1024)}, // 7,710 would be less than holding needs
		"8 GiB":              {2, 0, 8 << 30, 15420},
		"8 GiB, eight":       {8, 0, 8 << 30, leastLength},
		"little is held":     {1, 64, 1 << 30, leastLength},
		"much is held":       {1, 40_000, 1 << 30, 2 * (40_000 + 1024)},
		"no memory is known": {1, 64, 0, leastLength},
	} {
		config := InlineConfig{Queues: c.queues, Reassembly: reassembly.Config{Packets: c.held}}
		got, err := config.FittingLength(c.memory)
		if err != nil || got != c.want {
			t.Errorf("%s: got %d, %v, want %d", name, got, err, c.want)
		}
		config.Queue.Length = got
		if _, packets := config.KernelMemory(); got > leastLength && got < DefaultLength && c.held == 0 && c.memory >= 8<<30 && packets > c.memory/4 {
			t.Errorf("%s: %d bytes wait", name, packets)
		}
		per, err := share(config.Reassembly, c.queues)
		if err != nil {
			t.Fatal(err)
		}
		hold, err := config.holdOf(per)
		if err != nil {
			t.Fatal(err)
		}
		if err := config.Queue.ValidateHolding(per.Packets + hold.Packets); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What a setting bounds grows with it, and with nothing else.
func TestEachBoundFollowsItsSetting(t *testing.T) {
	base := InlineConfig{Queues: 2, FrameIDBits: 20}
	settings := policy.Settings{Flows: 100_000, Bindings: 100_000}
	bounds := func(c InlineConfig, s policy.Settings) map[string]int64 {
		list, err := c.MemoryBounds(s)
		if err != nil {
			t.Fatal(err)
		}
		sums := map[string]int64{}
		for _, b := range list {
			if b.Bytes <= 0 {
				t.Errorf("%s: %d bytes", b.What, b.Bytes)
			}
			sums[b.Setting] += b.Bytes
		}
		return sums
	}
	was := bounds(base, settings)
	for setting, change := range map[string]func(c *InlineConfig, s *policy.Settings){
		"flows":               func(_ *InlineConfig, s *policy.Settings) { s.Flows *= 2 },
		"bindings":            func(_ *InlineConfig, s *policy.Settings) { s.Bindings *= 2 },
		"--frame-id-filter":   func(c *InlineConfig, _ *policy.Settings) { c.FrameIDBits++ },
		"--reassembly-memory": func(c *InlineConfig, _ *policy.Settings) { c.Reassembly.Memory = 2 * reassembly.DefaultMemory },
	} {
		c, s := base, settings
		change(&c, &s)
		for name, now := range bounds(c, s) {
			switch {
			case name == setting && now < was[name]*3/2:
				t.Errorf("%s is twice as large, and its bound %d after %d", setting, now, was[name])
			case name != setting && now != was[name]:
				t.Errorf("%s is twice as large, and the bound of %s %d after %d", setting, name, now, was[name])
			}
		}
	}
}
