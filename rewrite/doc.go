// Package rewrite makes inner Ethernet frames out of inner Ethernet frames: with
// other header fields ([Set]), or the answer to one that is refused
// ([AppendReject]).
//
//	frame ──Set.Apply──▶ the same frame, other DSCP or MSS, checksums with it
//	frame ──AppendReject──▶ a TCP RST, or an ICMP error about it
//
// What is not here: parsing (package inspect), whose [inspect.Frame] says where
// the fields are; the tunnel; who is answered, and how often.
//
// Nothing here keeps state; everything may be called from any goroutine.
package rewrite
