package endpoint_test

import (
	"fmt"

	"sttwall/endpoint"
)

func ExampleParsePort() {
	port, err := endpoint.ParsePort("name=acme0,context=0x64,kind=tap,vlan=42")
	fmt.Printf("%+v %v\n", port, err)
	_, err = endpoint.ParsePort("name=acme0")
	fmt.Println(err)
	// Output:
	// {Name:acme0 ContextID:100 TCI:4138 Kind:tap Peer: MTU:0} <nil>
	// port "name=acme0": want at least name=INTERFACE,context=ID
}

func ExampleParseRemote() {
	remote, err := endpoint.ParseRemote("addr=10.0.0.2,context=100,context=200")
	fmt.Println(remote.Addr, remote.Contexts, err)
	// Output: 10.0.0.2 [100 200] <nil>
}
