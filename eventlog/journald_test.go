package eventlog

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is in a record is in the fields; what is not leaves none behind.
func TestTheFieldsOfTheJournalAreThoseOfTheEvent(t *testing.T) {
	r := start(t, testRules, Config{Targets: []Target{target(t, "/dev/null")}, Sampled: rate(10)})
	var got []*record
	c := newCollector(r.Log, r.core)
	c.put = func(_ *sink, l line) { got = append(got, l.event) }
	r.end() // it takes nothing any more: we do
	r.send(t, 100, "udp 10.0.0.1:9 > 10.0.0.2:53", there)
	r.send(t, 100, "udp 10.0.0.2:53 > 10.0.0.1:9", elsewhere)
	r.send(t, 200, "icmp 10.0.0.1 > 10.0.0.2 echo-request", there)
	c.setClock(time.Now())
	c.drain(time.Now())
	if len(got) != 4 {
		t.Fatalf("%d records", len(got))
	}
	for i, want := range []map[string]string{
		{"STTWALL_TYPE": "flow_start", "STTWALL_SRC_IP": "10.0.0.1", "STTWALL_SRC_PORT": "9", "STTWALL_DEST_IP": "10.0.0.2", "STTWALL_DEST_PORT": "53", "STTWALL_PROTO": "UDP",
			"STTWALL_TENANT": "acme", "STTWALL_RULE": "acme/web", "STTWALL_CONTEXT_ID": "0x64", "STTWALL_TUNNEL_SRC_IP": "192.0.2.1", "STTWALL_TUNNEL_DEST_IP": "192.0.2.2"},
		{"STTWALL_TYPE": "drop", "STTWALL_SRC_IP": "10.0.0.2", "STTWALL_SRC_PORT": "53", "STTWALL_DEST_IP": "10.0.0.1", "STTWALL_DEST_PORT": "9", "STTWALL_PROTO": "UDP",
			"STTWALL_TENANT": "acme", "STTWALL_REASON": "flow_endpoint", "STTWALL_CONTEXT_ID": "0x64", "STTWALL_TUNNEL_SRC_IP": "192.0.2.3", "STTWALL_TUNNEL_DEST_IP": "192.0.2.2"},
		{"STTWALL_TYPE": "flow_start", "STTWALL_SRC_IP": "10.0.0.1", "STTWALL_DEST_IP": "10.0.0.2", "STTWALL_PROTO": "ICMP",
			"STTWALL_TENANT": "globex", "STTWALL_WOULD_REASON": "tenant_default", "STTWALL_CONTEXT_ID": "0xc8", "STTWALL_TUNNEL_SRC_IP": "192.0.2.1", "STTWALL_TUNNEL_DEST_IP": "192.0.2.2"},
	} {
		fields := journalFields(got[i], []byte("{}\n"))
		if fields["STTWALL_EVENT"] != "{}" || fields["SYSLOG_IDENTIFIER"] != "sttwall" || fields["STTWALL_FLOW_ID"] == "" {
			t.Errorf("%v", fields)
		}
		for _, name := range []string{"STTWALL_EVENT", "SYSLOG_IDENTIFIER", "STTWALL_FLOW_ID"} {
			delete(fields, name)
		}
		if diff := cmp.Diff(want, fields); diff != "" {
			t.Errorf("record %d (-want +got)\n%s", i, diff)
		}
	}
	for i, want := range []string{
		"flow_start UDP 10.0.0.1:9 > 10.0.0.2:53 new tenant acme rule acme/web",
		"drop UDP 10.0.0.2:53 > 10.0.0.1:9 flow_endpoint tenant acme",
		"flow_start ICMP 10.0.0.1 > 10.0.0.2 new tenant globex tenant_default",
	} {
		if said := sentence(got[i]); said != want {
			t.Errorf("got %q, want %q", said, want)
		}
	}
}
