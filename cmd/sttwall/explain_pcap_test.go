package main

import (
	"strings"
	"testing"
)

const captureRules = "../../testdata/rules/captures.hcl"

func explainFrame(t *testing.T, args ...string) string {
	t.Helper()
	status, out, stderr := sttwall(append([]string{"explain", "--rules", captureRules}, args...)...)
	if status != statusFine || stderr != "" {
		t.Fatalf("%v: status %d, %s", args, status, stderr)
	}
	return out
}

func TestExplainOfACaptureShowsTheWholeWayOfAPacket(t *testing.T) {
	for _, tt := range []struct {
		name, capture, number, want string
	}{
		{"the first of a flow", "off-http", "1", `packet 1 of ../../testdata/pcaps/off-http.pcap, 2026-11-23 11:25:50.417831 UTC
STT frame: 10.47.1.1 port 20535 > 10.47.2.1, ID 0x00e0c5f3, 92 bytes in packet 1
frame header: context ID 0x0000000000000064, flags 0x0e, L4 offset 34, MSS 0, TCI 0x0000
inner frame: tcp 192.168.100.1:37908 > 192.168.100.2:80 S
outer source: 10.47.1.1 is in settings.endpoints
context ID 0x64 is tenant acme (context_ids 0x64)
state: new
  it begins a flow
  ../../testdata/rules/captures.hcl:10 acme/no-dns: no: services = ["udp/53"], but the packet is tcp/80 from port 37908, flags syn
  ../../testdata/rules/captures.hcl:14 acme/up: matches
accept by acme/up
it leaves as it came
`},
		{"an answer in two packets", "off-http", "29", `packet 29 of ../../testdata/pcaps/off-http.pcap, 2026-11-23 11:25:50.738682 UTC
STT frame: 10.47.2.1 port 17791 > 10.47.1.1, ID 0x00a00451, 1532 bytes in packets 29, 30
frame header: context ID 0x0000000000000064, flags 0x0e, L4 offset 34, MSS 0, TCI 0x0000
inner frame: tcp 192.168.100.2:80 > 192.168.100.1:37918 A
outer source: 10.47.2.1 is in settings.endpoints
context ID 0x64 is tenant acme (context_ids 0x64)
state: reply
  flow: tcp 192.168.100.1:37918 > 192.168.100.2:80, established, behind 10.47.1.1 and 10.47.2.1, accepted by acme/up; 3 packets there and 7 back before this one
  the flow is decided by its first packet, for which these rules were tried:
  ../../testdata/rules/captures.hcl:10 acme/no-dns: no: services = ["udp/53"], but the packet is tcp/80 from port 37918, flags syn
  ../../testdata/rules/captures.hcl:14 acme/up: matches
accept by acme/up
it leaves as it came
`},
		{"what a rule drops", "on-dns", "1", `packet 1 of ../../testdata/pcaps/on-dns.pcap, 2026-11-23 11:21:22.673221 UTC
STT frame: 10.47.1.1 port 47919 > 10.47.2.1, ID 0x00a04e16, 89 bytes in packet 1
frame header: context ID 0x0000000000000064, flags 0x06, L4 offset 34, MSS 0, TCI 0x0000
inner frame: udp 192.168.100.1:55580 > 192.168.100.2:53
outer source: 10.47.1.1 is in settings.endpoints
context ID 0x64 is tenant acme (context_ids 0x64)
state: new
  ../../testdata/rules/captures.hcl:10 acme/no-dns: matches
drop by acme/no-dns: rule_drop
    > see which rule it was; ` + "`log = true`" + ` on it names each frame
`},
		{"what is not STT", "on-ping6", "1", `packet 1 of ../../testdata/pcaps/on-ping6.pcap is not STT: it would not have been queued, and nothing decides about it.
The ports of the rules are [7471].
`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := explainFrame(t, "--pcap", "../../testdata/pcaps/"+tt.capture+".pcap", "--frame", tt.number)
			if got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestExplainOfACaptureWritesJSON(t *testing.T) {
	out := explainFrame(t, "--pcap", "../../testdata/pcaps/off-http.pcap", "--frame", "29", "--json")
	for _, want := range []string{`"packets": [
    29,
    30
  ]`, `"decided_with": 30`, `"state": "reply"`, `"claim": "context_ids 0x64"`, `"action": "accept"`, `"context_id": "0x0000000000000064"`} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
}

// The reason of a structural drop explains itself, with what to do about it.
func TestExplainOfACaptureSaysWhatNoRuleChanges(t *testing.T) {
	file := rulesFile(t, strings.Replace(smallRules, `["any"]`, `["10.48.0.1"]`, 1))
	status, out, stderr := sttwall("explain", "--rules", file, "--pcap", "../../testdata/pcaps/off-http.pcap", "--frame", "1")
	if status != statusFine || !strings.Contains(out, "drop: endpoint_unknown: ") || !strings.Contains(out, "\n    > ") || strings.Contains(out, "tenant acme") {
		t.Errorf("status %d, %s\n%s", status, stderr, out)
	}
	if status, _, stderr := sttwall("explain", "--rules", file, "--pcap", "../../testdata/pcaps/off-http.pcap", "--frame", "147"); status != statusRefused || !strings.Contains(stderr, "has 146 packets: there is no packet 147") {
		t.Errorf("past the end: status %d, %s", status, stderr)
	}
}

func TestExplainOfACaptureNamesTheOVNPartsOfAContextID(t *testing.T) {
	file := rulesFile(t, `settings {
  endpoints = ["any"]
}
tenant "acme" {
  context_layout = "ovn"
  datapaths      = ["90-110"]
  endpoints      = ["10.47.9.9"]
}
`)
	status, out, stderr := sttwall("explain", "--rules", file, "--pcap", "../../testdata/pcaps/off-http.pcap", "--frame", "1")
	for _, want := range []string{
		"context ID 0x64 (OVN: datapath 100, ingress port 0, egress port 0) is tenant acme (datapaths 90-110)\n", "outer source: any may send STT",
		"  the outer source 10.47.1.1 is not in the tenant's endpoints: tenant_endpoint\ndrop: tenant_endpoint\n    > ",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("status %d, %s: no %q in\n%s", status, stderr, want, out)
		}
	}
}
