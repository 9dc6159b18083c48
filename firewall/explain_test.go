package firewall

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/describe"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/stt"
)

// explainRules has something for each way through the policy. The number of the
// rules' variant moves the ports.
func explainRules(variant int) string {
	return fmt.Sprintf(`
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "acme" {
  context_ids = [100, 101]
  endpoints   = ["192.0.2.1", "192.0.2.2"]
  limits {
    flows            = 5
    flows_per_source = 2
    half_open        = 1
  }
  rule "stateless" {
    action   = "accept"
    state    = "stateless"
    services = ["udp/%d"]
  }
  rule "web" {
    action   = "accept"
    services = ["tcp/80", "udp/%d", "icmp/echo-request"]
  }
  rule "refused" {
    action   = "reject"
    services = ["udp/%d"]
  }
}
tenant "trial" {
  context_ids = [200]
  mode        = "audit"
  rule "dns" {
    action   = "accept"
    services = ["udp/%d"]
  }
}
tenant "open" {
  context_ids    = [300]
  default_action = "accept"
}
tenant "ovn" {
  context_layout = "ovn"
  datapaths      = [7, 8]
  rule "out" {
    action       = "accept"
    ingress_port = [1]
    services     = ["tcp/80", "udp/%d"]
  }
  rule "out-2" {
    action       = "accept"
    ingress_port = [2]
    services     = ["tcp/80", "udp/1-3"]
  }
}
`, 1+variant%4, 1+(variant+1)%4, 1+(variant+2)%4, 1+(variant+3)%4, 1+variant%4)
}

// randomDescription describes a packet of one of few flows, and says whether it
// goes back.
func randomDescription(r *rand.Rand) (text string, back bool) {
	a, b, six := "10.0.0.1", "10.0.0.2", r.IntN(4) == 0
	icmp := "icmp"
	if six {
		a, b, icmp = "2001:db8::1", "2001:db8::2", "icmpv6"
	}
	ap, bp := fmt.Sprint(1000+r.IntN(2)), fmt.Sprint(1+r.IntN(4))
	seq, ack := 1000+r.IntN(2), 5000+r.IntN(2)
	back = r.IntN(2) == 0
	if back {
		a, b, seq, ack = b, a, ack, seq
	}
	switch r.IntN(8) {
	case 0:
		return fmt.Sprintf("%s %s > %s %s id %d", icmp, a, b, []string{"echo-request", "echo-reply"}[r.IntN(2)], r.IntN(2)), back
	case 1:
		return fmt.Sprintf("%s %s > %s destination-unreachable/port-unreachable about (udp %s > %s)", icmp, a, b,
			net.JoinHostPort(b, ap), net.JoinHostPort(a, bp)), back
	case 2:
		return "arp request 10.0.0.1 > 10.0.0.2", back
	case 3, 4:
		bp = "80"
		if back {
			ap, bp = bp, ap
		}
		return fmt.Sprintf("tcp %s > %s %s seq %d ack-number %d win 500", net.JoinHostPort(a, ap), net.JoinHostPort(b, bp),
			[]string{"syn", "syn ack", "ack", "fin ack", "rst"}[r.IntN(5)], seq, ack), back
	}
	if back {
		ap, bp = bp, ap
	}
	return fmt.Sprintf("udp %s > %s", net.JoinHostPort(a, ap), net.JoinHostPort(b, bp)), back
}

