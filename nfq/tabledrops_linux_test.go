package nfq

import (
	"regexp"
	"testing"
)

// What the table counts as dropped is dropped, of whatever protocol: a table behind it
// does not see it. What it leaves alone is seen there.
func TestWhatTheTableDropsGoesNoFurther(t *testing.T) {
	needCommand(t, "nft")
	w := newWire(t)
	run(t, "nft", `add table inet after
		add counter inet after seen
		add chain inet after pre { type filter hook prerouting priority 100; }
		add rule inet after pre meta l4proto != icmpv6 tcp ackseq != 0xffffffff counter name seen
		add rule inet after pre ip frag-off & 0x1fff != 0 ip protocol tcp counter name seen
		add rule inet after pre meta l4proto != { tcp, icmpv6 } counter name seen
		add rule inet after pre ip6 daddr fd00:99::77 meta l4proto icmpv6 counter name seen`) // but not what the kernel itself discovers
	packets := regexp.MustCompile(`packets (\d+)`)
	drops := 0
	var installed TableConfig
	for _, c := range tableCases() {
		if c.config.Ports == nil {
			c.config.Ports = []uint16{testPort}
		}
		c.config.FirstQueue, c.config.Queues = 40, 1 // nobody listens: what is queued is dropped
		if !c.config.equal(installed) {
			_, err := InstallTable(c.config)
			must(t, err)
			installed = c.config
		}
		w.send(t, c.packet.bytes())
		w.delivered(t) // and with what it sends, what came before it
		seen := packets.FindStringSubmatch(run(t, "nft", "reset", "counter", "inet", "after", "seen"))
		dropped := c.counters != TableCounters{}
		want := "1"
		if dropped || c.queued {
			want = "0"
		}
		if seen == nil || seen[1] != want {
			t.Errorf("%s: %s packets behind the table, want %s", c.name, seen, want)
		}
		if dropped {
			drops++
		}
	}
	if drops < 20 {
		t.Errorf("%d packets were dropped, want more", drops)
	}
}
