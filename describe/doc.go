// Package describe owns the language in which operators write one packet, in the
// test blocks of a rules file and on the command line, and sets of packets, in
// temporary rules.
//
//	"tcp 10.9.9.9:40000 > 10.1.0.10:443 syn" ──Parse──▶ an inner Ethernet frame,
//	                                                    and what inspect reads of it
//	"tcp 10.9.9.0/24 > any:443" ──ParsePattern──▶ what a rule about them asks for
//
// A described frame is real: its checksums are right, and it is decoded by the same code
// as one from the wire, so that a description cannot show rules a packet that no
// packet could be. docs/packets.md is the reference of both.
//
// What is not here: the tunnel around the frame; rules.
package describe
