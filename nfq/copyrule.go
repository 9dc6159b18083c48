package nfq

import (
	"time"

	"sttwall/firewall"
)

// PartOfPacket is how many bytes hold all headers of a packet but of contrived ones:
// outer IPv6 (40) and TCP (20), the frame header (18), inner Ethernet with two tags
// (22), IPv6 (40) and TCP with all its options (60) are 200, and 56 are left for
// extension headers or for what an ICMP error quotes.
const PartOfPacket = 256

const (
	// repeatCost is what it costs to have a packet queued again, in bytes that could
	// be copied instead. Measured: 2.5 us (BenchmarkCopyRange), and 15 us for 64,000
	// bytes that come from another processor (BenchmarkDriversUnderLoad).
	repeatCost = 16 << 10
	// repeatsAtLeast is how many packets come again before it says anything.
	repeatsAtLeast = 4
	// weighed is when what was counted begins to fade, in the same bytes.
	weighed = 256 << 20

	// How long whole packets are copied before parts are tried again: at first, and
	// after it has failed again and again.
	firstTrial, lastTrial = int64(time.Second), int64(64 * time.Second)
	// worthTrying is how many bytes a second must have been copied that parts would
	// have spared, for a trial.
	worthTrying = 16 << 20
)

// copyRule chooses between copying a part of each packet and all of it, by what it
// costs: nobody looks at most of a large packet; but where the part is not enough,
// the packet has to be queued twice. It counts what the parts spared and how often
// they were too short, and goes over to whole packets when that costs more. Then it
// tries parts again, ever less often while they fail.
type copyRule struct {
	part  int // bytes
	whole bool

	// With parts: packets of which not all was copied, how many of them came again,
	// and the bytes that were not copied, of those that came again too.
	cut, repeated, spared float64
	wasted                uint64 // with whole packets: bytes that parts would have spared
	since, trial          int64  // when it went over; how long until it tries
}

// decided is told of a batch and its verdicts at now, in ns. It reports whether the
// other way is cheaper from now on.
func (r *copyRule) decided(now int64, packets []firewall.Packet, list []firewall.Verdict) (change bool) {
	if r.whole {
		return r.tryParts(now, packets)
	}
	for i := range packets {
		if p := &packets[i]; p.More {
			r.cut++
			r.spared += float64(p.Length - len(p.Data))
		}
	}
	if r.cut == 0 {
		return false
	}
	for i := range list {
		if list[i].Action == firewall.Again {
			r.repeated++
		}
	}
	switch cost, gain := r.repeated*repeatCost, r.spared*max(0, 1-r.repeated/r.cut); {
	case r.repeated >= repeatsAtLeast && cost > gain:
		r.trial = min(max(2*r.trial, firstTrial), lastTrial)
		r.whole, r.since, r.wasted = true, now, 0
		return true
	case cost+gain > weighed:
		r.cut, r.repeated, r.spared = r.cut/2, r.repeated/2, r.spared/2
		r.trial = 0 // parts have proved good
	}
	return false
}

// tryParts reports whether it is time to try, and would spare something.
func (r *copyRule) tryParts(now int64, packets []firewall.Packet) bool {
	for i := range packets {
		if n := packets[i].Length; n > r.part {
			r.wasted += uint64(n - r.part)
		}
	}
	waited := now - r.since
	if waited < r.trial {
		return false
	}
	if r.wasted/worthTrying < uint64(waited/int64(time.Second)) {
		r.since, r.wasted = now, 0
		return false
	}
	r.whole, r.cut, r.repeated, r.spared = false, 0, 0, 0
	return true
}
