package main

import (
	"bytes"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"sttwall/firewall"
	"sttwall/nfq"
	"sttwall/policy"
	"sttwall/reason"
)

func newTestReporter(t *testing.T) (*reporter, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	return newReporter(slog.New(slog.NewTextHandler(&out, nil))), &out
}

func TestReporterNamesTheRulesAndTenantsThatDropped(t *testing.T) {
	r, out := newTestReporter(t)
	rules := map[string]firewall.Tally{"acme/no-dns": {Frames: 2, Dropped: 2}, "acme/web": {Frames: 9}, "trial/all": {Frames: 3, Audited: 3}}
	tenants := map[string]firewall.Tally{"acme": {Frames: 12, Dropped: 3}}
	r.drops(rules, tenants)
	for _, want := range []string{"rule=acme/no-dns count=2", "tenant=acme count=3", "rule=trial/all count=3"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}
	if n := strings.Count(out.String(), "\n"); n != 3 {
		t.Errorf("got %d lines, want 3:\n%s", n, out)
	}
	out.Reset()
	if r.drops(rules, tenants); out.Len() > 0 {
		t.Errorf("it says it twice:\n%s", out)
	}
}

func TestReporterTellsWhatIsNewAndNothingElse(t *testing.T) {
	r, out := newTestReporter(t)
	now := totals{kernelFull: 5, kernelBuffer: 7, table: nfq.TableCounters{Queued: 100, OtherTunnel: 3, GSOTooSmall: 8}}
	now.Reasons[reason.SegmentOverlap] = 2
	now.LatePackets = 4
	r.losses(now)
	for _, want := range []string{"reason=segment_overlap count=2", "at_least=5", "at_least=7", "reason=other_tunnel count=3", "reason=gso_too_small count=8", "count=4", "remedy="} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, out)
		}
	}

	out.Reset()
	r.losses(now)
	// The kernel's counters and the table cannot be read any more.
	gone := now
	gone.kernelFull, gone.kernelBuffer, gone.table = 0, 0, nfq.TableCounters{}
	r.losses(gone)
	if out.Len() > 0 {
		t.Errorf("nothing is new, but it says\n%s", out)
	}

	now.kernelFull++
	r.losses(now)
	if !strings.Contains(out.String(), "at_least=1\n") {
		t.Errorf("one more is lost, but it says\n%s", out)
	}
}

func TestReporterTakesFramesThatARuleLogsAndCountsThoseItCannot(t *testing.T) {
	r, out := newTestReporter(t)
	e := firewall.FrameEvent{Verdict: firewall.Accept, InnerData: []byte{1}, Decision: policy.Decision{Tenant: "acme", Rule: "acme/web"}}
	r.observe(&e)
	if len(r.frames) != 0 {
		t.Error("it took a frame that no rule logs")
	}
	e.Decision.Log = true
	for i := range logBacklog + 3 {
		e.Src = netip.AddrFrom4([4]byte{10, 47, byte(i >> 8), byte(i)}) // each has a rate of its own
		r.observe(&e)
	}
	if len(r.frames) != logBacklog || r.missed.Load() != 3 {
		t.Errorf("%d wait, %d missed", len(r.frames), r.missed.Load())
	}
	got := <-r.frames
	if got.InnerData != nil {
		t.Error("it keeps bytes that it had borrowed")
	}
	r.frame(&got)
	if !strings.Contains(out.String(), "verdict=accept tenant=acme rule=acme/web") {
		t.Errorf("it says\n%s", out)
	}
}
