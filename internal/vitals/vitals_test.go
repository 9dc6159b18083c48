package vitals

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/control"
	"sttwall/nfq"
)

func TestDropsElsewhereHaveNamesAndRemedies(t *testing.T) {
	queues := []nfq.Stats{{Overruns: 2, Kernel: nfq.KernelStats{DroppedFull: 5, DroppedBuffer: 9}}, {Overruns: 1, Kernel: nfq.KernelStats{DroppedFull: 1}}}
	drops := append(tableDrops(&nfq.TableCounters{Queued: 100, OuterFragment: 3, EndpointUnknown: 4, OtherTunnel: 6, GSOTooSmall: 7, NotSTT: 8, EndpointInterface: 10, EndpointRate: 11}), queueDrops(queues)...)
	want := map[string]uint64{"outer_fragment": 3, "endpoint_unknown": 4, "other_tunnel": 6, "gso_too_small": 7, "not_stt": 8, "endpoint_interface": 10, "endpoint_rate": 11, "queue_full": 6, "receive_buffer_full": 9}
	for _, d := range drops {
		if d.Count != want[d.Reason] || d.Meaning == "" || d.Remedy == "" || (d.Where == "queue") != strings.HasSuffix(d.Reason, "_full") {
			t.Errorf("%+v", d)
		}
		delete(want, d.Reason)
	}
	if len(want) > 0 {
		t.Errorf("not told: %v", want)
	}
}

func TestAQueueIsShownAsItCounts(t *testing.T) {
	q := nfq.Stats{
		Packets: 1, Verdicts: 2, Overruns: 3, Late: 4, PayloadRefused: 5, VerdictsLost: 60, Unreadable: 700, OtherErrors: 8, ReceiveBuffer: 9,
		Kernel: nfq.KernelStats{Waiting: 10, DroppedBuffer: 11, DroppedFull: 12},
	}
	want := control.QueueHealth{Number: 3, Waiting: -1, Length: 100, Packets: 1, Verdicts: 2, Overruns: 3, Late: 4, Refused: 765, Errors: 8, ReceiveBuffer: 9}
	if diff := cmp.Diff(want, queue(3, 100, &q)); diff != "" {
		t.Errorf("without the kernel's view (-want +got):\n%s", diff)
	}
	q.KernelKnown = true
	want.Waiting, want.DroppedBuffer, want.DroppedFull = 10, 11, 12
	if diff := cmp.Diff(want, queue(3, 100, &q)); diff != "" {
		t.Errorf("with it (-want +got):\n%s", diff)
	}
}
