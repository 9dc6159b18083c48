package nfq

import (
	"testing"
	"time"

	"sttwall/firewall"
)

// copyTraffic gives a rule a batch of packets of one length every ten milliseconds. With
// parts, one of every `often` that are cut comes again (0: none).
type copyTraffic struct {
	data  [64000]byte
	rule  copyRule
	now   int64
	sent  int
	again int
}

func (c *copyTraffic) batch(length, often int) (change bool) {
	c.now += int64(10 * time.Millisecond)
	var packets []firewall.Packet
	var list []firewall.Verdict
	for range 16 {
		p := firewall.Packet{Data: c.data[:length], Length: length}
		if !c.rule.whole && length > c.rule.part {
			p.Data, p.More = p.Data[:c.rule.part], true
		}
		v := firewall.Verdict{Action: firewall.Accept}
		if c.sent++; p.More && often > 0 && c.sent%often == 0 {
			v.Action = firewall.Again
			c.again++
		}
		packets, list = append(packets, p), append(list, v)
	}
	return c.rule.decided(c.now, packets, list)
}

func TestTheCheaperWayToCopyIsTaken(t *testing.T) {
	for _, c := range []struct {
		name          string
		length, often int
		whole         bool
	}{
		{"parts are always enough", 64000, 0, false},
		{"large packets, of which one in four comes again", 64000, 4, false},
		{"large packets that all come again", 64000, 1, true},
		{"super-segments of which one in two comes again", 9000, 2, true},
		{"larger ones of which one in two comes again", 20000, 2, false},
		{"packets of a frame in parts, which all come again", 1500, 1, true},
		{"small packets of which one in ten comes again", 1500, 10, true},
		{"small packets of which one in twenty comes again", 1500, 20, false},
		{"packets that are shorter than the part", 150, 1, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			traffic := copyTraffic{rule: copyRule{part: PartOfPacket}}
			trials, again := 0, 0
			for range 12_000 { // two minutes
				before := traffic.rule.whole
				change := traffic.batch(c.length, c.often)
				if change != (before != traffic.rule.whole) {
					t.Fatalf("it says %v when it goes from %v to %v", change, before, traffic.rule.whole)
				}
				if change && before {
					trials++
				}
			}
			again = traffic.again
			if traffic.rule.whole != c.whole {
				t.Errorf("whole packets are copied: %v, want %v", traffic.rule.whole, c.whole)
			}
			if c.whole && (trials == 0 && c.length > 9000 || trials > 8 || again > 8*(trials+1)*(repeatsAtLeast+16)) {
				t.Errorf("it tried parts %d times, and %d packets came again; want a few", trials, again)
			}
			if !c.whole && trials > 0 {
				t.Errorf("it went back and forth %d times", trials)
			}
		})
	}
}

func TestPartsAreTriedAgainWhenTheTrafficChanges(t *testing.T) {
	traffic := copyTraffic{rule: copyRule{part: PartOfPacket}}
	for range 100 {
		traffic.batch(64000, 1)
	}
	if !traffic.rule.whole {
		t.Fatal("no whole packets while all come again")
	}
	for n := 0; traffic.rule.whole; n++ {
		if traffic.batch(64000, 0); n > 6500 {
			t.Fatal("parts are not tried for more than a minute")
		}
	}
	for range 1000 {
		traffic.batch(64000, 0)
	}
	if traffic.rule.whole || traffic.rule.trial != 0 {
		t.Errorf("whole %v, next trial after %v: parts have proved good", traffic.rule.whole, time.Duration(traffic.rule.trial))
	}
	// Where there is little traffic, whole packets cost nothing.
	for !traffic.rule.whole {
		traffic.batch(64000, 1)
	}
	for range 20_000 {
		traffic.now += int64(time.Second) / 10
		if traffic.batch(1500, 0) {
			t.Fatal("parts are tried for next to nothing")
		}
	}
}
