package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
)

// policyRules are rules whose effect real stacks see. %s is the action for the
// echo service.
const policyRules = `
settings {
  endpoints      = ["10.47.1.1", "10.47.2.1", "fd47:1::1", "fd47:2::1"]
  default_action = "drop"
}
tenant "acme" {
  context_ids = [100]
  rule "refused" {
    action   = "reject"
    services = ["tcp/8023", "udp/7001", "icmp/echo-request", "icmpv6/echo-request"]
  }
  rule "web" {
    action   = "%s"
    services = ["tcp/8080"]
  }
  rule "bulk" {
    action   = "accept"
    services = ["tcp/5201"]
    set {
      dscp    = "af21"
      mss_max = 1200
    }
  }
  rule "echo" {
    action   = "accept"
    services = ["udp/7000"]
  }
}
tenant "globex" {
  context_ids = [200]
  mode        = "audit"
  limits {
    half_open = 50
  }
}
`

func policyLab(t *testing.T) *Lab {
	t.Helper()
	l := newLab(t, Config{Rules: []byte(fmt.Sprintf(policyRules, "accept")), RulesName: "policy.hcl", Queues: 2})
	l.serveOn(t, AcmeB, GlobexB)
	return l
}

func (l *Lab) reload(t *testing.T, rules string) int {
	t.Helper()
	p, diagnostics := policy.Load("policy.hcl", []byte(rules))
	if p == nil {
		t.Fatal(diagnostics)
	}
	ended, err := l.firewall.Reload(p)
	if err != nil {
		t.Fatal(err)
	}
	return ended
}

func TestARealStackIsToldAtOnceThatItIsRejected(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	for _, to := range []netip.Addr{InnerB, InnerB6} {
		_, err := l.dial(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(to, portTelnet)})
		if !errors.Is(err, unix.ECONNREFUSED) {
			t.Errorf("TCP to %s: %v, want connection refused", to, err)
		}
		c, err := l.dial(ctx, flow{place: AcmeA, network: "udp", to: netip.AddrPortFrom(to, portSyslog)})
		if err != nil {
			t.Fatal(err)
		}
		deadline, _ := ctx.Deadline()
		if err := c.SetDeadline(deadline); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Write([]byte("anybody?")); err != nil {
			t.Fatal(err)
		}
		if _, err = c.Read(make([]byte, 10)); !errors.Is(err, unix.EHOSTUNREACH) && !errors.Is(err, unix.EACCES) || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("UDP to %s: %v, want what an administratively prohibited destination gives", to, err)
		}
		c.Close()
	}
	if n := l.Totals().RejectsSent; n < 4 {
		t.Errorf("%d answers were sent", n)
	}
}

func TestRealFlowsPassBothWaysByTheirFirstPacket(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	for _, f := range []flow{
		{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)},
		{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB6, portWeb)},
		{place: AcmeA, network: "udp", to: netip.AddrPortFrom(InnerB, portEcho)},
		{place: GlobexA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)}, // would be dropped
	} {
		if err := l.exchange(ctx, f, []byte("hello through the tunnel")); err != nil {
			t.Errorf("%+v: %v", f, err)
		}
	}
	// The MSS that the firewall lowered is kept by the stacks: no full-sized
	// packet comes, and all of it arrives.
	for _, d := range []direction{upload, download} {
		if _, err := l.transfer(ctx, flow{place: AcmeA, to: netip.AddrPortFrom(InnerB, portBulk), network: "tcp"}, d, 2<<20); err != nil {
			t.Error(err)
		}
	}
	e, err := l.WaitEvent(ctx, "a SYN with a lower MSS", func(e *firewall.FrameEvent) bool {
		return e.Decision.Rule == "acme/bulk" && e.Inner.TCPFlags&inspect.SYN != 0 && e.Rewritten && e.Inner.TOS>>2 == 18
	})
	if err != nil || e.Verdict != firewall.Accept {
		t.Error(e.Verdict, err)
	}
	if n := l.Totals().FramesAudited; n == 0 {
		t.Error("nothing was counted as audited")
	}
	rules, tenants := l.firewall.Tallies()
	if rules["acme/web"].Flows != 2 || rules["acme/echo"].Flows != 1 || tenants["globex"].Audited == 0 || rules["acme/web"].Last == 0 {
		t.Errorf("%+v %+v", rules, tenants)
	}
}

func TestReloadsLoseNothingAndEndWhatIsDenied(t *testing.T) {
	if !Inside(t) {
		return
	}
	l := policyLab(t)
	ctx := bounded(t)
	web, err := l.dial(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portWeb)})
	if err != nil {
		t.Fatal(err)
	}
	defer web.Close()
	say := func(words string) error {
		if _, err := web.Write([]byte(words)); err != nil {
			return err
		}
		_, err := web.Read(make([]byte, len(words)))
		return err
	}
	if err := say("before"); err != nil {
		t.Fatal(err)
	}
	transferred := make(chan error, 1)
	go func() {
		_, err := l.transfer(ctx, flow{place: AcmeA, network: "tcp", to: netip.AddrPortFrom(InnerB, portBulk)}, download, 100<<20)
		transferred <- err
	}()
	if _, err := l.WaitEvent(ctx, "the transfer", func(e *firewall.FrameEvent) bool {
		return e.Decision.Rule == "acme/bulk" && e.Inner.TCPFlags&inspect.SYN == 0
	}); err != nil {
		t.Fatal(err)
	}
	before := l.Totals()
	start := time.Now()
	ended, reloads := 0, 0
	for ; reloads < 100; reloads++ {
		ended += l.reload(t, fmt.Sprintf(policyRules, "accept"))
	}
	t.Logf("%d reloads in %v", reloads, time.Since(start))
	if ended != 0 {
		t.Errorf("%d flows ended that the rules accept", ended)
	}
	if err := say("after a hundred reloads"); err != nil {
		t.Error(err)
	}
	if ended = l.reload(t, fmt.Sprintf(policyRules, "drop")); ended != 1 {
		t.Errorf("%d flows ended, want the one that is denied now", ended)
	}
	if err := <-transferred; err != nil {
		t.Error("the transfer:", err)
	}
	// Neighbours and the denied flow are dropped now and then; the transfer, and
	// what else belongs to a flow, is not.
	after := l.Totals()
	for _, r := range []reason.Reason{reason.StateInvalid, reason.FlowEndpoint, reason.TCPWindow, reason.TCPReset, reason.TCPSyn, reason.FlowTableFull} {
		if n := after.Reasons[r] - before.Reasons[r]; n > 0 {
			t.Errorf("%d frames were dropped as %v", n, r)
		}
	}
	if rules, _ := l.firewall.Tallies(); rules["acme/bulk"].Dropped > 0 || rules["acme/bulk"].Frames == 0 {
		t.Errorf("the transfer's rule: %+v", rules["acme/bulk"])
	}
	if _, err := web.Write([]byte("anybody?")); err != nil {
		t.Fatal(err)
	}
	if _, err := l.WaitEvent(ctx, "the denied flow", func(e *firewall.FrameEvent) bool {
		return e.Verdict == firewall.Drop && e.Decision.Rule == "acme/web" && e.Reason == reason.RuleDrop
	}); err != nil {
		t.Error(err)
	}
	for i, q := range l.QueueStats() {
		if q.Overruns > 0 || q.Kernel.DroppedFull > 0 || q.Kernel.DroppedBuffer > 0 {
			t.Errorf("queue %d has lost packets: %+v", i, q)
		}
	}
}
