package analyze_test

import (
	"fmt"

	"github.com/hashicorp/hcl/v2"

	"sttwall/policy/analyze"
	"sttwall/policy/space"
)

func ExampleLint() {
	tcp := space.Product{}.With(space.Kind, space.Kind.Values(6))
	ssh := tcp.With(space.DstPort, space.DstPort.Values(22))
	place := func(line int) hcl.Range {
		return hcl.Range{Filename: "rules.hcl", Start: hcl.Pos{Line: line}}
	}
	list := analyze.List{
		Tenant: "acme",
		Rules: []analyze.Rule{
			{Name: "acme/no-tcp", At: place(8), Verdict: analyze.Verdict{Action: analyze.Reject}, Products: []space.Product{tcp}},
			{Name: "acme/ssh", At: place(12), Verdict: analyze.Verdict{Action: analyze.Accept}, Products: []space.Product{ssh}},
		},
	}
	for _, f := range analyze.Lint([]analyze.List{list}, analyze.Budget{}) {
		fmt.Printf("%s:%d: %s\n", f.At.Filename, f.At.Start.Line, f.Message)
	}
	// Output:
	// rules.hcl:12: rule acme/ssh never matches: acme/no-tcp (rules.hcl:8) takes every packet that it is for. It does not accept.
}
