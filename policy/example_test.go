package policy_test

import (
	"fmt"
	"net/netip"
	"os"

	"github.com/hashicorp/hcl/v2"

	"sttwall/inspect"
	"sttwall/policy"
)

const rules = `
settings {
  endpoints = ["10.47.0.0/16"]
}

tenant "acme" {
  context_ids = [100, "0x1000-0x1fff"]

  rule "web" {
    action      = "accept"
    destination = ["10.1.0.0/24"]
    services    = ["tcp/443"]
  }
}
`

func ExampleLoad() {
	p, diags := policy.Load("rules.hcl", []byte(rules))
	if diags.HasErrors() {
		policy.WriteDiagnostics(os.Stderr, diags, policy.Printout{})
		return
	}
	fmt.Println(p.Tenants(), p.Rules(), p.Settings().Endpoints)
	// Output: [acme] [acme/web] [10.47.0.0/16]
}

func ExamplePolicy_Evaluate() {
	p, diags := policy.Load("rules.hcl", []byte(rules))
	if diags.HasErrors() {
		return
	}
	frame := inspect.Frame{
		EtherType: inspect.EtherTypeIPv4,
		IP:        4,
		Src:       netip.MustParseAddr("10.9.9.9"),
		Dst:       netip.MustParseAddr("10.1.0.10"),
		Protocol:  inspect.ProtocolTCP,
		HasPorts:  true,
		SrcPort:   40000,
		DstPort:   443,
	}
	for _, contextID := range []uint64{0x1234, 0x2000} {
		d := p.Evaluate(&policy.Packet{ContextID: contextID, Frame: &frame})
		fmt.Printf("%#x: %s %q %s\n", contextID, d.Action, d.Rule, d.Reason)
	}
	// Output:
	// 0x1234: accept "acme/web" none
	// 0x2000: drop "" context_unknown
}

func ExampleWriteDiagnostics() {
	src := []byte("settings {\n  endpoints = [\"10.47.0.1/16\"]\n}\n\ntenant \"acme\" {\n  context_ids = [100]\n}\n")
	_, diags := policy.Load("rules.hcl", src)
	policy.WriteDiagnostics(os.Stdout, diags, policy.Printout{
		Files: map[string]*hcl.File{"rules.hcl": {Bytes: src}},
	})
	// Output:
	// rules.hcl:2,16-30: error: Invalid endpoint
	//   2 |   endpoints = ["10.47.0.1/16"]
	//     |                ^^^^^^^^^^^^^^
	//   Expected zeros behind the first 16 bits of a CIDR; did you mean
	//   "10.47.0.0/16", or the single address "10.47.0.1"?
}
