package control

import (
	"bytes"
	"context"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sttwall/policy"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestExplainAsksTheRulesAndTheFlowsThatAreInForce(t *testing.T) {
	fw := newCore(t, testRules)
	c := serve(t, Config{Firewall: fw}).dial(t)
	ask := func(packet, from string) Explanation {
		t.Helper()
		x, err := c.Explain(context.Background(), ExplainRequest{Context: 100, Packet: packet, From: from})
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	const request, reply = "udp 10.0.0.1:9 > 10.0.0.2:53", "udp 10.0.0.2:53 > 10.0.0.1:9"
	telnet := RuleStep{Rule: "acme/no-telnet", File: "test.hcl", Line: 7, Condition: "services", Want: `["tcp/23"]`, Got: "udp/53 from port 9"}
	web := RuleStep{Rule: "acme/web", File: "test.hcl", Line: 11, Matched: true}

	got := ask(request, "")
	want := Explanation{
		Tenant: "context ID 0x64 is tenant acme", Claim: "context_ids 0x64", Rules: []RuleStep{telnet, web}, Action: "accept", Rule: "acme/web",
		Live: &Live{From: endpointA, To: endpointA, State: "original", Begins: true},
	}
	if diff := cmp.Diff(want, got, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
		t.Errorf("before there is a flow (-want +got):\n%s", diff)
	}
	if got := ask(reply, ""); got.Action != "drop" || got.Reason != "tenant_default" || got.Live.Flow != nil || got.Live.State != "new" {
		t.Errorf("a reply to nothing: %+v %+v", got, got.Live)
	}

	fw.send(t, 100, request, false)
	for packet, state := range map[string]string{request: "original", reply: "reply"} {
		got := ask(packet, "")
		l := got.Live
		if got.Action != "accept" || got.Rule != "acme/web" || l.State != state || !l.Belongs || l.Begins || !l.OfFlow || l.Flow == nil ||
			l.Flow.State != "unreplied" || l.Flow.Rule != "acme/web" || cmp.Diff(got.Rules, []RuleStep{telnet, web}) != "" {
			t.Errorf("%s: %+v %+v", packet, got, l)
		}
	}
	if got := ask(reply, "192.0.2.9"); got.Action != "drop" || got.Reason != "flow_endpoint" || got.Live.Belongs || got.Live.Flow == nil || got.Live.From != addr("192.0.2.9") {
		t.Errorf("a forged reply: %+v %+v", got, got.Live)
	}

	if got := ask(reply, "10.47.0.1"); got.Action != "drop" || got.Reason != "endpoint_unknown" || got.Live != nil || !strings.Contains(got.Tenant, "settings.endpoints") {
		t.Errorf("from an endpoint that may not send: %+v", got)
	}

	// Other rules, and no packet since.
	p := compile(t, strings.Replace(testRules, `"udp/53", `, "", 1))
	fw.shared.SetPolicy(p)
	if got := ask(request, ""); got.Action != "drop" || got.Live.State != "stale" || got.Live.Belongs || !got.Live.OfFlow || got.Default == "" {
		t.Errorf("of a flow that the rules deny now: %+v %+v", got, got.Live)
	}
	if f := fw.shared.Flows().Stats(); f.Flows != 1 || f.Ended != 0 {
		t.Errorf("asking has changed the table: %+v", f)
	}
}

func FuzzQuestion(f *testing.F) {
	f.Add([]byte(`{"context": "0x64", "packet": "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn"}`))
	f.Add([]byte(`{"context": 18446744073709551615, "packet": "udp 2001:db8::1:9 > 2001:db8::2:53 from 10.47.0.1", "from": "10.47.0.1", "to": "10.47.0.2"}`))
	f.Add([]byte(`{"context": "1", "packet": "icmp 10.0.0.1 > 10.0.0.2 destination-unreachable/port-unreachable about (udp 10.0.0.2:53 > 10.0.0.1:9)"}`))
	f.Add([]byte(`{"context": -1, "packet": "arp request 10.0.0.1 > 10.0.0.2", "to": "::ffff:10.0.0.1"}`))
	f.Add([]byte(`{"packet": "ethertype 0x88cc", "context": 1e3}`))
	f.Add([]byte(`[`))
	fw := newCore(f, testRules)
	fw.send(f, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	f.Fuzz(func(t *testing.T, body []byte) {
		q, _, err := readQuestion(bytes.NewReader(body), policy.DefaultMSSFloor)
		if err != nil {
			if _, ok := err.(*Error); !ok {
				t.Fatalf("%q: a mistake of ours: %v", body, err)
			}
			return
		}
		x := fw.shared.Explain(fw.now, &q)
		if out := Explained(x.Rules, &x.Decision); out.Tenant == "" || out.Action == "" || (out.Action == "accept") != (out.Reason == "") {
			t.Fatalf("%q: %+v", body, out)
		}
		if s := fw.shared.Flows().Stats(); s.Flows != 1 {
			t.Fatalf("%q: %+v", body, s)
		}
	})
}
