package tap

import (
	"sync/atomic"

	"sttwall/binding"
	"sttwall/firewall"
)

const (
	// ringSize is how many frames wait for a reader; a power of two. At 1.5 KB each.
	ringSize = 1024
	// Their bytes lie in chunks of the size of one frame, but of no more than
	// chunkSize, of which there are chunks.
	chunkSize, chunks = 2048, 2048
	// maxChunks hold the largest frame.
	maxChunks = (MaxSnap + chunkSize - 1) / chunkSize
	// maxSegments is of how many packets of a frame it is told what they carried.
	maxSegments = 48
)

// Tap is what one reader wants, and gets: a bounded queue of many producers, after
// Dmitry Vyukov's "Bounded MPMC queue", with one consumer. A producer never waits for
// anybody: where there is no room, the frame is lost and counted.
type Tap struct {
	of    *Taps
	wants func(*firewall.FrameEvent) bool
	snap  int

	slots [ringSize]slot
	tail  atomic.Uint64 // of producers
	lost  atomic.Uint64

	data  []byte // the chunks
	chunk int    // bytes of one
	free  pool   // those that nobody has

	head     uint64 // of the consumer
	seq      uint64
	sleeping atomic.Bool
	wake     chan struct{} // room for one
}

// slot is a place in the ring. turn says whose it is: the position, when it is free
// for it; the position plus one, when it is filled.
type slot struct {
	turn     atomic.Uint64
	empty    bool // there was no room for the bytes
	alone    bool
	event    firewall.FrameEvent
	moves    [binding.MaxClaims]binding.Move
	segments [maxSegments]Segment
	count    int // of segments
	chunks   [maxChunks]uint32
	bytes    int // in the chunks
	length   int
	time     int64
	packet   int
}

// pool has the chunks that are free: many take, one gives. There is room for all.
type pool struct {
	list       []atomic.Uint32
	head, tail atomic.Uint64
}

func (p *pool) take() (uint32, bool) {
	for {
		at := p.head.Load()
		if at == p.tail.Load() {
			return 0, false
		}
		c := p.list[at%uint64(len(p.list))].Load()
		if p.head.CompareAndSwap(at, at+1) {
			return c, true
		}
	}
}

// give is for the one who gives.
func (p *pool) give(c uint32) {
	at := p.tail.Load()
	p.list[at%uint64(len(p.list))].Store(c)
	p.tail.Store(at + 1)
}

func newTap(c Config) *Tap {
	t := &Tap{wants: c.Wants, snap: c.Snap, chunk: min(c.Snap, chunkSize), wake: make(chan struct{}, 1)}
	n := ringSize
	if c.Snap > chunkSize {
		n = chunks
	}
	t.data = make([]byte, n*t.chunk)
	t.free.list = make([]atomic.Uint32, n)
	for i := range n {
		t.free.give(uint32(i))
	}
	for i := range t.slots {
		t.slots[i].turn.Store(uint64(i))
	}
	return t
}

// put copies a frame into the ring, with the beginning of its bytes.
func (t *Tap) put(e *firewall.FrameEvent) {
	data := e.InnerData
	if !e.HasHeader {
		data = e.Beginning
	}
	if s, turn := t.place(); s != nil {
		s.event = *e
		s.event.Forget()
		s.event.Moves = s.moves[:copy(s.moves[:], e.Moves)]
		s.count = min(len(e.Packets), maxSegments)
		for i := range s.count {
			p := &e.Packets[i]
			s.segments[i] = Segment{p.Offset, p.Length, p.GSO}
		}
		s.time, s.packet, s.alone = 0, 0, false
		s.length = len(data)
		s.empty = !t.copy(s, data)
		s.turn.Store(turn)
	}
	t.rouse()
}

// place returns a free place, and its turn when it is filled; nil, and counts, if there
// is none.
func (t *Tap) place() (*slot, uint64) {
	for {
		at := t.tail.Load()
		s := &t.slots[at%ringSize]
		turn := s.turn.Load()
		switch {
		case turn == at:
			if t.tail.CompareAndSwap(at, at+1) {
				return s, at + 1
			}
		case turn < at: // not yet taken since the last time round
			t.lost.Add(1)
			return nil, 0
		}
	}
}

// copy copies bytes into free chunks; false if there are too few.
func (t *Tap) copy(s *slot, data []byte) bool {
	s.bytes = 0
	data = data[:min(len(data), t.snap)]
	for i := 0; len(data) > 0; i++ {
		c, ok := t.free.take()
		if !ok {
			return false
		}
		s.chunks[i] = c
		n := copy(t.data[int(c)*t.chunk:][:t.chunk], data)
		s.bytes += n
		data = data[n:]
	}
	return true
}

func (t *Tap) rouse() {
	if t.sleeping.Load() && t.sleeping.CompareAndSwap(true, false) {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

func (t *Tap) ready() bool { return t.slots[t.head%ringSize].turn.Load() == t.head+1 }

func (t *Tap) take(f *Frame) bool {
	for t.ready() {
		s := &t.slots[t.head%ringSize]
		f.Data = f.Data[:0]
		for i, left := 0, s.bytes; left > 0; i++ {
			n := min(left, t.chunk)
			f.Data = append(f.Data, t.data[int(s.chunks[i])*t.chunk:][:n]...)
			left -= n
			t.free.give(s.chunks[i])
		}
		empty := s.empty
		if !empty {
			t.seq++
			f.Seq, f.Length = t.seq, s.length
			moves := append([]binding.Move(nil), s.event.Moves...)
			f.Event = s.event
			f.Event.Moves = moves
			f.Segments = append(f.Segments[:0], s.segments[:s.count]...)
			f.Time, f.Packet, f.Alone = s.time, s.packet, s.alone
		}
		s.event = firewall.FrameEvent{} // no old policy is kept alive
		s.turn.Store(t.head + ringSize)
		t.head++
		if !empty {
			return true
		}
		t.lost.Add(1)
	}
	return false
}
