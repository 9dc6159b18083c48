package firewall

import (
	"sync/atomic"

	"sttwall/reason"
)

// counts are what a worker has counted since others could last see it. They are
// plain numbers: to add to what others read is a locked instruction, and a packet
// would have a dozen of them. A batch shows them once, when it is decided.
type counts struct {
	packets, bytes                    uint64
	framesAccepted, framesDropped     uint64
	framesRewritten, frameIDsReplaced uint64
	packetsAccepted, packetsDropped   uint64
	packetsAgain, latePackets         uint64

	rejectsSent, rejectsLimited, rejectsRefused uint64
	framesAudited, framesOpened, fragmentsHeld  uint64
	bindingsMoved, flowsMoved                   uint64

	reasons [reason.Count]droppedFor
	dropped []reason.Reason // those of reasons that are not zero
}

// droppedFor is what was dropped for one reason.
type droppedFor struct {
	frames, bytes uint64
	last          int64
}

// drop counts a frame, or a packet of no frame, that was dropped.
func (c *counts) drop(now int64, r reason.Reason, bytes int) {
	d := &c.reasons[r]
	if d.frames == 0 {
		c.dropped = append(c.dropped, r)
	}
	d.frames++
	d.bytes += uint64(bytes)
	d.last = now
}

// verdicts counts those that were given.
func (c *counts) verdicts(list []Verdict) {
	var given [Again + 1]uint64
	for i := range list {
		given[list[i].Action]++
	}
	c.packetsAccepted += given[Accept]
	c.packetsDropped += given[Drop]
	c.packetsAgain += given[Again]
}

// show adds to what others see, and begins anew.
func (c *counts) show(to *Counters) {
	for _, r := range c.dropped {
		d := &c.reasons[r]
		to.DroppedBytes[r].Add(d.bytes)
		if to.FirstDropped[r].Load() == 0 {
			to.FirstDropped[r].Store(d.last)
		}
		to.LastDropped[r].Store(d.last)
		to.Reasons[r].Add(d.frames) // last: who sees one finds its time too
		*d = droppedFor{}
	}
	c.dropped = c.dropped[:0]
	move(&to.Packets, &c.packets)
	move(&to.Bytes, &c.bytes)
	move(&to.FramesAccepted, &c.framesAccepted)
	move(&to.FramesDropped, &c.framesDropped)
	move(&to.FramesRewritten, &c.framesRewritten)
	move(&to.FrameIDsReplaced, &c.frameIDsReplaced)
	move(&to.PacketsAccepted, &c.packetsAccepted)
	move(&to.PacketsDropped, &c.packetsDropped)
	move(&to.PacketsAgain, &c.packetsAgain)
	move(&to.LatePackets, &c.latePackets)
	move(&to.RejectsSent, &c.rejectsSent)
	move(&to.RejectsLimited, &c.rejectsLimited)
	move(&to.RejectsRefused, &c.rejectsRefused)
	move(&to.FramesAudited, &c.framesAudited)
	move(&to.FramesOpened, &c.framesOpened)
	move(&to.FragmentsHeld, &c.fragmentsHeld)
	move(&to.BindingsMoved, &c.bindingsMoved)
	move(&to.FlowsMoved, &c.flowsMoved)
}

// forget forgets what was not shown.
func (c *counts) forget() { *c = counts{dropped: c.dropped[:0]} }

func move(to *atomic.Uint64, from *uint64) {
	if *from != 0 {
		to.Add(*from)
		*from = 0
	}
}
