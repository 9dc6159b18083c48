package probe_test

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"time"

	"sttwall/endpoint"
	"sttwall/probe"
)

// The answering side is a service of an endpoint.
func ExampleServiceOf() {
	remotes := []endpoint.Remote{{Addr: netip.MustParseAddr("10.0.0.1")}}
	service, err := probe.ServiceOf(0xfffe, remotes)
	if err != nil {
		fmt.Println(err)
		return
	}
	c := endpoint.Config{
		Underlay: "eth0", Local: netip.MustParseAddr("10.0.0.2"), Remotes: remotes, Services: []endpoint.Service{service},
	}
	fmt.Println(c.Validate())
	// Output: <nil>
}

// Ask needs the rights of an endpoint, and somebody who answers.
func ExampleAsk() {
	report, err := probe.Ask(context.Background(),
		probe.Host{Underlay: "eth0", Local: netip.MustParseAddr("10.0.0.1")},
		probe.Config{Remote: netip.MustParseAddr("10.0.0.2"), ContextID: 0xfffe, Count: 300, Interval: 10 * time.Millisecond, Timeout: time.Second})
	if err != nil {
		fmt.Println(err)
		return
	}
	report.Write(os.Stdout)
}
