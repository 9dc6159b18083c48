package lab

import (
	"net/netip"
	"strings"
	"testing"

	"sttwall/endpoint"
)

// Everything that real stacks send leaves the firewall anew, whoever has cut it, and
// arrives; a reload turns that on and off under a flow that goes on.
func TestRealTrafficIsRebuilt(t *testing.T) {
	if !Inside(t) {
		return
	}
	const canonical = `
settings {
  endpoints = ["10.47.1.1", "10.47.2.1", "fd47:1::1", "fd47:2::1"]
}
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"
  rule "all" {
    action = "accept"
  }
}
`
	rebuild := strings.Replace(canonical, "settings {", "settings {\n  forward = \"rebuild\"", 1)
	for name, how := range map[string]endpoint.Segmentation{"super-segments": endpoint.SegmentGSO, "segments": endpoint.SegmentMTU} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, Config{Rules: []byte(rebuild), RulesName: "policy.hcl", Queues: 2, Segmentation: how})
			l.serveOn(t, AcmeB)
			ctx := bounded(t)
			for _, to := range []netip.Addr{InnerB, InnerB6} {
				if err := l.exchange(ctx, flow{place: AcmeA, network: "udp", to: netip.AddrPortFrom(to, portEcho)}, []byte("hello")); err != nil {
					t.Error(err)
				}
				for _, d := range []direction{upload, download} {
					if _, err := l.transfer(ctx, flow{place: AcmeA, to: netip.AddrPortFrom(to, portBulk), network: "tcp"}, d, 1<<20); err != nil {
						t.Error(err)
					}
				}
			}
			if n := l.Totals(); n.FramesAccepted == 0 || n.FramesRewritten != n.FramesAccepted || n.FrameIDsReplaced != n.FramesAccepted {
				t.Errorf("%d frames were accepted, %d of them left anew, %d with a frame ID of the firewall's", n.FramesAccepted, n.FramesRewritten, n.FrameIDsReplaced)
			}

			c, err := l.dial(ctx, flow{place: AcmeA, network: "udp", to: netip.AddrPortFrom(InnerB, portEcho)})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			deadline, _ := ctx.Deadline()
			if err := c.SetDeadline(deadline); err != nil {
				t.Fatal(err)
			}
			for _, rules := range []string{rebuild, canonical, rebuild} {
				l.reload(t, rules)
				before := l.Totals()
				for range 3 {
					if _, err := c.Write([]byte("hello")); err != nil {
						t.Fatal(err)
					}
					if n, err := c.Read(make([]byte, 10)); err != nil || n != 5 {
						t.Fatalf("%d bytes, %v", n, err)
					}
				}
				after := l.Totals()
				// Whatever else is encoded anew keeps its frame ID.
				anew, accepted := after.FrameIDsReplaced-before.FrameIDsReplaced, after.FramesAccepted-before.FramesAccepted
				if want := map[bool]uint64{true: accepted}[rules == rebuild]; anew != want || accepted < 6 {
					t.Errorf("%d of %d frames left with a frame ID of the firewall's, want %d", anew, accepted, want)
				}
			}
		})
	}
}
