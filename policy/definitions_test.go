package policy

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"sttwall/policy/classify"
)

func TestDefinitionsAreWhatTheFileNames(t *testing.T) {
	p, diags := Load("rules.hcl", []byte(`
settings {
  endpoints = ["any"]
}
address_group "web" {
  addresses = ["10.1.0.1", "10.1.0.0", address_group.more]
}
address_group "more" {
  addresses = ["2001:db8::/127"]
}
service "https" {
  protocol = "tcp"
  ports    = [443, "8443-8450"]
}
service "syn" {
  services = ["udp/1", service.flags]
}
service "flags" {
  protocol  = "tcp"
  tcp_flags = ["syn"]
}
tenant "acme" {
  context_ids = [1]
}
`))
	if diags.HasErrors() {
		t.Fatal(diags)
	}
	v6 := []classify.Range6{{Lo: [2]uint64{0x20010db800000000, 0}, Hi: [2]uint64{0x20010db800000000, 1}}}
	want := Definitions{
		Groups: map[string]*classify.Addresses{
			"web": {V4: []classify.Range4{{Lo: 0x0a010000, Hi: 0x0a010001}}, V6: v6}, "more": {V6: v6},
		},
		Services: map[string][]classify.Service{
			"https": {{KindLo: 6, KindHi: 6, SrcHi: classify.Absent, DstLo: 443, DstHi: 443}, {KindLo: 6, KindHi: 6, SrcHi: classify.Absent, DstLo: 8443, DstHi: 8450}},
			"syn":   nil, "flags": nil,
		},
	}
	if diff := cmp.Diff(want, p.Definitions()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
