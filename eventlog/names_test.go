package eventlog

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
)

// suricata are the names of EVE that we use, each as a path: from etc/schema.json and
// doc/userguide/output/eve/eve-json-format.rst of Suricata 7.0.17.
const suricata = `
timestamp flow_id event_type vlan src_ip src_port dest_ip dest_port proto icmp_type icmp_code host
ether ether.src_mac ether.dest_mac ether.src_macs ether.dest_macs
tunnel tunnel.src_ip tunnel.src_port tunnel.dest_ip tunnel.dest_port tunnel.proto tunnel.depth
flow flow.pkts_toserver flow.pkts_toclient flow.bytes_toserver flow.bytes_toclient flow.start flow.end flow.age flow.state flow.reason
tcp tcp.state
drop drop.len drop.tos drop.syn drop.ack drop.psh drop.rst drop.urg drop.fin drop.reason
verdict verdict.action verdict.reject
stats stats.uptime stats.capture stats.capture.kernel_packets stats.capture.kernel_drops stats.decoder stats.decoder.pkts stats.decoder.bytes
stats.flow stats.flow.total stats.flow.active stats.ips stats.ips.accepted stats.ips.blocked stats.ips.rejected stats.ips.replaced
`

// Whatever the schema has outside of the object sttwall is named as Suricata names it,
// and the schema says all that there is: see package eve.
func TestFieldsAreSuricatasButForOurOwnObject(t *testing.T) {
	text, err := os.ReadFile("../docs/eve.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	var got []string
	var walk func(node map[string]any, path string)
	walk = func(node map[string]any, path string) {
		if ref, ok := node["$ref"].(string); ok {
			node = root["$defs"].(map[string]any)[strings.TrimPrefix(ref, "#/$defs/")].(map[string]any)
		}
		properties, _ := node["properties"].(map[string]any)
		if node["type"] == "object" && properties != nil && node["additionalProperties"] != false {
			t.Errorf("%s: fields that the schema does not have are valid", path)
		}
		for name, value := range properties {
			if path == "" && name == "sttwall" {
				walk(value.(map[string]any), "sttwall.")
				continue
			}
			if !strings.HasPrefix(path, "sttwall.") {
				got = append(got, path+name)
			}
			walk(value.(map[string]any), path+name+".")
		}
	}
	walk(root, "")
	slices.Sort(got)
	want := strings.Fields(suricata)
	if slices.Sort(want); !slices.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}
