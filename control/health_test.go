package control

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func discard() *slog.Logger { return slog.New(slog.NewTextHandler(io.Discard, nil)) }

func TestHealthSaysWhatIsFullAndWhatIsLost(t *testing.T) {
	fw := newCore(t, testRules)
	fw.send(t, 100, "tcp 10.0.0.1:9 > 10.0.0.2:443 syn", false)
	fw.send(t, 200, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	queue := QueueHealth{Number: 7, Waiting: 3, Length: 100, Packets: 5, Verdicts: 4, ReceiveBuffer: 1 << 20}
	log := EventLogHealth{Lost: 1, Targets: []EventLogTarget{{Target: "x", Written: 2, Lost: 3, Errors: 4}}}
	held := ReassemblyHealth{Frames: Gauge{1, 2}, Packets: Gauge{3, 4}, Memory: Gauge{5, 6}, Tombstones: Gauge{7, 8}, Fragments: 9, FragmentPackets: Gauge{10, 20}}
	s := serve(t, Config{Firewall: fw, Vitals: func() Vitals { return Vitals{Queues: []QueueHealth{queue}, Reassembly: held, EventLog: &log} }})
	c := s.dial(t)
	leave := attend(t, s)
	got, err := c.Health(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	leave()
	if got.Time.IsZero() || got.Uptime < 0 || got.Memory.Heap == 0 || got.Memory.Resident < 1<<20 || got.Memory.Goroutines < 2 {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]QueueHealth{queue}, got.Queues); diff != "" {
		t.Errorf("queues (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(&log, got.EventLog); diff != "" || log.lost() != 4 {
		t.Errorf("event log (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(held, got.Reassembly); diff != "" {
		t.Errorf("reassembly (-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(FlowsHealth{Gauge: Gauge{2, 262144}, HalfOpen: 1, Created: 2}, got.Flows); diff != "" {
		t.Errorf("flows (-want +got)\n%s", diff)
	}
	if got.Bindings.Bound != 262144 || got.Events != (EventsHealth{Followers: 1}) || len(got.Troubles) != 0 {
		t.Errorf("%+v, %+v, %+v", got.Bindings, got.Events, got.Troubles)
	}
}

// attend subscribes to events, and reads none.
func attend(t *testing.T, s *served) (leave func()) {
	t.Helper()
	r, leave := s.config.Feed.subscribe(false)
	if r == nil {
		t.Fatal("no room")
	}
	return leave
}

func TestEventsThatWereLostAreCountedForAll(t *testing.T) {
	fw := newCore(t, testRules)
	s := serve(t, Config{Firewall: fw})
	leave := attend(t, s)
	for i := range ringSize + 5 {
		fw.send(t, 100, fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:54", i), false)
	}
	for _, when := range []string{"while it follows", "when it has left"} {
		if got, err := s.dial(t).Health(context.Background()); err != nil || got.Events.Lost != 5 {
			t.Errorf("%s: %+v, %v", when, got.Events, err)
		}
		if leave != nil {
			leave()
			leave = nil
		}
	}
}

func TestTheWorstTroublesComeFirst(t *testing.T) {
	var lost losses
	lost.each(&lost, func(n *uint64, _ uint64) { *n = 1 })
	full := Gauge{Now: 1, Bound: 1}
	h := Health{
		Queues: []QueueHealth{{Waiting: 1, Length: 1}}, Flows: FlowsHealth{Gauge: full}, Bindings: BindingsHealth{Gauge: full},
		Reassembly: ReassemblyHealth{Frames: full, Packets: full, Memory: full, FragmentPackets: full},
	}
	list := troubles(&h, &Vitals{Silent: true, OpenAbsent: true, OpenOverload: true, TableGone: true, ReceiveBuffer: 1}, &lost, true)
	if len(list) < 20 || list[0].Severity != SeverityCritical {
		t.Errorf("%d: %+v", len(list), list)
	}
	warned := false
	for _, trouble := range list {
		if trouble.Severity == SeverityCritical && warned {
			t.Errorf("behind a warning: %+v", trouble)
		}
		warned = warned || trouble.Severity == SeverityWarning
	}
	if !warned {
		t.Error("no warnings")
	}
}

func TestTroublesAreToldWithARemedy(t *testing.T) {
	for _, tt := range []struct {
		name   string
		health Health
		vitals Vitals
		lost   losses
		any    bool
		want   string
	}{
		{name: "all is well"},
		{name: "a queue was full", lost: losses{queueFull: 3}, want: "critical: the queue was full, packets were lost: 3 in the last minute"},
		{name: "a buffer was full", lost: losses{bufferFull: 3}, want: "critical: the receive buffer was full, packets were lost (or more): 3 in the last minute"},
		{name: "verdicts were refused", lost: losses{refused: 3}, want: "critical: the kernel could not carry verdicts, packets were dropped: 3 in the last minute"},
		{name: "no room for flows", lost: losses{flowsRefused: 3}, want: "critical: the flow table is full, new flows were refused: 3 in the last minute"},
		{name: "no room for frames", lost: losses{reassemblyFull: 3}, want: "critical: reassembly was full, frames were dropped: 3 in the last minute"},
		{name: "no room for fragments", lost: losses{holdFull: 3}, want: "critical: too many inner fragments wait for their first one, frames were dropped: 3 in the last minute"},
		{name: "no room for bindings", lost: losses{unlearned: 3}, want: "warning: no room for bindings, inner addresses, MACs or ports were not bound: 3 in the last minute"},
		{name: "late", lost: losses{late: 3}, want: "warning: verdicts came too late, the kernel had dropped the packets: 3 in the last minute"},
		{name: "errors", lost: losses{errors: 3}, want: "warning: errors on the sockets of the queues: 3 in the last minute"},
		{name: "rejects", lost: losses{rejectsUnsent: 3}, want: "warning: over the limit on answers, rejected frames were dropped silently: 3 in the last minute"},
		{name: "events", lost: losses{events: 3}, want: "warning: events were lost, those who follow them are too slow: 3 in the last minute"},
		{name: "the table", vitals: Vitals{TableGone: true}, want: "critical: the nftables table is gone or changed: STT passes uninspected, or is dropped by others"},
		{name: "open to nobody", vitals: Vitals{OpenAbsent: true}, want: "warning: fails open: STT passes uninspected while no sttwall listens"},
		{name: "open to many", vitals: Vitals{OpenOverload: true}, want: "warning: fails open: STT passes uninspected when the queue is full"},
		{name: "silent", vitals: Vitals{Silent: true}, want: "warning: no reject is answered: rejected frames are dropped silently"},
		{name: "no guard", vitals: Vitals{GuardMissing: "why"}, want: "warning: super-segments of small pieces can reach receivers on Windows: why"},
		{name: "the event log lost some", lost: losses{logged: 3}, want: "warning: the event log had no room, events were lost: 3 in the last minute"},
		{name: "the event log cannot be written", vitals: Vitals{EventLog: &EventLogHealth{Targets: []EventLogTarget{{Target: "a"}, {Target: "b\x1b", Failing: true}}}},
			want: `warning: the event log "b\x1b" cannot be written`},
		{name: "anybody", any: true, want: "warning: any address may send STT: settings.endpoints is empty"},
		{name: "a queue that is nearly full", health: Health{Queues: []QueueHealth{{Number: 7, Waiting: 90, Length: 100}}}, want: "warning: queue 7: 90 of 100 packets wait"},
		{name: "one that is not, and one that is not known", health: Health{Queues: []QueueHealth{{Waiting: 89, Length: 100}, {Waiting: -1, Length: 100}}}},
		{name: "a small buffer", health: Health{Queues: []QueueHealth{{Number: 7, ReceiveBuffer: 5}, {ReceiveBuffer: 6}}}, vitals: Vitals{ReceiveBuffer: 6},
			want: "warning: queue 7: the receive buffer has 5 bytes, and 6 were asked for"},
		{name: "flows", health: Health{Flows: FlowsHealth{Gauge: Gauge{9, 10}}}, want: "warning: nearly full: 9 of 10 flows"},
		{name: "not as many flows", health: Health{Flows: FlowsHealth{Gauge: Gauge{94, 105}}}},
		{name: "bindings", health: Health{Bindings: BindingsHealth{Gauge: Gauge{9, 10}}}, want: "warning: nearly full: 9 of 10 learned bindings"},
		{name: "reassembly", health: Health{Reassembly: ReassemblyHealth{Frames: Gauge{1, 1}, Packets: Gauge{2, 2}, Memory: Gauge{3, 3}, Tombstones: Gauge{4, 4}, FragmentPackets: Gauge{5, 5}}},
			want: "warning: nearly full: 1 of 1 frames that are not whole; warning: nearly full: 2 of 2 packets of frames that are not whole; " +
				"warning: nearly full: 3 of 3 bytes of reassembly; warning: nearly full: 5 of 5 inner fragments that wait for their first one"},
		{name: "the worst first", vitals: Vitals{Silent: true, TableGone: true}, lost: losses{late: 1, queueFull: 2},
			want: "critical: the queue was full, packets were lost: 2 in the last minute; critical: the nftables table is gone or changed: STT passes uninspected, or is dropped by others; " +
				"warning: verdicts came too late, the kernel had dropped the packets: 1 in the last minute; warning: no reject is answered: rejected frames are dropped silently"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := troubles(&tt.health, &tt.vitals, &tt.lost, tt.any)
			var words []string
			for _, trouble := range got {
				words = append(words, trouble.Severity+": "+trouble.What)
				if trouble.Remedy == "" {
					t.Errorf("no remedy: %+v", trouble)
				}
			}
			if text := strings.Join(words, "; "); text != tt.want || got == nil {
				t.Errorf("got  %s\nwant %s", text, tt.want)
			}
		})
	}
}
