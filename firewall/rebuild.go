package firewall

import (
	"math/rand/v2"
	"net/netip"

	"sttwall/reassembly"
)

// With settings.forward = "rebuild" every accepted frame is encoded anew (rewrite.go):
// nothing of what the sender chose leaves but the inner frame, what canonical.go lets
// stand, and the outer addresses, ports, TTL, DSCP and ECN.
//
//	canonical    as it came where it is canonical; else new bytes, cut as it came
//	rebuild      new bytes, a frame ID of our own, cut evenly: each packet as large as
//	             the largest that came. Super-segments stay: the kernel cuts them
//
// No packet is plain then (quickread.go), and all are copied whole from the kernel
// ([Shared.ChangesPackets]).

// leavingID returns the frame ID with which an accepted frame leaves; ok is false where
// no unused one was found.
//
// What leaves in one packet is looked up by no receiver, and so is not in the filter:
// there would be no room for it. Its own ID, in rebuild, is random all the same.
func (f *Firewall) leavingID(now int64, fr *reassembly.Frame) (id uint32, ok bool) {
	several := len(fr.Packets) > 1 || fr.Packets[0].GSO
	switch {
	case several && f.standing.rebuild:
		return f.ids.draw(now, fr.Src, fr.Dst, f.random)
	case several:
		return f.ids.fresh(now, fr.Src, fr.Dst, fr.FrameID, f.random)
	case f.standing.rebuild:
		return uint32(f.random.Uint64()), true
	}
	return fr.FrameID, true
}

// draw claims a random ID that is safe to send. ok is false if none was found.
func (f *FrameIDFilter) draw(now int64, src, dst netip.Addr, random rand.Source) (id uint32, ok bool) {
	for range frameIDTries {
		id = uint32(random.Uint64())
		if f.claim(now, src, dst, id) {
			return id, true
		}
	}
	return 0, false
}