func TestExplainSaysWhatTheFirewallThenDoes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	b := newBench(t, benchConfig{rules: explainRules(0)})
	var policies []*policy.Policy
	for i := range 4 {
		policies = append(policies, compile(t, explainRules(i)))
	}
	const ovn = 1<<40 | 2<<24 | 7 // ingress port 1, egress port 2, datapath 7
	seen := map[string]int{}
	wanted := []string{
		"stale false true false true drop false", "stale false true false true reject false", // flows that other rules deny
		"original true true false true accept true", "reply true true false true accept false", "related true true false true accept false",
		"new false false false false accept false", // stateless
		"other_context false true false true drop false", "ovn", "ovn by another port", "context_reserved",
	}
	for _, r := range []reason.Reason{reason.ContextUnknown, reason.TenantEndpoint, reason.RuleReject, reason.TenantDefault, reason.StateInvalid,
		reason.FlowEndpoint, reason.TCPWindow, reason.TCPReset, reason.TCPSyn, reason.TenantFlows, reason.SourceFlows, reason.HalfOpenLimit} {
		wanted = append(wanted, r.String())
	}
	missing := func() (out []string) {
		for _, want := range wanted {
			if seen[want] == 0 {
				out = append(out, want)
			}
		}
		return out
	}
	// Some are so rare that one run of 400 has none of them in 12000 packets.
	for n := 0; n < 12_000 || n < 200_000 && missing() != nil; n++ {
		b.now += int64(r.IntN(100)) * int64(time.Millisecond)
		if r.IntN(20) == 0 {
			b.shared.SetPolicy(policies[r.IntN(4)])
			if r.IntN(4) == 0 {
				b.shared.Rejudge(b.now)
			}
		}
		if r.IntN(500) == 0 { // all flows are over
			b.now += int64(48 * time.Hour)
		}
		// What [conntrack.Table.Create] would forget where it meets a limit.
		b.shared.Flows().Expire(b.now, 1<<20)
		text, back := randomDescription(r)
		d, err := describe.Parse(text)
		if err != nil {
			t.Fatal(text, err)
		}
		id := []uint64{100, 100, 100, 101, 200, 300, 400, 1<<60 | 7, ovn, ovn, ovn}[r.IntN(11)]
		if id == ovn && back {
			id, _ = policy.OVNReverse(id + uint64(r.IntN(2))) // routed: another datapath
		} else if id == ovn {
			id += uint64(max(0, r.IntN(6)-3)) << 40 // half of them from ingress port 2 or 3
		}
		p := path()
		p.Dst = endpointB
		if back != (r.IntN(20) == 0) {
			p.Src, p.Dst = endpointB, endpointA
		}
		if r.IntN(50) == 0 {
			p.Src = netip.MustParseAddr("192.0.2.9")
		}
		q := Question{ContextID: id, Frame: &d.Frame, Data: d.Data, From: p.Src, To: p.Dst}
		x := b.shared.Explain(b.now, &q)
		if again := b.shared.Explain(b.now, &q); !reflect.DeepEqual(again, x) {
			t.Fatalf("packet %d, %s: an explanation has changed something: %+v, then %+v", n, text, x, again)
		}
		b.events = b.events[:0]
		b.send(cut(p, uint32(n), sttFrame(stt.FrameHeader{ContextID: id, Flags: stt.FlagChecksumVerified}, d.Data), 0)...)
		e := &b.events[0]
		if x.Decision != e.Decision || x.Begins != e.Begins || x.Decision.Reason != e.Reason {
			t.Fatalf("packet %d, context %d, %s from %s: explained as %+v, was %+v", n, id, text, p.Src, x.Decision, e.Decision)
		}
		if denied := (x.State == conntrack.StateStale || x.State == conntrack.StateOtherContext) && x.Decision.Action != policy.Accept; !denied && x.State != e.State {
			t.Fatalf("packet %d, %s: explained as %v, was %v", n, text, x.State, e.State)
		}
		if x.Belongs != (!e.Begins && (e.State == conntrack.StateOriginal || e.State == conntrack.StateReply || e.State == conntrack.StateRelated)) {
			t.Fatalf("packet %d, %s: belongs %v, state %v", n, text, x.Belongs, e.State)
		}
		if (x.Belongs && x.Decision.Action == policy.Accept || x.State == conntrack.StateOtherContext) && x.Rules.Decision.Rule != e.Decision.Rule {
			t.Fatalf("packet %d, %s: the rules of its flow say %+v, and it was %+v", n, text, x.Rules.Decision, e.Decision)
		}
		if x.Belongs && id == ovn {
			seen["ovn"]++
		}
		if x.Belongs && e.State == conntrack.StateOriginal && x.Flow.Contexts[0] != id && x.Flow.Decision.Rule != e.Decision.Rule {
			seen["ovn by another port"]++
		}
		seen[fmt.Sprint(x.State, x.Belongs, x.OfFlow, x.Begins, x.Flow != nil, x.Decision.Action, x.Decision.Audit)]++
		if e.Reason != reason.None {
			seen[e.Reason.String()]++
		}
	}
	if missing := missing(); missing != nil {
		t.Errorf("nothing was %q: %v", missing, seen)
	}
}

