// Package describe owns the language in which operators write one packet: in the
// test blocks of a rules file and on the command line.
//
//	"tcp 10.9.9.9:40000 > 10.1.0.10:443 syn" ──Parse──▶ an inner Ethernet frame,
//	                                                    and what inspect reads of it
//
// The frame is real: its checksums are right, and it is decoded by the same code
// as one from the wire, so that a description cannot show rules a packet that no
// packet could be. docs/packets.md is the reference of the language.
//
// What is not here: the tunnel around the frame; rules.
package describe
