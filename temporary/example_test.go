package temporary_test

import (
	"fmt"
	"log"
	"time"

	"sttwall/policy"
	"sttwall/temporary"
)

// standIn is where a running firewall would be.
type standIn struct{}

func (standIn) Reload(*policy.Policy) (ended int, err error) { return 2, nil }
func (standIn) Now() int64                                   { return time.Now().UnixNano() }

func ExampleList() {
	p, _ := policy.Load("rules.hcl", []byte(`settings {
  endpoints = ["any"]
}
tenant "acme" {
  context_ids = [100]
}`))
	list, err := temporary.Open(temporary.Config{Policy: p})
	if err != nil {
		log.Fatal(err)
	}
	list.Start(standIn{})
	rule, ended, err := list.Add(temporary.Request{Pattern: "tenant:acme tcp 10.1.9.9 <> any", For: time.Hour, Comment: "scans"})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %s '%s' for %v; %d flows ended\n", rule.Name, rule.Action, rule.Pattern, rule.For, ended)
	for _, r := range list.Rules() {
		fmt.Println(r.Name, r.Comment)
	}
	// Output:
	// t1: drop 'tenant:acme tcp 10.1.9.9 <> any' for 1h0m0s; 2 flows ended
	// t1 scans
}
