// Package lab builds a small network on this host, with a real firewall in its
// middle, and takes it down again by construction.
//
//	acme-a    globex-a                                      acme-b    globex-b
//	   \        /                                              \        /
//	   endpoint-a ---- 10.47.1.0/24 ---- firewall ---- 10.47.2.0/24 ---- endpoint-b
//	    10.47.1.1                     NFQUEUE, nftables                   10.47.2.1
//
// Each name is a network namespace. The tenants acme (Context ID 100) and
// globex (200) have the same inner addresses, IPv4 and IPv6, and the same MAC
// addresses; only the Context ID and the rules tell them apart. Their hosts are
// the kernel's own stacks; the endpoints are those of package endpoint, in this
// process; so is the firewall, over a real NFQUEUE.
//
// That is [Routed]; [Config].Position has the firewall sit elsewhere: in the OUTPUT hook
// of the host that both endpoints send from, on a bridge, on a bridge whose packets are
// tagged, in a VRF, on the host that is endpoint B itself.
//
// All of it lives in one child process, this program started again as first
// process of new network, mount and PID namespaces, and of a user namespace
// where the caller is not root. Nothing in there has a name outside. When the
// child ends, or its parent does by whatever signal, the kernel takes away
// every namespace, link, table and process: there is nothing to clean up. The
// child itself starts no other processes; a program that [RunInside] runs in it reaps
// its own.
// A program that uses the lab calls [MaybeChild] first in main; a test binary
// in TestMain, and then [Inside] in each test that needs the lab.
//
// [RunDemo] tries one thing after the other and says what happened. [RunLive] has
// traffic of many kinds (live_traffic_linux.go, live_forged_linux.go) go through a
// firewall that the program itself runs, with a third tenant, initech (300). Its
// control socket and rules file are in a file system that only the child has
// mounted, and that its own user and root reach by /proc/PID/root.
//
// What is not here: decisions on packets (package firewall), the queue and its
// nftables table (nfq), the tunnel (endpoint).
//
// A [Lab] and its captures may be used from many goroutines; code that opens
// sockets in a namespace runs in [Lab.Do], on a thread of its own.
package lab
