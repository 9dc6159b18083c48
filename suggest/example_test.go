package suggest_test

import (
	"context"
	"fmt"
	"os"

	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/replay"
	"sttwall/suggest"
)

// Suggest rules for what a capture shows.
func Example() {
	rules, _ := policy.Load("none", []byte(`settings { endpoints = ["any"] }`))
	rules = rules.Auditing(false)
	seen := suggest.NewCollector(0)
	_, err := replay.Run(context.Background(), replay.Config{
		Policy: rules,
		Inputs: []string{"../testdata/pcaps/on-dns.pcap"},
		Observer: func(e *firewall.FrameEvent) {
			seen.AddEndpoint(e.Src)
			var s suggest.Sighting
			if ok, _ := s.Sight(e); ok {
				seen.Add(rules, &s)
			}
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	s := suggest.Suggest(seen.Flows(), suggest.Options{Endpoints: seen.Endpoints(), Tenant: "context-200"})
	if err := s.WriteHCL(os.Stdout); err != nil {
		fmt.Println(err)
	}
	// Output:
	// settings {
	//   endpoints = ["10.47.1.1", "10.47.2.1"]
	// }
	//
	// tenant "context-200" {
	//   context_ids    = [200]
	//   default_action = "drop"
	//
	//   # Seen: 1 source, 1 destination.
	//   rule "dns" {
	//     action      = "accept"
	//     source      = ["192.168.200.1"]
	//     destination = ["192.168.200.2"]
	//     services    = ["dns"]
	//   }
	// }
}
