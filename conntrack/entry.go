package conntrack

import (
	"encoding/binary"
	"net/netip"
)

// entry is what packets read and write of a flow: three cache lines of 64 bytes,
// which [Table.Expect] asks for at once. It has no pointers, so that the garbage
// collector has nothing to follow; addresses are 16 bytes, IPv4 mapped.
type entry struct {
	// The first line: which packets are the flow's.
	name   name
	status status
	flags  entryFlags
	// contexts are the last context IDs in each direction; the first is the key's, if
	// it has one, and the rules have accepted the first packet with it.
	contexts [2]uint64

	// The second, which is all that most packets write: where they come from.
	from    [2][16]byte // outer endpoint of the side that sends in the direction
	last    int64       // when a packet last kept it alive
	packets [2]uint32
	bytes   [2]uint64

	// The third: by which rule they pass, and what TCP allows.
	generation uint32
	rule       int32
	mark       uint32
	version    uint32
	halves     [2]half // by direction: 0 is that of the first packet
}

// record is the rest of a flow, which is read when it begins, ends or is shown.
type record struct {
	hash       uint32 // the bits of the key's hash that find its slot
	prev, next uint32 // list of the status; entry+1
	created    uint32 // seconds on the clock

	// What rules need to judge the first packet again.
	ethSrc, ethDst     [6]byte
	tci, tci2          uint16
	tcpFlags           uint16
	icmpType, icmpCode uint8
	tos, tags          uint8
	fragmented         bool // it was a first fragment
}

type entryFlags uint8

const (
	flagReversed     entryFlags = 1 << iota // the first packet went from the key's second address
	flagHasReply                            // contexts[1] is valid
	flagCounted                             // in the source table
	flagChallenged                          // see tcp.go
	flagHalfOpen                            // counted as half-open
	flagTouched                             // kept alive since it was put at the end of its list
	flagSimultaneous                        // both sides have sent a SYN first
	flagTold                                // closed, and those who watch were told: see ends.go
)

// half is what is known of one side of a TCP flow: as sender of its direction.
type half struct {
	end    uint32 // highest sequence number sent, plus one
	maxEnd uint32 // highest that the other side has room for
	maxWin uint32 // largest window that it has announced, in bytes; 0 before its first packet
	maxAck uint32 // highest acknowledgment that it has sent
	finEnd uint32 // sequence number behind its FIN
	scale  uint8  // of its windows
	flags  halfFlags
}

type halfFlags uint8

const (
	halfScale    halfFlags = 1 << iota // sent a window scale option
	halfLiberal                        // picked up in the middle: its scale is not known
	halfFIN                            // has sent its FIN
	halfFINAcked                       // which the other side has acknowledged
	halfAck                            // maxAck is valid; until then it is the number of the SYN
	halfGuess                          // has sent what we could not measure: acknowledgments tell how much
)

// is reports whether the entry has that key. No branch depends on where names differ. It
// reads what [Table.ReadPlain] has just written in the same parts: the processor waits
// for others.
func (e *entry) is(p *packed) bool {
	le, n := binary.LittleEndian, &e.name
	if (le.Uint64(n[0:])^le.Uint64(p[0:]))|(le.Uint64(n[8:])^le.Uint64(p[8:]))|
		(le.Uint64(n[16:])^le.Uint64(p[16:]))|(le.Uint64(n[24:])^le.Uint64(p[24:]))|
		(le.Uint64(n[32:])^le.Uint64(p[32:]))|uint64(le.Uint32(n[40:])^le.Uint32(p[40:]))|
		uint64(le.Uint16(n[44:])^le.Uint16(p[44:])) != 0 {
		return false
	}
	return n[nameLen-1]&nameContext == 0 || e.contexts[0] == p.context()
}

// key returns the key as in the first packet.
func (e *entry) key() Key { return e.name.unpack(e.flags&flagReversed != 0, e.contexts[0]) }

func (e *entry) expires(timeouts *Timeouts) int64 { return e.last + timeouts.of(e.status) }

// list is a queue of entries of one status, the longest there first. An entry
// that a packet keeps alive stays where it is: it is put behind the others when
// its turn comes.
type list struct{ head, tail uint32 } // entry+1

func (l *list) push(s *shard, n uint32) {
	s.at(n).flags &^= flagTouched
	r := s.record(n)
	r.prev, r.next = l.tail, 0
	if l.tail != 0 {
		s.record(l.tail - 1).next = n + 1
	} else {
		l.head = n + 1
	}
	l.tail = n + 1
}

func (l *list) unlink(s *shard, n uint32) {
	r := s.record(n)
	if r.prev != 0 {
		s.record(r.prev - 1).next = r.next
	} else {
		l.head = r.next
	}
	if r.next != 0 {
		s.record(r.next - 1).prev = r.prev
	} else {
		l.tail = r.prev
	}
}

func addressOf(b [16]byte) netip.Addr { return netip.AddrFrom16(b).Unmap() }

// set sets a flag, and does not write the line of the name for it in vain: another
// worker may be reading that.
func (e *entry) set(flag entryFlags) {
	if e.flags&flag == 0 {
		e.flags |= flag
	}
}
