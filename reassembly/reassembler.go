package reassembly

import (
	"errors"
	"math"

	"sttwall/internal/checksum"
	"sttwall/reason"
)

// Reassembler puts segments together. Not for concurrent use.
type Reassembler struct {
	sink          Sink
	timeout, life int64 // ns: how long frames wait, and tombstones last

	now int64

	keys       table
	frames     fifo
	tombstones fifo
	ledger     ledger
	buffers    Buffers
	pool       pool
	refuses    func() bool // nil: nobody does

	// What the caller is shown, and used again.
	frame   Frame
	dropped Dropped
	packets []Packet
}

// Stats is what a [Reassembler] holds.
type Stats struct {
	// Bytes is the size of the buffers in use, Idle of those kept for use.
	Bytes, Idle int
	// Frames and Packets wait for more segments.
	Frames, Packets int
	// Tombstones are the dropped keys that are remembered.
	Tombstones int
	// Sources is how many sources the frames and tombstones belong to; the
	// unlisted ones count as one.
	Sources int
}

// New makes a reassembler that tells sink what it drops. The error names the
// field of c that is out of bounds.
func New(c Config, sink Sink) (*Reassembler, error) {
	c, err := c.WithDefaults()
	if err != nil {
		return nil, err
	}
	if sink == nil {
		return nil, errors.New("no sink for what is dropped")
	}
	return &Reassembler{
		sink:    sink,
		timeout: int64(c.Timeout),
		life:    int64(c.TombstoneLife),
		now:     math.MinInt64,
		keys:    newTable(c.Frames + c.Tombstones),
		ledger:  newLedger(&c),
		buffers: Buffers{limit: c.Memory},
		pool:    newPool(&c),
		refuses: c.Refuse,
	}, nil
}

// Add takes one segment at time now, in ns on a clock that never goes back.
// It returns the frame if the segment makes it whole. If it returns nil, the
// packet is held, or the sink has been told of it before Add returns. Frames
// whose time is over are dropped first, as by [Reassembler.Expire].
func (r *Reassembler) Add(now int64, s *Segment) *Frame {
	r.advance(now)
	f := r.add(s)
	r.ledger.settle()
	return f
}

// Expire drops the frames whose time is over at now.
func (r *Reassembler) Expire(now int64) {
	r.advance(now)
	r.ledger.settle()
}

// Flush drops all frames that are held, as frame_incomplete. Their tombstones
// stay until their time is over.
func (r *Reassembler) Flush() {
	r.frame.Release()
	for r.frames.head != nil {
		r.drop(r.frames.head, reason.FrameIncomplete, nil)
	}
	r.ledger.settle()
}

// NextDeadline returns when the time of the oldest frame is over and
// [Reassembler.Expire] has something to drop; false if no frame is held.
func (r *Reassembler) NextDeadline() (int64, bool) {
	if r.frames.head == nil {
		return 0, false
	}
	return r.frames.head.at + r.timeout, true
}

// Held returns what r holds.
func (r *Reassembler) Held() Stats {
	l := &r.ledger
	st := Stats{
		Bytes: l.used[memory], Idle: r.buffers.total - l.used[memory],
		Frames: l.used[frames], Packets: l.used[packets], Tombstones: l.used[tombstones],
		Sources: len(l.sources),
	}
	if l.unlisted.used != (usage{}) {
		st.Sources++
	}
	return st
}

// advance moves the time on. Both lists are in the order of their times.
func (r *Reassembler) advance(now int64) {
	if r.frame.Packets != nil {
		r.frame.Release()
	}
	r.now = max(r.now, now)
	for e := r.frames.head; e != nil && r.now-e.at >= r.timeout; e = r.frames.head {
		r.drop(e, reason.FrameTimeout, nil)
	}
	for e := r.tombstones.head; e != nil && r.now-e.at >= r.life; e = r.tombstones.head {
		r.forget(e)
	}
}

