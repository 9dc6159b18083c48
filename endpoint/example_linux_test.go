package endpoint_test

import (
	"context"
	"fmt"
	"log"
	"net/netip"
	"os"
	"os/signal"

	"sttwall/endpoint"
)

// A tenant's stack behind an endpoint. It needs an interface eth0 with the
// address 10.0.0.1, and the rights to make sockets and interfaces.
func ExampleNew() {
	port, err := endpoint.ParsePort("name=acme0,context=100,peer=acme1")
	if err != nil {
		log.Fatal(err)
	}
	e, err := endpoint.New(endpoint.Config{
		Underlay: "eth0",
		Local:    netip.MustParseAddr("10.0.0.1"),
		Remotes:  []endpoint.Remote{{Addr: netip.MustParseAddr("10.0.0.2")}},
		Ports:    []endpoint.Port{port},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, p := range e.Ports() {
		fmt.Println("give an address to", p.Tenant)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := e.Run(ctx); err != nil {
		log.Fatal(err)
	}
}
