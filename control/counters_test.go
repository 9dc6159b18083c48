package control

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"sttwall/reason"
)

func TestHitsGoOnOverAReloadAndTellSinceWhenARuleIsUnused(t *testing.T) {
	fw := newCore(t, testRules)
	c := serve(t, Config{Firewall: fw}).dial(t)
	begin := fw.now
	fw.now += int64(10 * time.Second)
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	fw.now += int64(10 * time.Second)
	fw.send(t, 100, "udp 10.0.0.2:53 > 10.0.0.1:9", true)
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	fw.send(t, 200, "udp 10.0.0.1:9 > 10.0.0.2:53", false)
	fw.now += int64(10 * time.Second)
	fw.reload(t, testRules+"tenant \"initech\" {\n  context_ids = [300]\n  rule \"none\" {\n    action = \"drop\"\n  }\n}\n")
	fw.now += int64(10 * time.Second)

	type row struct {
		Frames, Flows, Dropped, Audited uint64
		First, Last, Unused             time.Duration // before now; 0: never
	}
	// At some time since then the firewall answers, by what it takes for now.
	asked := time.Now()
	rowOf := func(h Hits) row {
		r := row{h.Frames, h.Flows, h.Dropped, h.Audited, 0, 0, 0}
		for _, at := range []struct {
			time *time.Time
			into *time.Duration
		}{{h.First, &r.First}, {h.Last, &r.Last}, {h.UnusedSince, &r.Unused}} {
			if at.time != nil {
				least, most := asked.Sub(*at.time), time.Since(*at.time)+time.Millisecond // which it is rounded to
				if *at.into = most.Truncate(10 * time.Second); *at.into < least-time.Second {
					*at.into = most
				}
			}
		}
		return r
	}
	rules, err := c.Rules(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	got, lines := map[string]row{}, []int{}
	for _, r := range rules {
		got[r.Rule] = rowOf(r.Hits)
		lines = append(lines, r.Line)
		if r.File != "test.hcl" || (r.Bytes > 0) != (r.Frames > 0) {
			t.Errorf("%+v", r)
		}
	}
	if diff := cmp.Diff(map[string]row{
		"acme/no-telnet": {Unused: time.Duration(fw.now - begin)},
		"acme/web":       {Frames: 2, Flows: 1, First: 30 * time.Second, Last: 20 * time.Second},
		"initech/none":   {Unused: 10 * time.Second},
	}, got); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int{7, 11, 23}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s", diff)
	}
	tenants, err := c.Tenants(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	clear(got)
	for _, n := range tenants {
		got[n.Tenant] = rowOf(n.Hits)
		if n.Audit != (n.Tenant == "globex") || n.FlowsNow != map[string]int{"acme": 1, "globex": 1}[n.Tenant] || n.HalfOpen != 0 {
			t.Errorf("%+v", n)
		}
	}
	if diff := cmp.Diff(map[string]row{
		"acme":    {Frames: 3, Flows: 1, Dropped: 1, First: 30 * time.Second, Last: 20 * time.Second},
		"globex":  {Frames: 1, Flows: 1, Audited: 1, First: 20 * time.Second, Last: 20 * time.Second},
		"initech": {Unused: 10 * time.Second},
	}, got); diff != "" {
		t.Errorf("tenants (-want +got):\n%s", diff)
	}
}

func TestDropsHaveTheirReasonAndRemedy(t *testing.T) {
	fw := newCore(t, testRules)
	elsewhere := []Drop{{Reason: "queue_full", Count: 4, Where: "queue"}, {Reason: "other_tunnel", Where: "table"}}
	c := serve(t, Config{Firewall: fw, Elsewhere: func() []Drop { return elsewhere }}).dial(t)
	fw.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	begun := fw.now
	fw.send(t, 999, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	fw.now += int64(3 * time.Second)
	fw.send(t, 999, "udp 10.0.0.1:9 > 10.0.0.2:54", false)
	got, err := c.Drops(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	// Each time one packet: outer IP, segment and frame header, Ethernet, IP and UDP.
	const length = 20 + 20 + 18 + 14 + 20 + 8
	if len(got) != 3 || got[0].First == nil || got[1].Last == nil {
		t.Fatalf("%+v", got)
	}
	if apart := got[0].Last.Sub(*got[0].First); apart != 3*time.Second || !got[1].First.Equal(*got[1].Last) || !got[1].First.Equal(*got[0].First) {
		t.Errorf("%v apart: %+v", time.Duration(fw.now-begun), got)
	}
	want := []Drop{
		{"context_unknown", 2, 2 * length, got[0].First, got[0].Last, "firewall", reason.ContextUnknown.Meaning(), reason.ContextUnknown.Remedy()},
		{"tenant_default", 1, length, got[1].First, got[1].Last, "firewall", reason.TenantDefault.Meaning(), reason.TenantDefault.Remedy()},
		elsewhere[0],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestOneRuleIsToldWithItsText(t *testing.T) {
	c := serve(t, Config{Firewall: newCore(t, testRules)}).dial(t)
	r, err := c.Rule(context.Background(), "acme/web")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(r.Text, `rule "web" {`) || !strings.HasSuffix(r.Text, "}") || r.Rule != "acme/web" || r.Line == 0 {
		t.Errorf("it is %+v", r)
	}
	rules, err := c.Rules(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rules {
		if r.Text != "" {
			t.Errorf("%s: the list has its text", r.Rule)
		}
	}
	var refused *Error
	if _, err := c.Rule(context.Background(), "acme/none"); !errors.As(err, &refused) || refused.Code != http.StatusNotFound {
		t.Errorf("for a rule that there is not: %v", err)
	}
}
