package lab

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"
	"time"

	"sttwall/endpoint"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

func TestDemoRulesLoadWithoutAWarning(t *testing.T) {
	p, diagnostics := policy.Load("demo.hcl", DemoRules)
	if p == nil || len(diagnostics) > 0 {
		t.Error(diagnostics)
	}
}

func newTestScenario(t *testing.T, c Config) *scenario {
	t.Helper()
	s, err := newScenario(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// The proofs of the demo are worth nothing if they hold without a firewall.
func TestAStoppedLineFailsWhereTheFirewallIsAbsent(t *testing.T) {
	if !Inside(t) {
		return
	}
	s := newTestScenario(t, Config{Without: Inspection | Endpoints})
	payload, marker := s.mark(largePayload)
	c := s.craft(portSyslog, payload)
	if err := s.sendAll(c); err != nil {
		t.Fatal(err)
	}
	for name, seen := range map[string]func(Captured) bool{"marker": marked(marker).seen, "frame ID": c.isSegment} {
		if err := s.nothingCame(bounded(t), c.path.SrcPort, seen); err == nil || !strings.Contains(err.Error(), "reached the far side") {
			t.Errorf("by %s: got %v, want that it reached the far side", name, err)
		}
	}
}

func TestAStoppedLineFailsWhereTheRulesLetItPass(t *testing.T) {
	if !Inside(t) {
		return
	}
	s := newTestScenario(t, Config{Rules: []byte(acceptAll), RulesName: "all.hcl"})
	for _, st := range []step{
		stackSteps()[3], // globex may not ping
		stackSteps()[8], // acme may not telnet
		stoppedStep("unknown Context ID", reason.ContextUnknown, small(func(c *crafted) { c.header.ContextID = 300 })),
	} {
		row := s.try(context.Background(), st)
		if row.OK || !strings.Contains(row.Happened, "accepted") && !strings.Contains(row.Happened, "answered") {
			t.Errorf("%s: %+v", st.What, row)
		}
	}
}

func TestTenantsTalkOverEveryKindOfPath(t *testing.T) {
	if !Inside(t) {
		return
	}
	for name, c := range map[string]Config{
		"packet sockets to the hosts":       {HostLinks: endpoint.KindPacket},
		"endpoints that cut":                {Segmentation: endpoint.SegmentMTU},
		"outer IPv6":                        {OuterIPv6: true},
		"outer IPv6 and endpoints that cut": {OuterIPv6: true, Segmentation: endpoint.SegmentMTU},
		"one queue":                         {Queues: 1},
		"no firewall between":               {Without: Inspection},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTestScenario(t, c)
			for _, to := range []netip.Addr{InnerB, InnerB6} {
				for _, d := range []direction{upload, download} {
					f := flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(to, portBulk)}
					if _, err := s.lab.transfer(bounded(t), f, d, 2_000_000); err != nil {
						t.Errorf("%s, direction %d: %v", to, d, err)
					}
				}
			}
		})
	}
}

// Under the startup guard every frame of several packets, super-segments
// among them, is encoded anew with another frame ID.
func TestTenantsTalkWhileEveryLargeFrameIsRewritten(t *testing.T) {
	if !Inside(t) {
		return
	}
	for name, segmentation := range map[string]endpoint.Segmentation{"super-segments": endpoint.SegmentGSO, "segments": endpoint.SegmentMTU} {
		t.Run(name, func(t *testing.T) {
			s := newTestScenario(t, Config{Segmentation: segmentation, StartupGuard: time.Hour})
			for _, d := range []direction{upload, download} {
				f := flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portBulk)}
				if _, err := s.lab.transfer(bounded(t), f, d, 5_000_000); err != nil {
					t.Errorf("direction %d: %v", d, err)
				}
			}
			totals := s.lab.Totals()
			if totals.FrameIDsReplaced < 100 || totals.FramesRewritten < totals.FrameIDsReplaced {
				t.Errorf("of %d frames %d were rewritten, and %d got another ID", totals.FramesAccepted, totals.FramesRewritten, totals.FrameIDsReplaced)
			}
			for _, q := range s.lab.QueueStats() {
				if q.PayloadRefused > 0 {
					t.Errorf("the kernel could not carry %d of them", q.PayloadRefused)
				}
			}
		})
	}
}

// A sender that says where its checksum is to be written could have a field
// changed that the firewall decided on, when the packet leaves.
func TestAnUnfinishedChecksumIsWrittenByTheFirewallWhereItBelongs(t *testing.T) {
	if !Inside(t) {
		return
	}
	s := newTestScenario(t, Config{Without: Endpoints})
	payload, marker := s.mark(largePayload)
	c := s.craft(portSink, payload[:1000])
	packets, err := c.packets()
	if err != nil || len(packets) != 1 {
		t.Fatalf("%d packets, %v", len(packets), err)
	}
	// Outer headers, frame header, inner Ethernet and IP header: at the inner
	// destination port.
	const innerPort = 20 + stt.SegmentHeaderLen + stt.FrameHeaderLen + 14 + 20 + 2
	if err := s.lab.Inject(EndpointA, packets[0], Offload{Partial: true, ChecksumAt: innerPort}); err != nil {
		t.Fatal(err)
	}
	came, err := s.far.WaitFor(bounded(t), "the packet", marker)
	if err != nil {
		t.Fatal(err)
	}
	got := came.Data[14:]
	var segment stt.Segment
	if r := segment.Decode(got, len(got), []uint16{stt.Port}); r != reason.None || !segment.ChecksumGood(got) {
		t.Errorf("its checksum is not written: %v", r)
	}
	if !bytes.Equal(segment.Payload, packets[0][40:]) {
		t.Error("it is not the frame that the firewall decided on")
	}
	if totals := s.lab.Totals(); totals.FramesRewritten == 0 {
		t.Error("it left as it came")
	}
}
