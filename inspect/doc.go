// Package inspect reads the inner Ethernet frame of a tunnel: what it says
// about itself (the flow key, for policy), and whether that agrees with what
// the tunnel header claims of it (for safety).
//
//	inner frame (bytes, length) + tunnel TCI
//	  -> Frame.Decode   Ethernet - VLAN tags - SNAP -+- IPv4 ---------+- TCP, UDP, SCTP
//	                                                 +- IPv6, chain --+- ICMP, ICMPv6
//	                                                 +- ARP           +- other
//	                    the key, the offsets, or a reason to drop
//	  -> Frame.Verify   the tunnel header's offload fields against the key:
//	                    flags, lengths, L4 offset, checksum field, MSS
//
// The package reads a frame in the one way in which every receiver reads it;
// where receivers could differ, the frame is refused with a reason. It never
// follows a pointer that it was given: the L4 offset is found by a walk of its
// own and only then compared. It needs no more than the headers: a copy that
// the kernel cut short will do if they are in it, and says
// [reason.CopyTooShort] if not.
//
// What is not here: the tunnel's own header (packages of the tunnel), rules
// (policy), state and the putting together of inner fragments. Inner checksums
// are the endpoints' business, save the pseudo-header sum that an offload
// builds on. Bodies of ICMP errors and TCP options are passed over,
// of IPv4 options only source routes are read, and of neighbour discovery only the
// target of an advertisement.
//
// Nothing in the package is shared: each goroutine uses a Frame of its own.
package inspect
