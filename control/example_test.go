package control_test

import (
	"context"
	"fmt"

	"sttwall/control"
)

// Ask the running firewall which flows audit mode lets pass.
func Example() {
	fw, err := control.Dial("/run/sttwall/control.sock")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer fw.Close()
	query := control.FlowQuery{Audit: true}
	for {
		page, err := fw.Flows(context.Background(), query)
		if err != nil {
			fmt.Println(err)
			return
		}
		for _, f := range page.Flows {
			fmt.Println(f.Tenant, f.Protocol, f.Src, f.Dst, f.WouldBe, f.Reason)
		}
		if query.After = page.Next; query.After == "" {
			return
		}
	}
}
