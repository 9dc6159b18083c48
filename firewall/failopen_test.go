package firewall

import (
	"fmt"
	"testing"

	"sttwall/policy"
	"sttwall/reason"
)

// What passes without a flow where there is no room for one, closed and open.
func TestWhatTheFullTableLetsPass(t *testing.T) {
	const (
		first    = "udp 10.0.0.1:1 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2"
		answered = "udp 10.0.0.2:53 > 10.0.0.1:1 from 192.0.2.2 to 192.0.2.1"
	)
	for _, tt := range []struct {
		name    string
		context uint64
		fill    []string // of context 400
		flows   int
		text    string
		closed  reason.Reason
		open    reason.Reason
	}{
		{"the table is full", 400, []string{first, answered}, 1, "udp 10.0.0.1:2 > 10.0.0.2:53", reason.FlowTableFull, reason.None},
		{"a SYN", 400, []string{first, answered}, 1, "tcp 10.0.0.1:2 > 10.0.0.2:80 syn", reason.FlowTableFull, reason.None},
		{"and what follows it", 400, []string{first, answered}, 1, "tcp 10.0.0.1:2 > 10.0.0.2:80 ack", reason.StateInvalid, reason.None},
		{"but not where the rules do not accept it: an answer", 400, []string{first, answered}, 1, "tcp 10.0.0.2:80 > 10.0.0.1:2 syn ack", reason.TenantDefault, reason.TenantDefault},
		{"nor what they reject", 400, []string{first, answered}, 1, "udp 10.0.0.1:2 > 10.0.0.2:113", reason.RuleReject, reason.RuleReject},
		{"a packet of a known flow goes its way", 400, []string{first, answered}, 1, first, reason.None, reason.None},
		{"one that claims to be of it does not", 400, []string{first, answered}, 1, "udp 10.0.0.1:1 > 10.0.0.2:53 from 192.0.2.9 to 192.0.2.2", reason.FlowEndpoint, reason.FlowEndpoint},
		{"from where its tenant may not be", 500, []string{first, answered}, 1, "udp 10.0.0.1:2 > 10.0.0.2:53 from 192.0.2.7 to 192.0.2.2", reason.TenantEndpoint, reason.TenantEndpoint},
		{"while there is room, TCP in the middle is dropped", 400, []string{first, answered}, 100, "tcp 10.0.0.1:2 > 10.0.0.2:80 ack", reason.StateInvalid, reason.StateInvalid},
	} {
		for _, open := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/open=%v", tt.name, open), func(t *testing.T) {
				b := stateBench(t, tt.flows)
				b.shared.FailOpen(open)
				for _, text := range tt.fill {
					if e := b.meet(400, text); e.Reason != reason.None {
						t.Fatalf("%s: %v", text, e.Reason)
					}
				}
				before := b.shared.Flows().Stats().Flows
				e := b.meet(tt.context, tt.text)
				want := tt.closed
				if open {
					want = tt.open
				}
				if e.Reason != want {
					t.Errorf("got %v, want %v", e.Reason, want)
				}
				opened := uint64(0)
				if open && tt.open != tt.closed {
					opened = 1
					if !e.Decision.Stateless || e.Begins || e.Decision.Action != policy.Accept {
						t.Errorf("it passes by %+v", e.Decision)
					}
				}
				if n := b.fw.Counters().FramesOpened.Load(); n != opened || b.shared.Flows().Stats().Flows != before {
					t.Errorf("%d frames passed open, want %d; %d flows, of %d", n, opened, b.shared.Flows().Stats().Flows, before)
				}
			})
		}
	}
}

// The share of an endpoint is opened too; the limits of a tenant never are.
func TestTheShareIsOpenedAndLimitsAreNot(t *testing.T) {
	for _, open := range []bool{false, true} {
		b := stateBench(t, 4)
		b.shared.FailOpen(open)
		for i := range 3 { // of four flows three are the share
			b.meet(400, fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2", 1+i))
			b.meet(400, fmt.Sprintf("udp 10.0.0.2:53 > 10.0.0.1:%d from 192.0.2.2 to 192.0.2.1", 1+i))
		}
		want := reason.EndpointFlows
		if open {
			want = reason.None
		}
		if e := b.meet(400, "udp 10.0.0.1:9 > 10.0.0.2:53 from 192.0.2.1 to 192.0.2.2"); e.Reason != want {
			t.Errorf("open %v, beyond the share: got %v, want %v", open, e.Reason, want)
		}

		b = stateBench(t, 100)
		b.shared.FailOpen(open)
		for _, r := range []reason.Reason{reason.TenantFlows, reason.SourceFlows, reason.HalfOpenLimit} {
			if b.fw.opens(r) {
				t.Errorf("%v is opened", r)
			}
		}
		var last *FrameEvent
		for i := range 5 {
			last = b.meet(600, fmt.Sprintf("udp 10.0.%d.1:1 > 10.0.0.2:53", i))
		}
		if last.Reason == reason.None {
			t.Errorf("open %v: a tenant with three flows has begun five", open)
		}
	}
}
