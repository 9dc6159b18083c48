// Package stt is the wire format of Stateless Transport Tunneling
// (draft-davie-stt-08) in both directions.
//
//	outer packet:  | IPv4 or IPv6 | segment header (20) | part of the frame |
//	                  Outer          Segment
//	STT frame:     | frame header (18) | inner Ethernet frame |
//	                  FrameHeader
//
// [Segment.Decode] reads one outer packet, [FrameHeader.Decode] the start of a
// frame. [AppendSegment] and [AppendFrameHeader] write them, and
// [AppendSegments] cuts a whole frame for an MTU. All multi-byte fields are in
// network byte order on the wire.
//
// Putting segments together is the business of package reassembly; what a
// frame carries that of package inspect. Nothing here knows tenants.
//
// layer.go makes STT known to gopacket programs. It is for tools and tests:
// the firewall never hands hostile bytes to gopacket.
//
// Nothing here has state; every function may be called from any goroutine,
// and none but those of layer.go allocates.
package stt