func (r *Reassembler) add(s *Segment) *Frame {
	why := s.check()
	if why == reason.None && s.whole() {
		// Receivers look it up nowhere either, and of a frame that is held
		// or was dropped under its key they have nothing.
		return r.whole(s)
	}
	e := r.keys.get(s.Src, s.Dst, s.FrameID)
	if e != nil && e.tombstone() {
		r.refuse(s, e.why, true)
		return nil
	}
	var at place
	if e != nil && why == reason.None {
		at, why = e.fit(s, &r.pool)
	}
	switch {
	case why != reason.None && e != nil:
		r.drop(e, why, s)
		return nil
	case why == reason.SegmentEmpty:
		// It may be a stray acknowledgment of real TCP, which says nothing
		// of a frame.
		r.refuse(s, why, false)
		return nil
	case why != reason.None:
		r.refuseKey(s, why)
		return nil
	case e == nil:
		if e = r.begin(s); e == nil {
			return nil
		}
	case e.received+s.length() < e.length && !r.ledger.fits(e.src, packets):
		// The last packet of a frame needs no room: it is not held.
		if !r.makeRoom(e.src, usage{packets: 1}, e, s) {
			return nil
		}
	}
	e.insert(at, s, &r.pool)
	r.ledger.charge(e.src, packets, 1)
	if e.received < e.length {
		return nil
	}
	return r.complete(e)
}

// whole makes a frame of a segment that is all of it, without a copy.
func (r *Reassembler) whole(s *Segment) *Frame {
	r.packets = s.appendTo(r.packets[:0])
	r.frame = Frame{
		Key: s.key(), SrcPort: s.SrcPort, DstPort: s.DstPort,
		FrameLength: s.FrameLength, Data: s.Payload[:len(s.Payload):len(s.Payload)],
		Packets: r.packets, First: r.now, Sum: s.Packet.Sum, Summed: s.Packet.Summed,
	}
	return &r.frame
}

// begin starts a frame with its first segment, which is still to be inserted.
// It returns nil if there is no room for it, with the segment dropped.
func (r *Reassembler) begin(s *Segment) *entry {
	size := BufferSize(s.FrameLength)
	if size > r.ledger.share[memory] {
		r.refuseKey(s, reason.SourceShareFull)
		return nil
	}
	if r.refuses != nil && r.refuses() {
		r.refuseKey(s, reason.ReassemblyFull)
		return nil
	}
	src := r.ledger.source(s.Src)
	r.makeRoom(src, usage{memory: size, frames: 1, packets: 1}, nil, s)
	e := r.enter(s, src)
	e.srcPort, e.dstPort, e.length = s.SrcPort, s.DstPort, s.FrameLength
	e.buf = r.buffers.Get(s.FrameLength)
	e.packets = r.pool.packets.get()
	r.frames.push(e)
	src.frames.push(e)
	r.ledger.charge(src, memory, size)
	r.ledger.charge(src, frames, 1)
	return e
}

// makeRoom drops frames until src may hold need more. If e, for whose sake it
// is done, has to go itself, it goes with s, and makeRoom returns false.
func (r *Reassembler) makeRoom(src *source, need usage, e *entry, s *Segment) bool {
	l := &r.ledger
	for i, n := range need {
		res := resource(i)
		if n == 0 {
			continue
		}
		for src.used[res]+n > l.share[res] || l.used[res]+n > l.total[res] {
			victim, why := src.frames.head, reason.SourceShareFull
			if src.used[res]+n <= l.share[res] {
				victim, why = r.frames.head, reason.ReassemblyFull
			}
			if victim == e {
				r.drop(e, why, s)
				return false
			}
			r.drop(victim, why, nil)
		}
	}
	return true
}

// complete hands out a frame all of whose bytes are there.
func (r *Reassembler) complete(e *entry) *Frame {
	list := e.packets
	if len(e.order) > 0 {
		r.packets = e.inOrder(r.packets[:0])
		list = r.packets
	}
	data := e.buf[:e.length:e.length]
	if e.cut {
		data = e.known(list)
	}
	r.frame = Frame{
		Key: e.key, SrcPort: e.srcPort, DstPort: e.dstPort,
		FrameLength: e.length, Data: data, Packets: list, First: e.at,
		Sum: checksum.Fold(e.sum), Summed: !e.unsummed,
	}
	// The buffer and the list are idle now, but not used before the next call.
	r.release(e)
	r.remove(e)
	return &r.frame
}

// release gives back what a frame holds.
func (r *Reassembler) release(e *entry) {
	r.frames.remove(e)
	e.src.frames.remove(e)
	r.ledger.charge(e.src, memory, -cap(e.buf))
	r.ledger.charge(e.src, frames, -1)
	r.ledger.charge(e.src, packets, -len(e.packets))
	r.buffers.Put(e.buf)
	r.pool.packets.put(e.packets)
	r.pool.putOrder(e.order)
	e.buf, e.packets, e.order = nil, nil, nil
}

// remove forgets a key.
func (r *Reassembler) remove(e *entry) {
	r.keys.remove(e)
	r.pool.putEntry(e)
}
