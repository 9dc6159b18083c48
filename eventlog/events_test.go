package eventlog

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sttwall/control"
	"sttwall/internal/eve"
)

func target(t testing.TB, text string) Target {
	t.Helper()
	to, err := ParseTarget(text)
	if err != nil {
		t.Fatal(err)
	}
	return to
}

func schema(t testing.TB) *eve.Schema {
	t.Helper()
	s, err := eve.Load("../docs/eve.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// lines reads a log that has ended; all of it is valid.
func lines(t testing.TB, path string) []eve.Line {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := schema(t).Lines(text)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// everything makes an event of each type.
func (r *rig) everything(t testing.TB) {
	t.Helper()
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", there)
	r.send(t, 100, "udp 10.0.0.2:53 > 10.0.0.1:9", back)
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:54 vlan 7", there)
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:514", there)
	r.send(t, 100, "tcp [2001:db8::1]:9 > [2001:db8::2]:23 syn", there)
	r.send(t, 100, "udp 10.0.0.2:53 > 10.0.0.1:9", elsewhere) // of the flow, from another endpoint
	r.send(t, 200, "icmp 10.0.0.1 > 10.0.0.2 echo-request", there)
	r.send(t, 300, "arp request 10.0.0.1 > 10.0.0.1", there)
	r.send(t, 300, "arp request 10.0.0.1 > 10.0.0.1", elsewhere) // moves
	r.send(t, 999, "udp 10.0.0.1:9 > 10.0.0.2:53", there)
	broken := r.frame(t, 100, "arp request 10.0.0.1 > 10.0.0.2", there)
	broken.Data[len(broken.Data)-1] ^= 1
	r.process(broken)
	r.Tell(&control.Event{Type: control.EventReload, Time: time.Now(), Tenants: 2, Rules: 2, FlowsEnded: 1})
	r.Tell(&control.Event{Type: control.EventReload, Time: time.Now(), Error: "the rules file does not load"})
}

func TestEachTypeOfEventIsWrittenAndValid(t *testing.T) {
	path := filepath.Join(t.TempDir(), "eve.json")
	r := start(t, testRules, Config{
		Targets: []Target{target(t, path)}, Sampled: rate(100), Stats: time.Hour, Host: "fw1",
		Elsewhere: func() []control.Drop {
			return []control.Drop{{Reason: "queue_full", Count: 3, Where: "queue"}, {Reason: "other_tunnel", Count: 2, Where: "table"}}
		},
	})
	r.everything(t)
	r.end()
	var got []string
	ids := map[string]string{}
	for _, l := range lines(t, path) {
		got = append(got, strings.Join(slices.DeleteFunc([]string{
			l.Type(), l.Text("sttwall.tenant"), l.Text("sttwall.rule"), l.Text("proto"), l.Text("dest_ip"), l.Text("dest_port"), l.Text("icmp_type"), l.Text("vlan"),
			l.Text("drop.reason"), l.Text("sttwall.would_reason"), l.Text("flow.reason"), l.Text("flow.state"), l.Text("sttwall.ended"), l.Text("sttwall.reload.error"),
		}, func(s string) bool { return s == "" }), " "))
		if l.Text("host") != "fw1" {
			t.Errorf("%v: no host", l)
		}
		if id := l.Text("flow_id"); id != "" {
			ids[got[len(got)-1]] = id
		}
	}
	want := []string{
		"flow_start acme acme/web UDP 10.0.0.2 53 new",
		"drop acme UDP 10.0.0.2 54 [7] tenant_default",
		"accept acme acme/loud UDP 10.0.0.2 514",
		"reject acme acme/no-telnet TCP 2001:db8::2 23 rule_reject",
		"drop acme UDP 10.0.0.1 9 flow_endpoint",
		"flow_start globex ICMP 10.0.0.2 8 tenant_default new",
		"would_drop globex ICMP 10.0.0.2 8 tenant_default",
		"move initech",
		"drop UDP 10.0.0.2 53 context_unknown",
		"drop segment_checksum",
		"reload",
		"reload the rules file does not load",
		"flow acme acme/web UDP 10.0.0.2 53 shutdown established shutdown",
		"flow globex ICMP 10.0.0.2 8 tenant_default shutdown new shutdown",
		"stats", "tenant acme", "tenant globex", "tenant initech",
	}
	if flows := got[12:14]; len(got) > 14 {
		slices.Sort(flows) // in no order
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, same := range [][3]string{
		{"flow_start acme acme/web UDP 10.0.0.2 53 new", "flow acme acme/web UDP 10.0.0.2 53 shutdown established shutdown", "drop acme UDP 10.0.0.1 9 flow_endpoint"},
		{"flow_start globex ICMP 10.0.0.2 8 tenant_default new", "flow globex ICMP 10.0.0.2 8 tenant_default shutdown new shutdown", "would_drop globex ICMP 10.0.0.2 8 tenant_default"},
	} {
		if id := ids[same[0]]; id == "" || id != ids[same[1]] || id != ids[same[2]] {
			t.Errorf("%s: flow IDs %v", same[0], ids)
		}
	}
	all := Types()
	for _, l := range got {
		kind, _, _ := strings.Cut(l, " ")
		all = slices.DeleteFunc(all, func(one string) bool { return one == kind })
	}
	if len(all) > 0 {
		t.Errorf("no event of these types: %v", all)
	}
	if c := r.Health(); c.Lost != 0 || c.Targets[0].Written != uint64(len(want)) || c.Targets[0].Lost != 0 || c.Targets[0].Errors != 0 || c.Targets[0].Target != path {
		t.Errorf("%+v", c)
	}
	if testing.Verbose() {
		text, _ := os.ReadFile(path)
		fmt.Println(string(text))
	}
}
