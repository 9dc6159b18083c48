package suggest

import (
	"strings"
	"testing"

	"sttwall/describe"
	"sttwall/policy"
)

func TestOneRuleForOneFrame(t *testing.T) {
	plain := `settings { endpoints = ["any"] }
service "web" {
  protocol = "tcp"
  ports    = [443]
}
tenant "acme" {
  context_ids = [100]
  rule "ssh" {
    action   = "drop"
    services = ["tcp/22", service.web]
  }
}
`
	ovn := `settings { endpoints = ["any"] }
tenant "net" {
  context_layout = "ovn"
  datapaths      = [7]
}
`
	for _, tt := range []struct {
		name, rules, packet string
		id                  uint64
		want                string // in the text; "": there is none
		isTenant            bool
	}{
		{"a name that is taken", plain, "tcp 10.0.0.1:1 > 10.0.0.2:22 syn", 100, `rule "ssh-2" {`, false},
		{"a service of the file", plain, "tcp 10.0.0.1:1 > 10.0.0.2:443 syn", 100, `[service.web]`, false},
		{"a known port is no service of its own", plain, "udp 10.0.0.1:1 > 10.0.0.2:123", 100, `["udp/123"]`, false},
		{"no addresses", plain, "arp request 10.0.0.1 > 10.0.0.2", 100, `services = ["arp"]`, false},
		{"nobody's", plain, "tcp 10.0.0.1:1 > 10.0.0.2:22 syn", 5, `context_ids    = [5]`, true},
		{"nobody's, where all are of OVN", ovn, "tcp 10.0.0.1:1 > 10.0.0.2:22 syn", 0x000100020009, `datapaths      = [131081]`, true},
		{"an ICMP error", plain, "icmp 10.0.0.1 > 10.0.0.2 time-exceeded about (udp 10.0.0.2:1 > 10.0.0.1:2)", 100, "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, diagnostics := policy.Load("test.hcl", []byte(tt.rules))
			if p == nil {
				t.Fatal(diagnostics)
			}
			d, err := describe.Parse(tt.packet)
			if err != nil {
				t.Fatal(err)
			}
			got, isTenant := One(p, tt.id, &d.Frame)
			if isTenant != tt.isTenant || !strings.Contains(got, tt.want) || tt.want == "" && got != "" || strings.Contains(got, "#") {
				t.Errorf("got %v\n%s", isTenant, got)
			}
		})
	}
}
