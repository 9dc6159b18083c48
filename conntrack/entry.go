package conntrack

import (
	"net/netip"
)

// entry is a flow. It has no pointers, so that the garbage collector has nothing
// to follow; addresses are 16 bytes, IPv4 mapped.
type entry struct {
	key        packed
	tag        uint8
	status     status
	hash       uint32 // bits of the key's hash that find its slot
	version    uint32
	last       int64 // when a packet last kept it alive
	generation uint32
	rule       int32
	mark       uint32
	from       [2][16]byte // outer endpoint of the side that sends in the direction
	packets    [2]uint32
	created    uint32    // seconds on the clock
	contexts   [2]uint64 // last context ID in the direction
	bytes      [2]uint64
	halves     [2]half // by direction: 0 is that of the first packet
	prev, next uint32  // list of the status; entry+1

	// What rules need to judge the first packet again.
	ethSrc, ethDst     [6]byte
	tci, tci2          uint16
	tcpFlags           uint16
	icmpType, icmpCode uint8
	tos, tags          uint8

	flags entryFlags
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
)

// half is what is known of one side of a TCP flow: as sender of its direction.
type half struct {
	end    uint32 // highest sequence number sent, plus one
	maxEnd uint32 // highest that the other side has room for
	maxWin uint32 // largest window that it has announced; 0: nothing seen of it
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

func (e *entry) expires(timeouts *Timeouts) int64 { return e.last + timeouts.of(e.status) }

// list is a queue of entries of one status, the longest there first. An entry
// that a packet keeps alive stays where it is: it is put behind the others when
// its turn comes.
type list struct{ head, tail uint32 } // entry+1

func (l *list) push(s *shard, n uint32) {
	e := s.at(n)
	e.flags &^= flagTouched
	e.prev, e.next = l.tail, 0
	if l.tail != 0 {
		s.at(l.tail - 1).next = n + 1
	} else {
		l.head = n + 1
	}
	l.tail = n + 1
}

func (l *list) unlink(s *shard, n uint32) {
	e := s.at(n)
	if e.prev != 0 {
		s.at(e.prev - 1).next = e.next
	} else {
		l.head = e.next
	}
	if e.next != 0 {
		s.at(e.next - 1).prev = e.prev
	} else {
		l.tail = e.prev
	}
}

func addressOf(b [16]byte) netip.Addr { return netip.AddrFrom16(b).Unmap() }
