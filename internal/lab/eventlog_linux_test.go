package lab

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sttwall/eventlog"
	"sttwall/internal/eve"
	"sttwall/limit"
	"sttwall/reason"
)

// What the event log says of the demo's traffic is valid, and is what the firewall has
// counted: each frame that it dropped, each flow from its start to its end.
func TestTheEventLogOfTheDemosTrafficIsWhatWasCounted(t *testing.T) {
	if !Inside(t) {
		return
	}
	path := filepath.Join(t.TempDir(), "eve.json")
	target, err := eventlog.ParseTarget(path)
	if err != nil {
		t.Fatal(err)
	}
	const most = 1_000_000 // more than there are
	log, err := eventlog.New(eventlog.Config{
		Targets: []eventlog.Target{target}, Log: slog.New(slog.DiscardHandler), Stats: 100 * time.Millisecond,
		Sampled: limit.Rate{Events: most, Per: time.Second, Burst: most},
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := newScenario(Config{Observer: log.Observe, ReassemblyTimeout: reassemblyTimeout})
	if err != nil {
		t.Fatal(err)
	}
	fw := s.lab.firewall
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		log.Run(ctx, fw)
	}()
	for _, st := range plan(Options{}) {
		if st.alone != nil {
			continue
		}
		if row := s.try(context.Background(), st); !row.OK {
			t.Errorf("%s: %s", row.What, row.Happened)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	stop()
	<-ended
	totals, flows := fw.Totals(), fw.Shared().Flows().Stats()

	schema, err := eve.Load("../../docs/eve.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := schema.Lines(text)
	if err != nil {
		t.Fatal(err)
	}
	count, reasons := map[string]uint64{}, map[string]uint64{}
	begun := map[string]eve.Line{}
	for _, l := range lines {
		count[l.Type()]++
		id := l.Text("flow_id")
		switch l.Type() {
		case eventlog.TypeDrop, eventlog.TypeReject:
			reasons[l.Text("drop.reason")]++
		case eventlog.TypeFlowStart:
			begun[id] = l
		case eventlog.TypeFlow:
			first := begun[id]
			delete(begun, id)
			for _, same := range []string{"src_ip", "src_port", "dest_ip", "dest_port", "proto", "tunnel.src_ip", "tunnel.dest_ip", "sttwall.tenant", "sttwall.rule", "sttwall.context_id", "ether.src_macs"} {
				if first.Text(same) != l.Text(same) {
					t.Errorf("flow %s: %s was %q and is %q", id, same, first.Text(same), l.Text(same))
				}
			}
		}
	}
	if len(begun) > 0 {
		t.Errorf("flows without an end: %v", begun)
	}
	if c := log.Health(); c.Lost != 0 || len(c.LeftOut) != 0 || c.Targets[0].Lost != 0 {
		t.Errorf("lost: %+v", c)
	}
	if dropped := count[eventlog.TypeDrop] + count[eventlog.TypeReject]; dropped != totals.FramesDropped || dropped == 0 {
		t.Errorf("%d frames were dropped, %d logged: %v", totals.FramesDropped, dropped, reasons)
	}
	if count[eventlog.TypeFlowStart] != flows.Created || count[eventlog.TypeFlow] != flows.Created || flows.Created < 10 {
		t.Errorf("%d flows began; logged are %d starts, %d ends", flows.Created, count[eventlog.TypeFlowStart], count[eventlog.TypeFlow])
	}
	for i, n := range totals.Reasons {
		if got := reasons[reason.Reason(i).String()]; got > n { // there are packets of no frame, too
			t.Errorf("%s: %d counted, %d logged", reason.Reason(i), n, got)
		}
	}
	if count[eventlog.TypeStats] < 2 || count[eventlog.TypeTenant] < 2 {
		t.Errorf("%v", count)
	}
	t.Log(count, strings.Count(string(text), "\n"))
}
