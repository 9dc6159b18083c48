// Package endpoint is an STT tunnel endpoint in user space: it carries the
// Ethernet frames of tenants, as their kernels send them, to other endpoints
// and back. It is for the lab, for tests, and for hosts without the Open
// vSwitch module.
//
//	tenant's stack                                                 underlay
//	  | GSO packet, checksum partial              outer GSO packet or MTU segments |
//	  v                                                                            |
//	Port -> tag -> encapsulate -> (MAC, Context ID) -> remote -> next hop -> send -+
//	 TAP or packet socket                                     packet socket, or IP socket
//	Port <- write <- decapsulate <- VLAN, Context ID <- reassembly <- check <- receive
//
// Frames go out as Open vSwitch's stt.c writes them: flags, L4 offset and MSS
// where the tenant's kernel left the checksum and the segmentation to a
// network card, plain otherwise; and they are taken in as its receiver takes
// them, so that the lab shows what a receiver would do with a bad frame that
// nobody stopped. Two things are stricter: reassembly is that of package
// reassembly, and only configured remotes are heard.
//
// Packet sockets reach the underlay beside all hooks of netfilter; with [SocketsIP] packets
// come from behind PREROUTING and INPUT and go through OUTPUT, as those of the kernel module
// do, so that a firewall on the endpoint's own host sees them.
//
// A [Service] takes the frames of a Context ID in this process, with the headers that
// they came with, and sends its own with [Endpoint.Send]: package probe is one.
//
// What is not here: policy (any frame of a known Context ID passes), local
// switching between two ports, path MTU discovery, and moving interfaces into
// tenants' namespaces, which is the caller's business.
//
// [New] opens everything in the network namespace of the calling thread; the
// other methods of [Endpoint] may be called from any goroutine and any
// namespace. Inside, each port and the underlay have a goroutine of their own;
// they share atomics and maps that are replaced, never changed.
package endpoint
