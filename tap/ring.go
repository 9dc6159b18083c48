package tap

import (
	"sync/atomic"

	"sttwall/binding"
	"sttwall/firewall"
	"sttwall/internal/ring"
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

// Tap is what one reader wants, and gets. A worker never waits for it: where there is no
// room, the frame is lost and counted.
type Tap struct {
	of    *Taps
	wants func(*firewall.FrameEvent) bool
	snap  int

	ring *ring.Ring[slot]
	seq  uint64 // of the reader

	data  []byte // the chunks
	chunk int    // bytes of one
	free  pool   // those that nobody has
}

// slot is a place in the ring.
type slot struct {
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
	t := &Tap{wants: c.Wants, snap: c.Snap, ring: ring.New[slot](ringSize), chunk: min(c.Snap, chunkSize)}
	n := ringSize
	if c.Snap > chunkSize {
		n = chunks
	}
	t.data = make([]byte, n*t.chunk)
	t.free.list = make([]atomic.Uint32, n)
	for i := range n {
		t.free.give(uint32(i))
	}
	return t
}

// put copies a frame into the ring, with the beginning of its bytes.
func (t *Tap) put(e *firewall.FrameEvent) {
	data := e.InnerData
	if !e.HasHeader {
		data = e.Beginning
	}
	defer t.ring.Rouse() // behind End: who is woken earlier finds nothing, and sleeps on
	if place := t.ring.Claim(); place != nil {
		filled := false
		defer func() { t.ring.End(place, filled) }()
		s := &place.Value
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
		filled = true
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

func (t *Tap) take(f *Frame) (taken bool) {
	for !taken && t.ring.Take(func(s *slot) { taken = t.hand(s, f) }) {
	}
	return taken
}

// hand copies what is in a slot; false if its bytes had no room.
func (t *Tap) hand(s *slot, f *Frame) bool {
	f.Data = f.Data[:0]
	for i, left := 0, s.bytes; left > 0; i++ {
		n := min(left, t.chunk)
		f.Data = append(f.Data, t.data[int(s.chunks[i])*t.chunk:][:n]...)
		left -= n
		t.free.give(s.chunks[i])
	}
	if s.empty {
		t.ring.Lose()
	} else {
		t.seq++
		f.Seq, f.Length = t.seq, s.length
		moves := append([]binding.Move(nil), s.event.Moves...)
		f.Event = s.event
		f.Event.Moves = moves
		f.Segments = append(f.Segments[:0], s.segments[:s.count]...)
		f.Time, f.Packet, f.Alone = s.time, s.packet, s.alone
	}
	s.event = firewall.FrameEvent{} // no old policy is kept alive
	return !s.empty
}
