package nfq

import "sttwall/firewall"

// Bounds of one datagram besides its bytes: room for the messages' headers, and
// pieces (the kernel takes 1,024, UIO_MAXIOV).
const (
	maxHeaders = 32 << 10
	maxPieces  = 1000
	// maxHeader is the most that one message takes of the headers, the padding
	// behind the payload before it included.
	maxHeader = 3 + headerLen + verdictHeaderLen + attrHeaderLen
)

// answers makes datagrams of verdicts: as few messages as say the same.
//
// Accepted packets leave in the order of the list. Dropped ones do not leave, so
// theirs may be said before or after. Where the oldest packets that the kernel
// holds, one behind the other, all have the same verdict in the list, one batch
// verdict says it for all of them:
//
//	the kernel holds    1  2  3  4  5  6     (1 is the oldest)
//	the list says       1a 2a 3d 4a 5a       (6 is held)
//	the messages are    drop 3; accept all up to 5
//
// A packet that is held before them forbids it.
type answers struct {
	queue   uint16
	held    *outstanding
	maxSend int // bytes in one datagram
	// send sends the pieces of a datagram, which are borrowed until it returns.
	send func(pieces [][]byte) error

	copyRange *copyRange

	late, refused, messages, again uint64 // of the last list
	unasked                        uint64 // that were to come again, but had come whole

	at      []int    // where the packets of the list are, or atNowhere
	headers []byte   // all that is no payload, in the order of the pieces
	begun   int      // where in headers the piece begins that is being written
	pieces  [][]byte // finished ones
	size    int      // of the datagram
	waits   bool     // the kernel may have to wait for others to carry the datagram out
}

// atNowhere is where a packet is that the kernel does not hold.
const atNowhere = -1

func newAnswers(queue uint16, held *outstanding, r *copyRange, maxSend int, send func([][]byte) error) *answers {
	return &answers{
		queue: queue, held: held, copyRange: r, maxSend: maxSend, send: send,
		headers: make([]byte, 0, maxHeaders), pieces: make([][]byte, 0, maxPieces+3),
	}
}

// give sends the verdicts of a list. Those for packets that the kernel does not
// hold are counted as late.
func (a *answers) give(list []firewall.Verdict) error {
	a.late, a.refused, a.messages, a.again, a.unasked = 0, 0, 0, 0, 0
	passes, drops := a.look(list)
	if a.again > 0 {
		if err := a.repeat(list); err != nil {
			return err
		}
	}
	var err error
	// What there is less of goes first, one by one if need be, so that it is not
	// in the way of a batch verdict for the rest.
	if drops > passes {
		if err = a.accepts(list); err == nil {
			err = a.drops(list)
		}
	} else {
		if err = a.drops(list); err == nil {
			err = a.accepts(list)
		}
	}
	if err == nil {
		err = a.flush()
	}
	a.reset()
	a.held.rest()
	return err
}

// look finds the packets of the list, marks what becomes of them, and counts
// them.
func (a *answers) look(list []firewall.Verdict) (passes, drops int) {
	a.at = a.at[:0]
	for i := range list {
		v := &list[i]
		at, ok := a.held.find(v.ID)
		switch {
		case !ok:
			a.late++
			at = atNowhere
		case v.Action == firewall.Again && a.held.entries[at]&entryMore != 0:
			a.again++
			a.held.set(at, entryPasses)
		case v.Action != firewall.Accept:
			if v.Action == firewall.Again {
				a.unasked++ // it would come as it is, for ever
			}
			drops++
			a.held.set(at, entryDrops)
		case v.Payload != nil && !sendable(v.Payload):
			a.refused++
			drops++
			a.held.set(at, entryDrops)
		default:
			passes++
			a.held.set(at, entryPasses)
		}
		a.at = append(a.at, at)
	}
	return passes, drops
}

// repeat has the packets of the list queued anew that are to come again, with a copy
// range for all of them. They get new IDs, above all that were received.
func (a *answers) repeat(list []firewall.Verdict) error {
	r := a.copyRange
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := a.setCopyRange(wholePacket); err != nil {
		return err
	}
	for i := range list {
		if at := a.at[i]; at >= 0 && list[i].Action == firewall.Again && a.held.entries[at].state() == entryPasses {
			if err := a.single(at, firewall.Again, nil); err != nil {
				return err
			}
		}
	}
	if err := a.setCopyRange(r.bytes); err != nil {
		return err
	}
	return a.flush() // before somebody else changes it
}

func (a *answers) setCopyRange(bytes uint32) error {
	if a.copyRange.bytes == wholePacket {
		return nil // it is what it has to be
	}
	if err := a.room(copyRangeLen); err != nil {
		return err
	}
	a.headers = appendCopyRange(a.headers, a.queue, bytes)
	a.size += copyRangeLen
	a.waits = true // for whoever configures queues, in whatever namespace (nfnl_lock)
	return nil
}

