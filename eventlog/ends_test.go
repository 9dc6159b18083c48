package eventlog

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/firewall"
)

// A flow's end is written though nobody sends anything any more; and behind its start.
func TestEndsAreWrittenWithoutAPacket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eve.json")
	rules := strings.Replace(testRules, `"udp/53", `, `"udp/53", "tcp/80", `, 1)
	r := start(t, rules, Config{Targets: []Target{target(t, path)}, Sampled: rate(100)}.Hasty())
	said := func(n uint64) { r.sinks[0].waitWritten(n) }

	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", there)
	said(1)
	r.pass(31 * time.Second)
	said(2)
	for _, p := range []struct {
		text string
		way  endpoints
	}{
		{"tcp 10.0.0.1:9 > 10.0.0.2:80 syn seq 1000", there}, {"tcp 10.0.0.2:80 > 10.0.0.1:9 syn,ack seq 5000 ack-number 1001", back},
		{"tcp 10.0.0.1:9 > 10.0.0.2:80 ack seq 1001 ack-number 5001", there}, {"tcp 10.0.0.1:9 > 10.0.0.2:80 rst,ack seq 1001 ack-number 5001", there},
	} {
		if !r.send(t, 100, p.text, p.way) {
			t.Fatalf("%s does not pass", p.text)
		}
	}
	said(3)
	r.pass(2 * time.Second)
	said(4)
	r.send(t, 100, "udp 10.0.0.1:10 > 10.0.0.2:53", there)
	r.send(t, 200, "udp 10.0.0.1:10 > 10.0.0.2:53", there)
	said(7) // the second is audited too
	r.shared.SetPolicy(compile(t, strings.NewReplacer(`"udp/53", `, "", `tenant "globex"`, `tenant "hooli"`).Replace(rules)))
	r.shared.Rejudge(r.Now())
	said(9)
	r.end()
	var got []string
	ids := map[string][]string{}
	for i, l := range lines(t, path) {
		if l.Type() != TypeFlow && l.Type() != TypeFlowStart {
			continue
		}
		text := strings.Join([]string{l.Type(), l.Text("sttwall.tenant"), l.Text("sttwall.rule"), l.Text("proto"), l.Text("flow.state"), l.Text("flow.reason"),
			l.Text("sttwall.ended"), l.Text("tcp.state"), l.Text("flow.pkts_toserver"), l.Text("flow.pkts_toclient"), l.Text("flow.age")}, " ")
		ids[l.Text("flow_id")] = append(ids[l.Text("flow_id")], fmt.Sprint(i, " ", l.Type()))
		got = append(got, text)
	}
	last := got[max(0, len(got)-2):]
	slices.Sort(last)
	want := []string{
		"flow_start acme acme/web UDP new    1 0 ",
		"flow acme acme/web UDP new timeout timeout  1 0 0",
		"flow_start acme acme/web TCP new    1 0 ",
		"flow acme acme/web TCP closed timeout closed closed 3 1 0",
		"flow_start acme acme/web UDP new    1 0 ",
		"flow_start globex  UDP new    1 0 ",
		"flow acme acme/web UDP new forced denied  1 0 0",
		"flow globex  UDP new forced tenant_gone  1 0 0",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for id, seen := range ids {
		if len(seen) != 2 || !strings.HasSuffix(seen[0], "flow_start") || !strings.HasSuffix(seen[1], "flow") {
			t.Errorf("flow %s: %v", id, seen)
		}
	}
	if len(ids) != 4 {
		t.Errorf("%d flows", len(ids))
	}
}

// Counters come by themselves, and say what this log itself has done.
func TestCountersAreWrittenAgainAndAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eve.json")
	r := start(t, testRules, Config{Targets: []Target{target(t, path)}, Stats: time.Millisecond})
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", there)
	r.sinks[0].waitWritten(5)
	r.end()
	count := map[string]int{}
	for _, l := range lines(t, path) {
		count[l.Type()+l.Text("sttwall.tenant")]++
	}
	if count[TypeStats] < 3 || count[TypeTenant+"acme"] != 1 || count[TypeTenant+"globex"] != 0 {
		t.Errorf("%v", count)
	}
}

// many is a firewall of many tenants, all of which have moved.
type many struct {
	*core
	tallies map[string]firewall.Tally
}

func (m *many) Tallies() (rules, tenants map[string]firewall.Tally) { return nil, m.tallies }

func TestCountersOfTenantsAreBoundedAndAllHaveTheirTurn(t *testing.T) {
	l, err := New(Config{Targets: []Target{{path: "/x"}}, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	fw := &many{newCore(t, testRules, nil), map[string]firewall.Tally{}}
	const count = 2*maxTenants + 10
	all := map[string]bool{}
	for i := range count {
		name := fmt.Sprintf("t%05d", i)
		fw.tallies[name] = firewall.Tally{Frames: 1}
		all[name] = true
	}
	var told []string
	c := newCollector(l, fw)
	c.put = func(_ *sink, l line) { told = append(told, l.event.Own.Tenant) }
	round := func() []string {
		told = nil
		c.tellTenants(time.Now())
		return told
	}
	for _, want := range []int{maxTenants, maxTenants, 10, 0} {
		got := round()
		if len(got) != want {
			t.Fatalf("%d told, want %d", len(got), want)
		}
		for _, name := range got {
			if !all[name] {
				t.Errorf("%s is told twice, or is nobody", name)
			}
			delete(all, name)
		}
	}
	// The first half moves all the time: the others are told all the same.
	for i := range maxTenants + 1 {
		fw.tallies[fmt.Sprintf("t%05d", i)] = firewall.Tally{Frames: 2}
	}
	fw.tallies["t01009"] = firewall.Tally{Frames: 2}
	if got := append(round(), round()...); !slices.Contains(got, "t01009") || len(got) != maxTenants+2 {
		t.Errorf("%d told", len(got))
	}
	fw.tallies = map[string]firewall.Tally{}
	if round(); len(c.tenants) != 0 {
		t.Error("tenants that are gone are remembered")
	}
}
