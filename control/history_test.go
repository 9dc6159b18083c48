package control

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/firewall"
	"sttwall/reason"
)

func TestASampleIsWhatHappenedSinceTheLastOne(t *testing.T) {
	var h history
	at := time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC)
	var s sums
	s.totals.Packets, s.totals.Bytes, s.totals.FramesAccepted = 1000, 50_000, 900
	s.losses.queueFull = 7
	h.take(at, s)
	if got := h.tail(historySamples); got == nil || len(got) != 0 {
		t.Errorf("before a second is over: %v", got)
	}
	s.totals.Packets, s.totals.Bytes, s.totals.FramesAccepted, s.totals.FramesAudited = 1010, 51_000, 905, 3
	s.totals.Reasons[reason.RuleDrop], s.totals.Reasons[reason.FrameTimeout] = 4, 2
	s.totals.RejectsSent, s.totals.RejectsLimited, s.totals.RejectsRefused = 1, 2, 3
	s.begun, s.flows, s.held, s.losses.queueFull, s.losses.bufferFull, s.losses.late = 5, 8, 9, 10, 1, 6
	h.take(at.Add(time.Second), s)
	h.take(at.Add(2100*time.Millisecond), s)
	want := []Sample{
		{Time: at.Add(time.Second), Packets: 10, Bytes: 1000, Accepted: 5, Dropped: 6, Audited: 3, Rejected: 6, Begun: 5, Flows: 8, Held: 9, Lost: 4},
		{Time: at.Add(2100 * time.Millisecond), Flows: 8, Held: 9},
	}
	if diff := cmp.Diff(want, h.tail(historySamples)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if diff := cmp.Diff(want[1:], h.tail(1)); diff != "" {
		t.Errorf("the last one (-want +got)\n%s", diff)
	}
	if got := h.lately(); got != (losses{queueFull: 3, bufferFull: 1, late: 6}) {
		t.Errorf("lost: %+v", got)
	}

	// What the kernel counts can go back, when a queue is gone.
	s.losses.queueFull = 0
	s.totals.Packets += 7
	at = at.Add(5100 * time.Millisecond)
	h.take(at, s)
	got := h.tail(3)
	if len(got) != 3 || got[0].Packets+got[1].Packets+got[2].Packets != 7 || got[0].Packets < 2 || got[2].Lost != 0 ||
		!got[0].Time.Equal(at.Add(-2*time.Second)) || !got[2].Time.Equal(at) {
		t.Errorf("three seconds late: %+v", got)
	}
	if n := len(h.tail(historySamples)); n != 5 {
		t.Errorf("%d samples", n)
	}
}

func TestHistoryKeepsTheLastTenMinutes(t *testing.T) {
	var h history
	at := time.Unix(1000, 0)
	var s sums
	h.take(at, s)
	const samples = 2*historySamples + 100
	for i := range samples {
		s.totals.Packets += uint64(i)
		s.losses.events++
		h.take(at.Add(time.Duration(i+1)*time.Second), s)
	}
	got := h.tail(2 * historySamples)
	if len(got) != historySamples {
		t.Fatalf("%d samples", len(got))
	}
	for i := range got {
		if first := samples - historySamples; got[i].Packets != uint64(i+first) || got[i].Time.Unix() != int64(1000+i+first+1) {
			t.Fatalf("sample %d: %+v", i, got[i])
		}
	}
	if last := h.tail(1); last[0] != got[historySamples-1] {
		t.Errorf("the last one is %+v", last[0])
	}
	if got := h.lately(); got.events != minute {
		t.Errorf("in the last minute %+v", got)
	}
	// A process that was stopped for long has not slept through its memory.
	h.take(at.Add(100*365*24*time.Hour), s)
	if got := h.tail(2 * historySamples); len(got) != historySamples || got[0].Packets != 0 {
		t.Errorf("%d samples, the first %+v", len(got), got[0])
	}
}

func TestTheServerKeepsItsHistory(t *testing.T) {
	fw := newCore(t, testRules)
	v := Vitals{Reassembly: ReassemblyHealth{Packets: Gauge{Now: 3}, FragmentPackets: Gauge{Now: 2}}}
	s, err := NewServer(Config{Firewall: fw, Feed: fw.feed, Log: discard(), Reload: func() (Reloaded, error) { return Reloaded{}, nil }, Vitals: func() Vitals { return v }})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1000, 0)
	s.sample(at)
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	fw.send(t, 200, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	fw.send(t, 100, "tcp 10.0.0.1:9 > 10.0.0.2:23 syn", false)
	v.Queues = []QueueHealth{{DroppedFull: 2, DroppedBuffer: 3}, {Overruns: 4}}
	s.sample(at.Add(time.Second))
	got := s.history.tail(historySamples)
	if len(got) != 1 {
		t.Fatalf("%+v", got)
	}
	got[0].Bytes = 0
	want := Sample{Time: at.Add(time.Second), Packets: 3, Accepted: 2, Dropped: 1, Audited: 1, Rejected: 1, Begun: 2, Flows: 2, Held: 5, Lost: 9}
	if got[0] != want {
		t.Errorf("got  %+v\nwant %+v", got[0], want)
	}
	v.Queues = nil
	s.config.Vitals = func() Vitals { panic("a mistake") }
	s.sample(at.Add(2 * time.Second)) // ends nothing
}

func TestHistoryIsAnsweredInPart(t *testing.T) {
	s := serve(t, Config{}, func(s *Server) {
		s.history.take(time.Now().Add(-5*time.Second), sums{})
		s.history.take(time.Now(), sums{totals: firewall.Totals{Packets: 50}})
	})
	all, err := s.dial(t).History(context.Background())
	if err != nil || all.Step != 1 || len(all.Samples) < 5 || all.Samples[0].Packets != 10 {
		t.Fatalf("%+v, %v", all, err)
	}
	code, body := raw(t, s.connect(t), get("/v1/history?samples=2"))
	var part History
	if err := json.Unmarshal([]byte(body), &part); err != nil || code != 200 || len(part.Samples) != 2 {
		t.Errorf("%d %s", code, body)
	}
	for _, n := range []string{"0", "-1", "601", "x"} {
		if code, body := raw(t, s.connect(t), get("/v1/history?samples="+n)); code != 400 {
			t.Errorf("%s: %d %s", n, code, body)
		}
	}
}
