package replay_test

import (
	"context"
	"fmt"
	"os"

	"sttwall/policy"
	"sttwall/replay"
)

// Ask what a set of rules would have done to the traffic in a capture.
func ExampleRun() {
	rules, diagnostics := policy.Load("rules.hcl", []byte(`
tenant "acme" {
  context_ids    = [100]
  default_action = "drop"
  rule "dns" {
    action   = "accept"
    services = ["udp/53"]
  }
}`))
	if diagnostics.HasErrors() {
		fmt.Println(diagnostics)
		return
	}
	table, err := os.Create(os.DevNull)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer table.Close()
	summary, err := replay.Run(context.Background(), replay.Config{
		Policy: rules,
		Inputs: []string{"../testdata/pcaps/on-dns.pcap"},
		Out:    table,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("frames:", summary.Frames)
	fmt.Println("questions and answers that passed:", summary.Rules["acme/dns"])
	fmt.Println("dropped:", summary.Reasons)
	// Output:
	// frames: 8
	// questions and answers that passed: 6
	// dropped: map[context_unknown:2]
}
