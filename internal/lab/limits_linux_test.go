package lab

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/stt"
)

// limitRules are the rules of a lab whose tenant acme has limits; %s is what
// bounds its flows as a whole.
const limitRules = `
settings {
  endpoints      = ["10.47.1.1", "10.47.2.1"]
  default_action = "drop"
  flows          = 4096
}
tenant "acme" {
  context_ids = [100]
  %s
  rule "rationed" {
    action   = "accept"
    services = ["tcp/8023"]
    limit {
      rate  = "1/h"
      burst = 3
      over  = "drop"
    }
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/8080", "udp/7000"]
  }
}
tenant "globex" {
  context_ids = [200]
  rule "web" {
    action   = "accept"
    services = ["tcp/8080", "udp/7000"]
  }
}
`

func limitLab(t *testing.T, limits string) *Lab {
	t.Helper()
	l := newLab(t, Config{Rules: fmt.Appendf(nil, limitRules, limits), RulesName: "limits.hcl", Queues: 2})
	l.serveOn(t, AcmeB, GlobexB)
	return l
}

// serveOn starts the services in those places, for as long as the test runs.
func (l *Lab) serveOn(t *testing.T, places ...Place) {
	t.Helper()
	for _, place := range places {
		if err := l.Do(place, func() error {
			s, err := serve()
			if err != nil {
				return err
			}
			t.Cleanup(func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestARuleTakesNoMoreThanItsLimit(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := limitLab(t, "")
	ctx := bounded(t)
	telnet := flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portTelnet)}
	for i := range 3 {
		if err := l.exchange(ctx, telnet, []byte("within the limit")); err != nil {
			t.Errorf("connection %d: %v", i+1, err)
		}
	}
	// The fourth is refused for as long as it tries: its SYN must have met the
	// limit, and nothing else.
	trying, give := context.WithCancel(ctx)
	tried := make(chan error, 1)
	go func() { tried <- l.exchange(trying, telnet, []byte("over the limit")) }()
	e, err := l.WaitEvent(ctx, "the fourth connection", func(e *firewall.FrameEvent) bool {
		return e.Verdict == firewall.Drop && e.Inner.DstPort == portTelnet
	})
	if err != nil || e.Reason != reason.RateLimit || e.Decision.Rule != "acme/rationed" {
		t.Errorf("the fourth: %v by %q, %v", e.Reason, e.Decision.Rule, err)
	}
	give()
	if err := <-tried; err == nil {
		t.Error("the fourth connection was answered")
	}
	// Other rules have nothing to do with it.
	if err := l.exchange(bounded(t), flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)}, []byte("another rule")); err != nil {
		t.Error(err)
	}
}

func TestAnInnerSourceHoldsNoMoreFlowsThanItsLimit(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := limitLab(t, "limits {\n flows_per_source = 2\n }")
	ctx := bounded(t)
	echo := netip.AddrPortFrom(InnerB, portEcho)
	for range 2 {
		if err := l.exchange(ctx, flow{place: AcmeA, network: "udp", to: echo}, []byte("one of two")); err != nil {
			t.Error(err)
		}
	}
	if err := l.sendUDP(ctx, flow{place: AcmeA, to: echo}, []byte("one too many")); err != nil {
		t.Fatal(err)
	}
	e, err := l.WaitEvent(ctx, "the third flow", func(e *firewall.FrameEvent) bool { return e.Verdict == firewall.Drop && e.Inner.HasPorts })
	if err != nil || e.Reason != reason.SourceFlows {
		t.Errorf("%v, %v", e.Reason, err)
	}
	// The other tenant has the same inner address, and no limit.
	for range 4 {
		if err := l.exchange(ctx, flow{place: GlobexA, network: "udp", to: echo}, []byte("another tenant")); err != nil {
			t.Error(err)
		}
	}
}

// floodSYNs sends SYNs of acme from addresses that nobody has, so that none of
// the handshakes is ever finished, and waits until the firewall has decided
// about all of them.
func (l *Lab) floodSYNs(t *testing.T, count int) {
	t.Helper()
	const sourcePorts = 64 // so that every queue has its part
	ctx := bounded(t)
	for i := range count {
		src := netip.AddrFrom4([4]byte{192, 168, byte(1 + i/250), byte(1 + i%250)})
		inner := innerSegment(netip.AddrPortFrom(src, 1024), netip.AddrPortFrom(InnerB, portWeb),
			tcpHeader{seq: uint32(i), flags: stt.FlagSYN, window: 1000}, nil)
		c := crafted{
			path:   stt.Path{Src: OuterA, Dst: OuterB, SrcPort: uint16(craftedPort + i%sourcePorts), DstPort: stt.Port, TTL: 64, DontFragment: true},
			id:     uint32(craftedIDs + i),
			header: stt.FrameHeader{ContextID: ContextAcme}, inner: inner,
		}
		packets, err := c.packets()
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Inject(EndpointA, packets[0], Offload{}); err != nil {
			t.Fatal(err)
		}
		// Now and then, so that no queue overflows; and for the last of each
		// source port, behind which all others are decided.
		if i%256 == 0 || i >= count-sourcePorts {
			if _, err := l.WaitEvent(ctx, "the flood", c.isEvent); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestAHalfOpenFloodInOneTenantLeavesTheOthersAlone(t *testing.T) {
	if !Inside(t) {
		return
	}
	for _, test := range []struct {
		name, limits string
		dropped      reason.Reason // what stops most of the flood; None: nothing does
	}{
		{"with a limit on half-open flows", "limits {\n half_open = 100\n }", reason.HalfOpenLimit},
		{"with nothing but the size of the table", "", reason.None},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := limitLab(t, test.limits)
			web := netip.AddrPortFrom(InnerB, portWeb)
			ctx := bounded(t)
			old, err := l.dial(ctx, flow{place: AcmeA, network: "tcp", to: web})
			if err != nil {
				t.Fatal(err)
			}
			defer old.Close()
			const flood = 6000 // more than there is room for
			l.floodSYNs(t, flood)
			if stopped := l.Totals().Reasons[test.dropped]; test.dropped != reason.None && stopped < flood-100 {
				t.Errorf("%d of %d were stopped as %v", stopped, flood, test.dropped)
			}
			table := l.firewall.Shared().Flows().Stats()
			if table.Flows > 4096 || test.dropped == reason.None && table.Evicted < flood-4096 {
				t.Errorf("a table of 4096: %+v", table)
			}
			for i := range 20 {
				if err := l.exchange(bounded(t), flow{place: GlobexA, network: "tcp", to: web}, []byte("a new connection of the other tenant")); err != nil {
					t.Fatalf("connection %d of globex: %v", i+1, err)
				}
			}
			// What was established before goes on, in the flooded tenant too.
			if _, err := old.Write([]byte("still here")); err != nil {
				t.Fatal(err)
			}
			if _, err := old.Read(make([]byte, 10)); err != nil {
				t.Error("the old connection:", err)
			}
		})
	}
}
