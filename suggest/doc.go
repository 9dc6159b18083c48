// Package suggest writes rules for what a network does: from the frames that the
// policy would drop, of a capture or of tenants in audit mode, the smallest
// readable set of rules that accepts them.
//
//	firewall -> frames that would be dropped -> Collector -> []Flow
//	            (a running one: through a Watch)               |
//	 +---------------------------------------------------------+
//	 +-> Suggest -+- set apart: scans, what nobody answered
//	              +- servers with the same services: address groups
//	              +- clients of a server: addresses, CIDRs, groups
//	              +- rules -> WriteHCL
//
// What is accepted is what was seen, but for five widenings:
//
//   - The clients of a rule may use all of its servers and services. A server
//     gets a service only if it was seen to have it.
//   - Eight clients or more in one subnet become the smallest CIDR around them
//     if they fill an eighth of it, and it is no wider than a /24; for IPv6,
//     where hosts are strewn over their subnet (RFC 8981), eight in a /64 become
//     that /64 if no narrower CIDR fits.
//   - Where more than 256 addresses and CIDRs would still be left, any address may.
//   - Four ports or more from 32768 on at one server become the range around
//     them: data channels of passive FTP and the like.
//   - "dns" is UDP and TCP, and "dhcp" both ways, whoever asks: a DHCP client has
//     no address yet.
//
// [Options.Exact] turns off the second to the fourth. Rules are about inner
// addresses, protocols and destination ports alone: VLANs, MACs and outer
// endpoints are not told apart.
//
// What is not here: the rules language (package policy), which reads the text;
// captures (package replay); whether what was seen should be allowed, which is
// for the reader of the text to say.
//
// A [Collector] belongs to one goroutine, a [Watch] to any; Suggest has no
// state. The same flows give the same text.
package suggest
