package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"sttwall/conntrack"
)

func TestFlowsShowBothDirectionsAndTheirRule(t *testing.T) {
	fw := newCore(t, testRules)
	c := serve(t, Config{Firewall: fw}).dial(t)
	if got, err := c.Flows(context.Background(), FlowQuery{}); err != nil || got.Flows == nil || len(got.Flows) != 0 || got.Next != "" {
		t.Errorf("none: %+v, %v", got, err)
	}
	fw.send(t, 100, "tcp 10.0.0.1:40000 > 10.0.0.2:443 syn vlan 7", false)
	fw.now += int64(2 * time.Second)
	fw.send(t, 100, "tcp 10.0.0.2:443 > 10.0.0.1:40000 syn ack seq 9 ack-number 1 vlan 7", true)
	fw.send(t, 100, "icmp 10.0.0.1 > 10.0.0.2 echo-request id 77", false)
	fw.send(t, 200, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	fw.now += int64(time.Second)

	got, err := c.Flows(context.Background(), FlowQuery{})
	if err != nil {
		t.Fatal(err)
	}
	id100, id200, port := ContextID(100), ContextID(200), func(n uint16) *uint16 { return &n }
	kind := uint8(8)
	want := map[string]Flow{
		"tcp": {
			Tenant: "acme", Context: 100, ReplyContext: &id100, VLANs: []uint16{7}, State: "syn_received", Verdict: "accept", Rule: "acme/web",
			Inner: Inner{Protocol: "tcp", Src: addr("10.0.0.1"), SrcPort: port(40000), Dst: addr("10.0.0.2"), DstPort: port(443)},
			From:  endpointA, To: endpointB,
		},
		"icmp": {
			Tenant: "acme", Context: 100, State: "unreplied", Verdict: "accept", Rule: "acme/web",
			Inner: Inner{Protocol: "icmp", Src: addr("10.0.0.1"), Dst: addr("10.0.0.2"), ICMPID: port(77), ICMPType: &kind},
			From:  endpointA, To: endpointB,
		},
		"udp": {
			Tenant: "globex", Context: id200, State: "unreplied", Verdict: "accept", WouldBe: "drop", Reason: "tenant_default",
			Inner: Inner{Protocol: "udp", Src: addr("10.0.0.1"), SrcPort: port(9), Dst: addr("10.0.0.2"), DstPort: port(53)},
			From:  endpointA, To: endpointB,
		},
	}
	if len(got.Flows) != len(want) {
		t.Fatalf("%d flows, want %d", len(got.Flows), len(want))
	}
	for _, f := range got.Flows {
		if h, err := conntrack.ParseHandle(f.ID); err != nil || !fw.shared.Flows().Look(h, new(conntrack.Flow)) {
			t.Errorf("the ID %q names no flow: %v", f.ID, err)
		}
		f.ID = ""
		begun, last, expires := got.Time.Sub(f.Begun), got.Time.Sub(f.Last), f.Expires.Sub(got.Time)
		w := want[f.Protocol]
		packets := [2]uint64{1, 0}
		ages := [3]time.Duration{time.Second, time.Second, 29 * time.Second}
		if f.Protocol == "tcp" {
			packets = [2]uint64{1, 1}
			ages = [3]time.Duration{3 * time.Second, time.Second, 59 * time.Second}
		}
		if ages != [3]time.Duration{begun, last, expires} {
			t.Errorf("%s: begun %v ago, last %v ago, expires in %v; want %v", f.Protocol, begun, last, expires, ages)
		}
		if packets != [2]uint64{f.Original.Packets, f.Reply.Packets} || f.Original.Bytes == 0 || (f.Reply.Bytes > 0) != (packets[1] > 0) {
			t.Errorf("%s: %+v, %+v", f.Protocol, f.Original, f.Reply)
		}
		f.Begun, f.Last, f.Expires, f.Original, f.Reply = w.Begun, w.Last, w.Expires, w.Original, w.Reply
		if diff := cmp.Diff(w, f, cmpopts.EquateComparable(netip.Addr{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", f.Protocol, diff)
		}
	}
}

func TestFlowsArePagedAndChosen(t *testing.T) {
	fw := newCore(t, testRules)
	c := serve(t, Config{Firewall: fw}).dial(t)
	const each = 300
	for i := range each {
		for _, context := range []uint64{100, 200} {
			if !fw.send(t, context, fmt.Sprintf("udp 10.0.0.1:%d > 10.0.0.2:53", 1000+i), false) {
				t.Fatal("dropped")
			}
		}
	}
	if _, err := c.Flows(context.Background(), FlowQuery{Tenant: "initech"}); err == nil || err.Error() != `there is no tenant "initech"` {
		t.Errorf("of a tenant that there is not: %v", err)
	}
	for _, tt := range []struct {
		name string
		q    FlowQuery
		want int
	}{
		{"all at once", FlowQuery{}, 2 * each},
		{"a tenant's", FlowQuery{Tenant: "acme"}, each},
		{"in audit mode", FlowQuery{Audit: true}, each},
		{"in small pages", FlowQuery{Limit: 7}, 2 * each},
		{"a tenant's, in small pages", FlowQuery{Tenant: "globex", Limit: 11}, each},
		{"selected", FlowQuery{Filter: "sport:1000-1009 or tenant:globex sport:>1289"}, 30},
		{"selected, in small pages", FlowQuery{Filter: "tenant:acme dport:53 not host:10.0.0.3", Limit: 13}, each},
		{"selected by what audit mode does", FlowQuery{Tenant: "globex", Filter: "audit reason:tenant_default"}, each},
		{"a tenant's in audit mode, which it is not", FlowQuery{Tenant: "acme", Audit: true}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			seen := map[string]bool{}
			q := tt.q
			for pages := 1; ; pages++ {
				page, err := c.Flows(context.Background(), q)
				if err != nil {
					t.Fatal(err)
				}
				if q.Limit > 0 && len(page.Flows) > q.Limit || page.Next != "" && q.Limit > 0 && len(page.Flows) < q.Limit {
					t.Fatalf("%d flows on a page of %d", len(page.Flows), q.Limit)
				}
				for _, f := range page.Flows {
					name := fmt.Sprint(f.Tenant, *f.SrcPort)
					if seen[name] || q.Tenant != "" && f.Tenant != q.Tenant || q.Audit && f.WouldBe != "drop" {
						t.Fatalf("%+v", f)
					}
					seen[name] = true
				}
				if q.After = page.Next; q.After == "" {
					break
				}
				if pages > 2*each+1 {
					t.Fatal("the pages do not end")
				}
			}
			if len(seen) != tt.want {
				t.Errorf("%d flows, want %d", len(seen), tt.want)
			}
		})
	}
}

func TestWhatTakesItsTimeWaitsForItsTurnAndNoLonger(t *testing.T) {
	s := serve(t, Config{})
	for range maxHeavy {
		s.heavy <- struct{}{}
	}
	ctx, stop := context.WithCancel(context.Background())
	waited := make(chan error, 2)
	ask := func(ctx context.Context) {
		_, err := s.dial(t).Flows(ctx, FlowQuery{})
		waited <- err
	}
	go ask(ctx)
	go ask(context.Background())
	stop()
	if err := <-waited; err != context.Canceled {
		t.Errorf("one that has given up: %v", err)
	}
	<-s.heavy
	if err := <-waited; err != nil {
		t.Errorf("the other: %v", err)
	}
	s.heavy <- struct{}{}
	if _, err := s.dial(t).Status(context.Background()); err != nil {
		t.Errorf("what takes no time: %v", err)
	}
}

// What is not said yet, or not taken, must not keep others from their turn.
func TestASlowClientTakesNobodysTurn(t *testing.T) {
	var rules strings.Builder
	rules.WriteString("tenant \"acme\" {\n context_ids = [100]\n")
	for i := range 10_000 {
		fmt.Fprintf(&rules, "rule \"r%d\" {\n action = \"accept\"\n services = [\"tcp/%d\"]\n}\n", i, i)
	}
	s := serve(t, Config{Firewall: newCore(t, rules.String()+"}\n")})
	ctx, stop := context.WithTimeout(context.Background(), 5*time.Minute)
	defer stop()

	for range maxHeavy {
		s.heavy <- struct{}{}
	}
	var refused *Error
	if _, err := s.dial(t).Explain(ctx, ExplainRequest{Packet: "no packet"}); !errors.As(err, &refused) || refused.Code != http.StatusBadRequest {
		t.Errorf("a question that is none, while others are at work: %v", err)
	}
	for range maxHeavy {
		<-s.heavy
	}

	// An answer of some megabytes fits into no socket.
	c, err := net.Dial("unix", s.path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "GET /v1/rules HTTP/1.1\r\nHost: sttwall\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 1)); err != nil { // it is written
		t.Fatal(err)
	}
	for len(s.answers) != 1 && ctx.Err() == nil { // the question before may be about to leave its place
		time.Sleep(time.Millisecond)
	}
	if len(s.answers) != 1 || len(s.heavy) != 0 {
		t.Errorf("%d places are taken by an answer that waits, and %d by work", len(s.answers), len(s.heavy))
	}
	if got, err := s.dial(t).Rules(ctx); err != nil || len(got) != 10_000 {
		t.Errorf("%d rules, %v", len(got), err)
	}
	// Of those who only read, as many as can be do not take theirs.
	for range maxReadersAnswers {
		s.readers <- struct{}{}
	}
	if _, err := s.dial(t).Flows(ctx, FlowQuery{}); err != nil {
		t.Errorf("who may change things waits for those who read: %v", err)
	}
}
