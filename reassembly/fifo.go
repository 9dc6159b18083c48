package reassembly

// fifo is a list of entries in the order in which they were added; its links
// are in the entries. The zero value is an empty list of all entries.
type fifo struct {
	head, tail *entry
	by         membership
}

// membership tells the two lists that an entry is in at a time.
type membership uint8

const (
	ofAll    membership = iota // all frames, or all tombstones
	ofSource                   // those of one source
	memberships
)

type link struct{ prev, next *entry }

func (l *fifo) push(e *entry) {
	e.links[l.by] = link{prev: l.tail}
	if l.tail == nil {
		l.head = e
	} else {
		l.tail.links[l.by].next = e
	}
	l.tail = e
}

func (l *fifo) remove(e *entry) {
	at := e.links[l.by]
	if at.prev == nil {
		l.head = at.next
	} else {
		at.prev.links[l.by].next = at.next
	}
	if at.next == nil {
		l.tail = at.prev
	} else {
		at.next.links[l.by].prev = at.prev
	}
	e.links[l.by] = link{}
}