// accepts says which packets leave, in the order of the list.
func (a *answers) accepts(list []firewall.Verdict) error {
	held := a.held
	for i := 0; i < len(list); {
		at := a.at[i]
		if at < 0 || held.entries[at].state() != entryPasses {
			i++
			continue
		}
		if list[i].Payload == nil {
			if n, next, last := a.run(list, i); n > 1 {
				if err := a.batch(last, firewall.Accept); err != nil {
					return err
				}
				for ; i < next; i++ {
					if at := a.at[i]; at >= 0 && held.entries[at].state() == entryPasses {
						held.finish(at)
					}
				}
				continue
			}
		}
		if err := a.single(at, firewall.Accept, list[i].Payload); err != nil {
			return err
		}
		i++
	}
	return nil
}

// run returns how many packets from list[i] on are accepted as they came and are
// the oldest that the kernel holds, in its order; where the list goes on behind
// them; and which is the last.
func (a *answers) run(list []firewall.Verdict, i int) (n, next, last int) {
	held := a.held
	if !held.batches() {
		return 0, i, 0
	}
	oldest := held.first()
	for next = i; next < len(list); next++ {
		at := a.at[next]
		if at < 0 || held.entries[at].state() != entryPasses {
			continue // dropped, or not there
		}
		if at != oldest || list[next].Payload != nil {
			break
		}
		n, last = n+1, at
		oldest = held.after(at)
	}
	return n, next, last
}

// drops says which packets are dropped: the oldest by one message.
func (a *answers) drops(list []firewall.Verdict) error {
	held := a.held
	n, last := 0, 0
	for at := held.first(); at < len(held.entries) && held.entries[at].state() == entryDrops; at = held.after(at) {
		n, last = n+1, at
	}
	if !held.batches() {
		n = 0
	}
	if n > 1 {
		if err := a.batch(last, firewall.Drop); err != nil {
			return err
		}
	}
	for i := range list {
		at := a.at[i]
		if at < 0 || held.entries[at].state() != entryDrops {
			continue
		}
		if n > 1 && at <= last {
			held.finish(at)
			continue
		}
		if err := a.single(at, firewall.Drop, nil); err != nil {
			return err
		}
	}
	return nil
}

// single says the verdict of one packet. The payload is borrowed until the
// datagram is sent.
func (a *answers) single(at int, action firewall.Action, payload []byte) error {
	if err := a.room(verdictLen(payload)); err != nil {
		return err
	}
	id := uint32(a.held.entries[at].id())
	start := len(a.headers)
	a.size += verdictLen(payload)
	if payload == nil {
		a.headers = appendVerdict(a.headers, a.queue, id, action, nil)
	} else {
		a.headers = appendVerdictHeader(a.headers, msgVerdict, a.queue, id, action)
		a.headers = appendAttrHeader(a.headers, attrPayload, len(payload))
		putLength(a.headers[start:], len(a.headers)-start+len(payload))
		a.pieces = append(a.pieces, a.headers[a.begun:len(a.headers):len(a.headers)], payload)
		a.begun = len(a.headers)
		for n := len(payload); n%4 != 0; n++ {
			a.headers = append(a.headers, 0)
		}
	}
	a.messages++
	a.held.finish(at)
	return nil
}

// batch says the verdict of all that the kernel holds up to the packet at last.
// The caller has made sure of what that is, and marks it.
func (a *answers) batch(last int, action firewall.Action) error {
	if err := a.room(verdictLen(nil)); err != nil {
		return err
	}
	a.headers = appendBatchVerdict(a.headers, a.queue, uint32(a.held.entries[last].id()), action)
	a.size += verdictLen(nil)
	a.messages++
	return nil
}

// room sends what is there if one more message of that size has no room in its
// datagram.
func (a *answers) room(size int) error {
	if a.size > 0 && (a.size+size > a.maxSend || len(a.headers)+maxHeader > cap(a.headers) || len(a.pieces)+2 > maxPieces) {
		return a.flush()
	}
	return nil
}

// flush sends the datagram.
func (a *answers) flush() error {
	if a.size == 0 {
		return nil
	}
	if a.begun < len(a.headers) {
		a.pieces = append(a.pieces, a.headers[a.begun:])
	}
	err := a.send(a.pieces)
	a.reset()
	return err
}

// reset forgets the datagram, and with it the payloads that were borrowed.
func (a *answers) reset() {
	clear(a.pieces)
	a.pieces, a.headers = a.pieces[:0], a.headers[:0]
	a.begun, a.size, a.waits = 0, 0, false
}
