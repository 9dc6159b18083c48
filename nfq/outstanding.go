package nfq

// outstanding is which packets of a queue the kernel holds for us: those that
// were received and have no verdict yet. A verdict goes to the kernel only for
// one of them, and a batch verdict only while they show that it means no other.
//
// Packet IDs are 32 bits in the kernel and begin anew; here they go on in 64, so
// that none ever means two packets.
type outstanding struct {
	// entries are in the order of their IDs, which is the order of the kernel's
	// list. What is before head is done.
	entries []entry
	head    int
	done    int    // entries from head on that are done
	hint    int    // where the next ID most likely is
	last    uint64 // ID of the last packet received
	// unsure: the kernel may hold packets that are not here.
	unsure bool
}

// entry is an ID, whether the kernel has more of its packet, and in the lowest two
// bits what becomes of it.
type entry uint64

const (
	entryWaits  = entry(iota) // no verdict yet
	entryPasses               // accepted, or to come again; the verdict is not in a message yet
	entryDrops                // dropped; likewise
	entryDone                 // its verdict is in a message
)

const (
	entryState = entry(3)
	entryMore  = entry(4)
	entryBits  = 3

	// keepEntries is how many entries that are done stay for want of a reason
	// to move the others.
	keepEntries = 256
)

func (e entry) id() uint64   { return uint64(e >> entryBits) }
func (e entry) state() entry { return e & entryState }

// received enters the packet with the kernel's ID and returns its own. more says
// that it can be asked for again. The kernel's IDs go up, by as many as were lost: over
// more than half of the 32 bits where the process was stopped for hours. False for an
// ID that cannot be. After that nothing is sure.
func (o *outstanding) received(id uint32, more bool) (uint64, bool) {
	step := id - uint32(o.last)
	if step == 0 {
		o.unsure = true
		return 0, false
	}
	o.last += uint64(step)
	if done := o.head + o.done; done > keepEntries && done > 3*(len(o.entries)-done) {
		o.compact()
	}
	e := entry(o.last) << entryBits
	if more {
		e |= entryMore
	}
	o.entries = append(o.entries, e)
	return o.last, true
}

// compact takes out the entries that are done: three or more for each that it
// moves.
func (o *outstanding) compact() {
	kept := o.entries[:0]
	for _, e := range o.entries[o.head:] {
		if e.state() != entryDone {
			kept = append(kept, e)
		}
	}
	o.entries, o.head, o.done, o.hint = kept, 0, 0, 0
}

// find returns where the packet is; false if it has its verdict or never came.
func (o *outstanding) find(id uint64) (at int, ok bool) {
	at = o.hint
	if at >= len(o.entries) || o.entries[at].id() != id {
		low, high := o.head, len(o.entries)
		for low < high {
			if mid := int(uint(low+high) / 2); o.entries[mid].id() < id {
				low = mid + 1
			} else {
				high = mid
			}
		}
		if at = low; at == len(o.entries) || o.entries[at].id() != id {
			return 0, false
		}
	}
	o.hint = at + 1
	return at, o.entries[at].state() == entryWaits
}

func (o *outstanding) set(at int, state entry) {
	o.entries[at] = o.entries[at]&^entryState | state
}

// finish marks a packet whose verdict is in a message.
func (o *outstanding) finish(at int) {
	o.set(at, entryDone)
	o.done++
}

// first returns where the oldest packet is that the kernel holds; len(entries)
// if there is none.
func (o *outstanding) first() int {
	for o.head < len(o.entries) && o.entries[o.head].state() == entryDone {
		o.head++
		o.done--
	}
	return o.head
}

// batches reports whether a batch verdict means what it says: the kernel compares IDs
// as differences of 32 bits, with a sign, so that none may be far from another.
func (o *outstanding) batches() bool {
	if o.unsure {
		return false
	}
	at := o.first()
	return at == len(o.entries) || o.last-o.entries[at].id() < 1<<31
}

// after returns where the next one behind at is.
func (o *outstanding) after(at int) int {
	for at++; at < len(o.entries) && o.entries[at].state() == entryDone; at++ {
	}
	return at
}

// rest is called between two lists of verdicts: nobody names a place any more.
func (o *outstanding) rest() {
	if o.first() == len(o.entries) {
		o.entries, o.head, o.done = o.entries[:0], 0, 0
	}
	o.hint = o.head
}