func TestExplainWithoutEndpointsTakesThoseOfTheFlow(t *testing.T) {
	b := newBench(t, benchConfig{rules: explainRules(0)})
	ask := func(text string) *Explanation {
		t.Helper()
		d, err := describe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return b.shared.Explain(b.now, &Question{ContextID: 100, Frame: &d.Frame, Data: d.Data})
	}
	if x := ask("udp 10.0.0.2:2 > 10.0.0.1:1000"); x.Flow != nil || x.State != conntrack.StateNew || x.Decision.Reason != reason.TenantDefault {
		t.Errorf("a reply to nothing: %+v", x)
	}
	d, err := describe.Parse("udp 10.0.0.1:1000 > 10.0.0.2:2")
	if err != nil {
		t.Fatal(err)
	}
	p := path()
	p.Src, p.Dst = endpointB, endpointA
	b.send(cut(p, 1, sttFrame(stt.FrameHeader{ContextID: 100}, d.Data), 0)...)
	for text, want := range map[string]struct {
		from  netip.Addr
		state conntrack.State
	}{
		"udp 10.0.0.1:1000 > 10.0.0.2:2": {endpointB, conntrack.StateOriginal},
		"udp 10.0.0.2:2 > 10.0.0.1:1000": {endpointA, conntrack.StateReply},
		"icmp 10.0.0.9 > 10.0.0.1 destination-unreachable/port-unreachable about (udp 10.0.0.1:1000 > 10.0.0.2:2)": {endpointA, conntrack.StateRelated},
	} {
		x := ask(text)
		if x.State != want.state || x.From != want.from || !x.Belongs || !x.OfFlow || x.Flow == nil || x.Flow.Decision.Rule != "acme/web" || x.Decision.Rule != "acme/web" {
			t.Errorf("%s: %+v", text, x)
		}
	}
	// Other rules deny it.
	b.shared.SetPolicy(compile(t, explainRules(3)))
	for _, text := range []string{"udp 10.0.0.1:1000 > 10.0.0.2:2", "udp 10.0.0.2:2 > 10.0.0.1:1000"} {
		x := ask(text)
		if x.State != conntrack.StateStale || x.Belongs || !x.OfFlow || x.Flow == nil {
			t.Errorf("%s: %+v", text, x)
		}
	}
	if n := b.shared.Flows().Stats().Flows; n != 1 {
		t.Errorf("%d flows after it was asked, want 1", n)
	}
}

