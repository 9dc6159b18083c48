package metrics

import (
	"testing"
	"time"

	"sttwall/control"
)

func TestAQueueThatDoesNotMoveIsStuck(t *testing.T) {
	const bound = 12 * time.Second
	start := time.Unix(1_700_000_000, 0)
	type look struct {
		at       time.Duration
		waiting  int
		packets  uint64
		verdicts uint64
		stuck    bool
	}
	for _, tt := range []struct {
		name  string
		looks []look
	}{
		{"idle", []look{{0, 0, 5, 5, false}, {time.Hour, 0, 5, 5, false}}},
		{"waits and does not move", []look{{0, 3, 5, 5, false}, {bound, 3, 5, 5, false}, {bound + 1, 9, 5, 5, true}}},
		{"moves in the end", []look{{0, 3, 5, 5, false}, {bound + 1, 3, 5, 5, true}, {bound + 2, 3, 6, 5, false}, {2*bound + 2, 3, 6, 5, false}, {2*bound + 3, 3, 6, 5, true}}},
		{"packets come and none goes", []look{{0, 3, 5, 5, false}, {bound, 4, 6, 5, false}, {2 * bound, 5, 7, 5, false}}},
		{"a packet has just come into an idle queue", []look{{0, 0, 5, 5, false}, {time.Hour, 1, 5, 5, false}}},
		{"empty in between", []look{{0, 1, 5, 5, false}, {10 * time.Second, 0, 5, 5, false}, {time.Minute, 1, 5, 5, false}}},
		{"the kernel does not say", []look{{0, -1, 5, 5, false}, {time.Hour, -1, 5, 5, false}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p progress
			for _, l := range tt.looks {
				why := p.stuck(start.Add(l.at), bound, []control.QueueHealth{{Number: 1}, {Number: 3, Waiting: l.waiting, Packets: l.packets, Verdicts: l.verdicts}})
				if (why != "") != l.stuck {
					t.Errorf("after %v: got %q", l.at, why)
				}
			}
		})
	}
	var p progress
	queue := []control.QueueHealth{{Number: 3, Waiting: 17}}
	p.stuck(start, bound, queue)
	if why := p.stuck(start.Add(12400*time.Millisecond), bound, queue); why != "queue 3: 17 packets wait and none has been decided for 12s" {
		t.Errorf("it says %q", why)
	}
}
