package firewall

import (
	"sync/atomic"

	"sttwall/reason"
)

// Counters are what one [Firewall] has done since it was made. The firewall
// alone writes them, once for each batch of packets; anybody may read them at any
// time. Each is right by itself; two of them read together may be a batch apart.
type Counters struct {
	// Packets counts packets in, and Bytes their length on the wire.
	Packets, Bytes atomic.Uint64
	// FramesAccepted and FramesDropped count decided frames; a dropped
	// frame counts once, however many packets carried it.
	FramesAccepted, FramesDropped atomic.Uint64
	// FramesRewritten counts accepted frames that left with other bytes
	// than they came with; FrameIDsReplaced those of them that got another
	// frame ID.
	FramesRewritten, FrameIDsReplaced atomic.Uint64
	// PacketsAccepted and PacketsDropped count verdicts. Surplus packets of
	// an accepted frame that was cut anew count as dropped.
	PacketsAccepted, PacketsDropped atomic.Uint64
	// PacketsAgain counts packets of which too little had been copied, and that were
	// asked for again; see [Again]. They are in Packets and Bytes when they have come.
	PacketsAgain atomic.Uint64
	// Reasons counts dropped frames by reason, and dropped packets that
	// belong to no frame.
	Reasons [reason.Count]atomic.Uint64
	// DroppedBytes is the length on the wire of the packets of those, outer IP header
	// included; FirstDropped and LastDropped are when, in ns on the clock; 0: never.
	DroppedBytes              [reason.Count]atomic.Uint64
	FirstDropped, LastDropped [reason.Count]atomic.Int64
	// LatePackets counts packets of a frame that had been dropped before
	// they came. They are not in Reasons again.
	LatePackets atomic.Uint64
	// RejectsSent counts answers to rejected frames; RejectsLimited those that
	// the limit on answers kept back, RejectsRefused frames that nobody answers.
	RejectsSent, RejectsLimited, RejectsRefused atomic.Uint64
	// FramesAudited counts accepted frames that would have been dropped but for
	// audit mode.
	FramesAudited atomic.Uint64
	// FramesOpened counts frames that rules accepted and that passed without a flow, for
	// want of room; see [Shared.FailOpen]. They may be dropped behind that, as others.
	FramesOpened atomic.Uint64
	// FragmentsHeld counts later inner fragments that waited for their first one.
	FragmentsHeld atomic.Uint64
	// BindingsMoved counts learned bindings that moved to another endpoint, FlowsMoved
	// sides of flows that went on from another one.
	BindingsMoved, FlowsMoved atomic.Uint64
	// Panics counts mistakes of the firewall that were contained; see [Panic].
	Panics atomic.Uint64
}

// Totals are the counters of several firewalls added up; see [Counters].
type Totals struct {
	Packets, Bytes                    uint64
	FramesAccepted, FramesDropped     uint64
	FramesRewritten, FrameIDsReplaced uint64
	PacketsAccepted, PacketsDropped   uint64
	PacketsAgain                      uint64
	Reasons, DroppedBytes             [reason.Count]uint64
	FirstDropped, LastDropped         [reason.Count]int64
	LatePackets                       uint64

	RejectsSent, RejectsLimited, RejectsRefused uint64
	FramesAudited, FramesOpened, FragmentsHeld  uint64
	BindingsMoved, FlowsMoved, Panics           uint64
}

// Add adds what c counts at the moment.
func (t *Totals) Add(c *Counters) {
	t.Packets += c.Packets.Load()
	t.Bytes += c.Bytes.Load()
	t.FramesAccepted += c.FramesAccepted.Load()
	t.FramesDropped += c.FramesDropped.Load()
	t.FramesRewritten += c.FramesRewritten.Load()
	t.FrameIDsReplaced += c.FrameIDsReplaced.Load()
	t.PacketsAccepted += c.PacketsAccepted.Load()
	t.PacketsDropped += c.PacketsDropped.Load()
	t.PacketsAgain += c.PacketsAgain.Load()
	t.LatePackets += c.LatePackets.Load()
	t.RejectsSent += c.RejectsSent.Load()
	t.RejectsLimited += c.RejectsLimited.Load()
	t.RejectsRefused += c.RejectsRefused.Load()
	t.FramesAudited += c.FramesAudited.Load()
	t.FramesOpened += c.FramesOpened.Load()
	t.FragmentsHeld += c.FragmentsHeld.Load()
	t.BindingsMoved += c.BindingsMoved.Load()
	t.FlowsMoved += c.FlowsMoved.Load()
	t.Panics += c.Panics.Load()
	for i := range t.Reasons {
		t.Reasons[i] += c.Reasons[i].Load()
		t.DroppedBytes[i] += c.DroppedBytes[i].Load()
		t.LastDropped[i] = max(t.LastDropped[i], c.LastDropped[i].Load())
		if first := c.FirstDropped[i].Load(); t.FirstDropped[i] == 0 || first != 0 && first < t.FirstDropped[i] {
			t.FirstDropped[i] = first
		}
	}
}