func TestFlowsAreShownWithWhatTheRulesOfNowSay(t *testing.T) {
	b := newBench(t, benchConfig{rules: explainRules(0)})
	for i, s := range []struct {
		id   uint64
		text string
	}{{100, "udp 10.0.0.1:1000 > 10.0.0.2:2"}, {200, "udp 10.0.0.1:1000 > 10.0.0.2:9"}, {300, "udp 10.0.0.1:1000 > 10.0.0.2:2"}} {
		d, err := describe.Parse(s.text)
		if err != nil {
			t.Fatal(err)
		}
		b.send(cut(path(), uint32(i), sttFrame(stt.FrameHeader{ContextID: s.id}, d.Data), 0)...)
	}
	show := func() map[string]string {
		got := map[string]string{}
		if _, more := b.shared.WalkFlows(b.now, conntrack.Cursor{}, func(v *FlowView) bool {
			d := &v.Decision
			got[v.Tenant] = fmt.Sprintf("%v by %q, %v %v, %v, port %d", d.Action, d.Rule, d.Audit, d.WouldBe, d.Would, v.Key.DstPort)
			return true
		}); more {
			t.Error("there is more")
		}
		// A look shows the same, in whichever way it is asked.
		look := b.shared.FlowLook(b.now)
		rows := 0
		look.Rows(func(r *FlowRow) bool {
			var v, again FlowView
			var d policy.Decision
			r.View(&v)
			r.Decision(&d)
			if !b.shared.FlowLook(b.now).Flow(r.Handle(), &again) || v != again || d != v.Decision {
				t.Errorf("a row is %+v, its flow %+v, its decision %+v", v, again, d)
			}
			if i := r.TenantIndex(); i < 0 && v.Tenant != "" || i >= 0 && look.Policy().Tenants()[i] != v.Tenant {
				t.Errorf("tenant %d is %q", i, v.Tenant)
			}
			if text := fmt.Sprintf("%v by %q, %v %v, %v, port %d", d.Action, d.Rule, d.Audit, d.WouldBe, d.Would, v.Key.DstPort); got[v.Tenant] != text {
				t.Errorf("a look says %s of %q, a walk %s", text, v.Tenant, got[v.Tenant])
			}
			rows++
			return true
		})
		if rows != 3 {
			t.Errorf("a look shows %d flows", rows)
		}
		if look.Rows(func(*FlowRow) bool { rows++; return false }); rows != 4 {
			t.Error("a look does not end")
		}
		return got
	}
	want := map[string]string{
		"acme":  `accept by "acme/web", false drop, none, port 2`,
		"trial": `accept by "", true drop, tenant_default, port 9`,
		"open":  `accept by "", false drop, none, port 2`,
	}
	if got := show(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if flows, _ := b.shared.TenantFlows("acme"); flows != 1 {
		t.Errorf("%d flows of acme", flows)
	}
	if flows, _ := b.shared.TenantFlows("nobody"); flows != 0 {
		t.Errorf("%d flows of nobody", flows)
	}
	// The rules are others, and no packet has come since.
	b.shared.SetPolicy(compile(t, explainRules(3)))
	want["acme"] = `reject by "acme/refused", false drop, none, port 2`
	if got := show(); !reflect.DeepEqual(got, want) {
		t.Errorf("under other rules: got %v, want %v", got, want)
	}
}

func TestExplainTakesTheNumbersThatAFlowExpects(t *testing.T) {
	b := newBench(t, benchConfig{rules: explainRules(0)})
	packet := func(text string) *describe.Packet {
		t.Helper()
		d, err := describe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	for i, s := range []struct {
		text string
		back bool
	}{
		{"tcp 10.0.0.1:1000 > 10.0.0.2:80 syn seq 4294967290", false},
		{"tcp 10.0.0.2:80 > 10.0.0.1:1000 syn ack seq 7000 ack-number 4294967291", true},
		{"tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 4294967291 ack-number 7001 len 100", false},
	} {
		p := path()
		if s.back {
			p.Src, p.Dst = p.Dst, p.Src
		}
		b.send(cut(p, uint32(i), sttFrame(stt.FrameHeader{ContextID: 100, Flags: stt.FlagChecksumVerified}, packet(s.text).Data), 0)...)
	}
	for _, tt := range []struct {
		text string
		any  bool
		want string
	}{
		{"tcp 10.0.0.1:1000 > 10.0.0.2:80 ack", true, "original true none"},
		{"tcp 10.0.0.2:80 > 10.0.0.1:1000 ack len 500", true, "reply true none"},
		{"tcp 10.0.0.2:80 > 10.0.0.1:1000 rst", true, "reply true none"},
		{"tcp 10.0.0.1:1000 > 10.0.0.2:80 syn", true, "invalid false tcp_syn"},
		{"tcp 10.0.0.1:1000 > 10.0.0.2:80 ack seq 99999999", false, "invalid false tcp_window"},
		{"tcp 10.0.0.1:1001 > 10.0.0.2:80 ack", true, "invalid false state_invalid"},
	} {
		d := packet(tt.text)
		was := slices.Clone(d.Data)
		x := b.shared.Explain(b.now, &Question{ContextID: 100, Frame: &d.Frame, Data: d.Data, AnyNumbers: tt.any})
		if got := fmt.Sprint(x.State, " ", x.Belongs, " ", x.Decision.Reason); got != tt.want || x.NumbersTaken != (tt.any && x.Flow != nil) {
			t.Errorf("%s: got %s, numbers taken %v, want %s", tt.text, got, x.NumbersTaken, tt.want)
		}
		if !slices.Equal(d.Data, was) {
			t.Errorf("%s: the packet was changed", tt.text)
		}
	}
}

// What is denied by itself, and not for the first packet of a flow that it names, is
// not explained by that one.
func TestExplainShowsTheRulesThatHaveDecided(t *testing.T) {
	const rules = `
settings {
  endpoints = ["192.0.2.0/24"]
}
tenant "one" {
  context_layout = "ovn"
  datapaths      = [%s]
  rule "port-3" {
    action       = "accept"
    ingress_port = [3]
  }
  rule "port-6" {
    action       = "accept"
    ingress_port = [6]
    services     = ["tcp"]
    tcp_flags    = ["syn"]
    state        = "stateless"
  }
}
tenant "other" {
  context_layout = "ovn"
  datapaths      = [%s]
  default_action = "accept"
}
`
	const there, elsewhere, back = 3<<40 | 4<<24 | 7, 6<<40 | 4<<24 | 7, 4<<40 | 3<<24 | 8
	b := newBench(t, benchConfig{rules: fmt.Sprintf(rules, "7, 8", "9")})
	if e := b.meet(there, "tcp 10.0.0.1:1 > 10.0.0.2:2 syn seq 1000 from 192.0.2.1 to 192.0.2.2"); !e.Begins {
		t.Fatal(e.Reason)
	}
	const answer = "tcp 10.0.0.2:2 > 10.0.0.1:1 syn,ack seq 5000 ack-number 1001 from 192.0.2.2 to 192.0.2.1"
	if e := b.meet(back, answer); e.State != conntrack.StateReply {
		t.Fatal(e.Reason)
	}
	check := func(what string, id uint64, text string, state conntrack.State) {
		t.Helper()
		d, err := describe.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		x := b.shared.Explain(b.now, &Question{ContextID: id, Frame: &d.Frame, Data: d.Data, From: d.From, To: d.To})
		if x.State != state || x.OfFlow || x.Rules.Decision.Action != policy.Drop {
			t.Errorf("%s: %v, of the flow %v: the rules say %+v, and it is %+v", what, x.State, x.OfFlow, x.Rules.Decision, x.Decision)
		}
		if e := b.meet(id, text); e.Decision != x.Decision {
			t.Errorf("%s: was %+v, explained as %+v", what, e.Decision, x.Decision)
		}
	}
	check("from a port whose flows need no state", elsewhere, "tcp 10.0.0.1:1 > 10.0.0.2:2 ack seq 1001 ack-number 5001 from 192.0.2.1 to 192.0.2.2", conntrack.StateUntracked)
	b.shared.SetPolicy(compile(t, fmt.Sprintf(rules, "8", "7, 9")))
	check("an answer to what is another tenant's now", back, answer, conntrack.StateStale)
}
