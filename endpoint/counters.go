package endpoint

import (
	"sync/atomic"

	"sttwall/reason"
)

// Drop says why the endpoint itself dropped a frame or a packet. What the
// wire format or reassembly refused is counted by [reason.Reason].
type Drop uint8

// The drops stand in the order in which a frame meets them: from the tenant
// to the wire, then back.
const (
	// DropNone: not dropped.
	DropNone Drop = iota
	// DropTenantMalformed: the tenant's frame is cut off in its headers.
	DropTenantMalformed
	// DropTenantOffload: the tenant's kernel left work over that the endpoint
	// cannot take on, such as segmentation inside another tunnel.
	DropTenantOffload
	// DropTooLong: the frame does not fit one outer packet.
	DropTooLong
	// DropNoRemote: no remote has the Context ID.
	DropNoRemote
	// DropNoNextHop: the next hop's link address is not known, or there is no route.
	DropNoNextHop
	// DropSend: the underlay did not take the packet.
	DropSend
	// DropTruncated: a packet longer than any IP packet arrived.
	DropTruncated
	// DropUnknownRemote: the outer source is none of the remotes, or not one
	// of the Context ID.
	DropUnknownRemote
	// DropFrameShort: no room for a frame header and an Ethernet header.
	DropFrameShort
	// DropFrameVersion: the STT version is not 0.
	DropFrameVersion
	// DropFrameOffload: the L4 offset points outside the frame or into its IP header.
	DropFrameOffload
	// DropCongestion: marked CE outside, and not ECN-capable inside.
	DropCongestion
	// DropUnknownContext: no port has the Context ID and the VLAN.
	DropUnknownContext
	// DropDeliver: the tenant's interface did not take the frame: it is
	// down, its queue is full, or the frame is too long for it.
	DropDeliver
	// DropCount is the number of drops, DropNone included.
	DropCount
)

var dropNames = [DropCount]string{
	DropNone: "none", DropTenantMalformed: "tenant_malformed", DropTenantOffload: "tenant_offload",
	DropTooLong: "too_long", DropNoRemote: "no_remote", DropNoNextHop: "no_next_hop", DropSend: "send",
	DropTruncated: "truncated", DropUnknownRemote: "unknown_remote", DropFrameShort: "frame_short",
	DropFrameVersion: "frame_version", DropFrameOffload: "frame_offload", DropCongestion: "congestion",
	DropUnknownContext: "unknown_context", DropDeliver: "deliver",
}

// String returns the snake_case name.
func (d Drop) String() string {
	if d >= DropCount {
		return "unknown"
	}
	return dropNames[d]
}

// Counters is a reading of an endpoint's counters; all of them only grow.
type Counters struct {
	// FramesOut are STT frames sent (one for each remote that a flooded frame
	// went to), PacketsOut the packets that carried them, BytesOut their inner
	// bytes.
	FramesOut, PacketsOut, BytesOut uint64
	// FramesIn are whole STT frames, PacketsIn the packets that arrived, BytesIn
	// the inner bytes that tenants got.
	FramesIn, PacketsIn, BytesIn uint64
	// Drops is indexed by [Drop].
	Drops [DropCount]uint64
	// Refused are packets that the wire format or reassembly refused.
	Refused [reason.Count]uint64
	// SocketLost are packets that the kernel dropped because a receive buffer
	// was full.
	SocketLost uint64
}

// counters is the live form of Counters.
type counters struct {
	framesOut, packetsOut, bytesOut atomic.Uint64
	framesIn, packetsIn, bytesIn    atomic.Uint64
	drops                           [DropCount]atomic.Uint64
	refused                         [reason.Count]atomic.Uint64
	socketLost                      atomic.Uint64
}

func (c *counters) read() Counters {
	r := Counters{
		FramesOut: c.framesOut.Load(), PacketsOut: c.packetsOut.Load(), BytesOut: c.bytesOut.Load(),
		FramesIn: c.framesIn.Load(), PacketsIn: c.packetsIn.Load(), BytesIn: c.bytesIn.Load(),
		SocketLost: c.socketLost.Load(),
	}
	for i := range c.drops {
		r.Drops[i] = c.drops[i].Load()
	}
	for i := range c.refused {
		r.Refused[i] = c.refused[i].Load()
	}
	return r
}

// drop counts d, unless it is DropNone.
func (c *counters) drop(d Drop) {
	if d != DropNone {
		c.drops[d].Add(1)
	}
}
