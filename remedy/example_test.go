package remedy_test

import (
	"fmt"
	"log"
	"net/netip"

	"sttwall/describe"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/remedy"
)

func ExampleFind() {
	p, _ := policy.Load("rules.hcl", []byte(`settings {
  endpoints = ["any"]
}
tenant "acme" {
  context_ids = [100]
}
`))
	dropped, err := describe.Parse("tcp 10.0.0.1:40000 > 10.0.0.2:22 syn")
	if err != nil {
		log.Fatal(err)
	}
	r := remedy.Find(p, remedy.Request{
		ContextID: 100, Data: dropped.Data, Reason: reason.TenantDefault,
		From: netip.MustParseAddr("10.47.1.1"), To: netip.MustParseAddr("10.47.2.1"),
	})
	fmt.Println(r.Place)
	fmt.Print(r.Text)
	fmt.Println("tried out:", r.Tried)
	// Output:
	// at the end of the block of tenant "acme", rules.hcl:6
	// rule "ssh" {
	//   action      = "accept"
	//   source      = ["10.0.0.1"]
	//   destination = ["10.0.0.2"]
	//   services    = ["tcp/22"]
	// }
	// tried out: true
}
