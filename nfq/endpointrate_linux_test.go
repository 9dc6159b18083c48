package nfq

import (
	"net/netip"
	"testing"
	"time"

	"sttwall/limit"
)

// A source that sends more than its rate loses what is over it before the queue, counted,
// and nobody else's; the buckets that packets fill are no change of the table.
func TestASourceOverItsRateLosesItsOwnPackets(t *testing.T) {
	w := newWire(t)
	const over = 40
	for _, src := range []netip.Addr{far4, far6} {
		dst := near4
		if src == far6 {
			dst = near6
		}
		table, err := InstallTable(TableConfig{
			Ports: []uint16{testPort}, FirstQueue: 40, Queues: 1, EndpointRate: limit.Rate{Events: 1, Per: 24 * time.Hour, Burst: 1},
		})
		must(t, err)
		for i := range leastBurst + over {
			w.send(t, outer{src: src, dst: dst, sport: uint16(1000 + i)}.bytes())
		}
		w.delivered(t)
		counted, err := table.Counters()
		must(t, err)
		if counted.Queued != leastBurst || counted.EndpointRate != over {
			t.Errorf("%v: %d packets were queued and %d dropped, want %d and %d", src, counted.Queued, counted.EndpointRate, leastBurst, over)
		}
		other := src.Next().Next().Next()
		for range over {
			w.send(t, outer{src: other, dst: dst}.bytes())
		}
		w.delivered(t)
		if counted, err = table.Counters(); err != nil || counted.Queued != leastBurst+over || counted.EndpointRate != over {
			t.Errorf("%v: of another source %d were queued, %d dropped in all: %v", other, counted.Queued-leastBurst, counted.EndpointRate, err)
		}
		if _, err := table.check(); err != nil {
			t.Error(err)
		}
	}
}

// The burst follows the rate, within bounds.
func TestHowManyPacketsMayComeAtOnce(t *testing.T) {
	for _, c := range []struct {
		rate limit.Rate
		want uint32
	}{
		{limit.Rate{Events: 1, Per: time.Second}, 256},
		{limit.Rate{Events: 100_000, Per: time.Second}, 10_000},
		{limit.Rate{Events: 6_000_000, Per: time.Minute}, 10_000},
		{limit.Rate{Events: limit.MaxEvents, Per: time.Second}, 1 << 20},
	} {
		if got := rateBurst(c.rate); got != c.want {
			t.Errorf("%+v: got %d, want %d", c.rate, got, c.want)
		}
	}
}
