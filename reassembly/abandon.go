package reassembly

// Whole returns the packets of the frame that was handed out last and is not released.
func (r *Reassembler) Whole() []Packet { return r.frame.Packets }

// Release ends the use of the frame that was handed out last, as [Frame.Release] does.
func (r *Reassembler) Release() { r.frame.Release() }

// Abandon shows the packets of all frames that r may hold to lost, after a panic in one
// of its methods; some may be shown twice, or have been shown to the sink. It relies on
// no more than that entries are in one of the lists. r is of no use behind it.
func (r *Reassembler) Abandon(lost func(packets []Packet)) {
	seen := make(map[*entry]bool)
	show := func(e *entry) {
		seen[e] = true
		lost(e.packets)
	}
	for _, first := range r.keys.lists {
		for e := first; e != nil && !seen[e]; e = e.next {
			show(e)
		}
	}
	for e := r.frames.head; e != nil; e = e.links[ofAll].next {
		if !seen[e] {
			show(e)
		}
	}
	lost(r.frame.Packets)
	lost(r.dropped.Packets)
}
