// Package evasion attacks the firewall with what is known to lead around firewalls
// and intrusion detection (Ptacek and Newsham 1998, Handley and Paxson 2001, RFC 1858,
// 3128, 5722, 6169, 7588 and others), carried over to STT.
//
//	Case -> Script (packets in time) -> firewall core -> what leaves -> network
//	     -> models of both receivers -> what tenants get -> oracle
//
// [Cases] is the table: a name, where the idea is from, how the packets are made, and
// what must become of them. [Run] sends one through the core, and then through
// networks that lose, double and reorder what left ([Networks]), to the receivers of
// package receiver. What they deliver must be frames that the sender really sent, and
// that the rules accept, by a plain reading of the delivered bytes (reading.go) and by
// the rules engine, asked about one frame at a time.
//
// docs/evasion.md is written from the table.
//
// What is not here: the kernel and its queue. The packets of a script are bytes from
// the outer IP header on, for whoever wants to send them over a real network.
//
// Nothing here is shared between runs; each may be on a goroutine of its own.
package evasion
