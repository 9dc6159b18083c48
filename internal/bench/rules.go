package bench

import (
	"fmt"
	"strings"

	"sttwall/policy"
)

// MaxBuiltIn is the largest number of rules for [BuiltIn].
const MaxBuiltIn = 60_000

// BuiltIn is a policy with one tenant of that many rules, of which the last accepts
// everything and the others accept what is not sent, and a packet for [Choose]. There is
// room for so many flows.
func BuiltIn(rules, flows int) (*policy.Policy, Asked, error) {
	asked := Asked{100, "tcp 10.10.0.1:32768 > 10.20.0.1:443 syn from 10.48.1.1 to 10.48.2.1"}
	if rules < 1 || rules > MaxBuiltIn {
		return nil, asked, fmt.Errorf("%d rules: want 1 to %d", rules, MaxBuiltIn)
	}
	p, diagnostics := policy.Load("built-in.hcl", builtIn(rules, flows))
	if diagnostics.HasErrors() {
		return nil, asked, fmt.Errorf("built-in rules: %w", diagnostics)
	}
	return p, asked, nil
}

// builtIn is the text of the policy.
func builtIn(rules, flows int) []byte {
	var out strings.Builder
	// A quarter more: the table has shards, and not all get the same number.
	fmt.Fprintf(&out, "settings {\n  endpoints = [\"10.48.0.0/16\"]\n  flows     = %d\n}\n\ntenant \"bench\" {\n  context_ids = [100]\n",
		max(policy.DefaultFlows, flows+flows/4))
	for i := range rules - 1 {
		// Each for a host and a port of its own, and not for the one that is sent to.
		fmt.Fprintf(&out, "\n  rule \"host-%d\" {\n    action      = \"accept\"\n    destination = [\"10.30.%d.%d\"]\n    services    = [\"tcp/%d\"]\n  }\n",
			i+1, i>>8, i&0xff, 1024+i)
	}
	out.WriteString("\n  rule \"all\" {\n    action = \"accept\"\n  }\n}\n")
	return []byte(out.String())
}
