package reassembly

import (
	"bytes"
	"fmt"
	"net/netip"
	"testing"

	"sttwall/internal/checksum"
	"sttwall/reason"
)

// outcome is what became of some packets: a whole frame, or a drop.
type outcome struct {
	Key    Key
	Reason reason.Reason // None: whole
	Late   bool
	IDs    []uint64
	Data   string
	// Received is not set for a whole frame.
	Received int
	First    int64
}

func (o outcome) String() string {
	return fmt.Sprintf("%v late=%v frame %v packets %v first %d received %d data %d bytes",
		o.Reason, o.Late, o.Key, o.IDs, o.First, o.Received, len(o.Data))
}

func ids(packets []Packet) []uint64 {
	var list []uint64
	for i := range packets {
		list = append(list, packets[i].ID)
	}
	return list
}

// rig drives a reassembler and checks after every step what must hold always.
type rig struct {
	t   testing.TB
	r   *Reassembler
	c   Config
	out []outcome // of the last call

	pending map[uint64]bool // packets that went in and have not come out: whether their sum was given
}

func newRig(t testing.TB, c Config) *rig {
	t.Helper()
	g := &rig{t: t, pending: make(map[uint64]bool)}
	r, err := New(c, g)
	if err != nil {
		t.Fatal(err)
	}
	g.r = r
	if g.c, err = c.WithDefaults(); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *rig) Dropped(d *Dropped) {
	if len(d.Packets) == 0 || d.Reason == reason.None {
		g.t.Errorf("dropped %d packets of %v as %v", len(d.Packets), d.Key, d.Reason)
	}
	g.settle(d.Packets)
	g.out = append(g.out, outcome{
		Key: d.Key, Reason: d.Reason, Late: d.Late, IDs: ids(d.Packets),
		Data: string(d.Data), Received: d.Received, First: d.First,
	})
}

func (g *rig) settle(packets []Packet) {
	for i := range packets {
		if _, in := g.pending[packets[i].ID]; !in {
			g.t.Errorf("packet %d came out though it is not in", packets[i].ID)
		}
		delete(g.pending, packets[i].ID)
	}
}

// add returns all outcomes of the call, the whole frame last.
func (g *rig) add(now int64, s Segment) []outcome {
	g.t.Helper()
	g.out = nil
	if _, in := g.pending[s.Packet.ID]; in {
		g.t.Fatalf("packet %d is in already", s.Packet.ID)
	}
	// Of some packets nobody knows the sum.
	if s.Packet.Summed = s.Packet.ID%16 != 0; s.Packet.Summed {
		s.Packet.Sum = checksum.Sum(s.Payload)
	}
	g.pending[s.Packet.ID] = s.Packet.Summed
	s.Payload = bytes.Clone(s.Payload)
	f := g.r.Add(now, &s)
	if f != nil {
		g.checkSum(f)
		g.settle(f.Packets)
		g.checkFrame(f)
		g.out = append(g.out, outcome{Key: f.Key, IDs: ids(f.Packets), Data: string(f.Data), First: f.First})
	}
	// The segment was borrowed: what is kept must not be in it.
	for i := range s.Payload {
		s.Payload[i] = 0xee
	}
	g.audit()
	return g.out
}

func (g *rig) expire(now int64) []outcome {
	g.t.Helper()
	g.out = nil
	g.r.Expire(now)
	g.audit()
	return g.out
}

func (g *rig) flush() []outcome {
	g.t.Helper()
	g.out = nil
	g.r.Flush()
	g.audit()
	if len(g.pending) != 0 {
		g.t.Errorf("%d packets never came out", len(g.pending))
	}
	return g.out
}

// checkFrame checks that the packets cover the frame exactly.
func (g *rig) checkFrame(f *Frame) {
	at := 0
	for _, p := range f.Packets {
		if p.Offset != at || p.Length == 0 {
			g.t.Errorf("frame %v: packet %d covers %d bytes from %d, want from %d", f.Key, p.ID, p.Length, p.Offset, at)
		}
		at += p.Length
	}
	if at != f.FrameLength || len(f.Data) > f.FrameLength {
		g.t.Errorf("frame %v: packets end at %d, %d bytes of data; want %d", f.Key, at, len(f.Data), f.FrameLength)
	}
}

// checkSum checks that the sum of the frame is that of its bytes.
func (g *rig) checkSum(f *Frame) {
	summed := true
	for i := range f.Packets {
		summed = summed && g.pending[f.Packets[i].ID]
	}
	if f.Summed != summed {
		g.t.Errorf("frame %v: summed %v, want %v", f.Key, f.Summed, summed)
	}
	if want := checksum.Sum(f.Data); f.Summed && len(f.Data) == f.FrameLength && f.Sum != want {
		g.t.Errorf("frame %v: sum %#x, want %#x", f.Key, f.Sum, want)
	}
}

// audit counts anew what is held, and compares it with the accounts and the bounds.
func (g *rig) audit() {
	g.t.Helper()
	r, c := g.r, &g.c
	var all usage
	bySource := make(map[*source]usage)
	inLists := 0
	held := 0
	count := func(e *entry) {
		inLists++
		if r.keys.get(e.key.Src, e.key.Dst, e.key.FrameID) != e {
			g.t.Errorf("%v is in a list, and not under its key", e.key)
		}
		u := bySource[e.src]
		if e.tombstone() {
			u[tombstones]++
			if e.buf != nil || e.packets != nil || e.order != nil {
				g.t.Errorf("the tombstone of %v holds memory", e.key)
			}
		} else {
			u[frames]++
			u[packets] += len(e.packets)
			u[memory] += cap(e.buf)
			held += len(e.packets)
			received, end := 0, 0
			list := e.inOrder(nil)
			for _, p := range list {
				received += p.Length
				if p.Offset < end {
					g.t.Errorf("%v: packets out of order: %v", e.key, list)
				}
				end = p.Offset + p.Length
			}
			if len(list) != len(e.packets) {
				g.t.Errorf("%v: %d packets, %d in order", e.key, len(e.packets), len(list))
			}
			for i, r := range e.order {
				if r.n < runLen/2 && i+1 < len(e.order) || r.n < 1 {
					g.t.Errorf("%v: run %d of %d has %d spans", e.key, i, len(e.order), r.n)
				}
			}
			if received != e.received || received >= e.length {
				g.t.Errorf("%v: received %d, counted %d of %d", e.key, e.received, received, e.length)
			}
		}
		bySource[e.src] = u
	}
	walk := func(l *fifo) (n int) {
		var last *entry
		for e := l.head; e != nil; last, e = e, e.links[l.by].next {
			n++
			if last != nil && e.at < last.at {
				g.t.Errorf("%v is behind a younger one", e.key)
			}
			if e.links[l.by].prev != last {
				g.t.Errorf("%v: broken link", e.key)
			}
		}
		if l.tail != last {
			g.t.Errorf("list ends elsewhere than it says")
		}
		return n
	}
	for _, l := range []*fifo{&r.frames, &r.tombstones} {
		for e := l.head; e != nil; e = e.links[ofAll].next {
			count(e)
		}
		walk(l)
	}
	if inLists != r.keys.n {
		g.t.Errorf("%d entries in the lists, %d keys", inLists, r.keys.n)
	}
	sources := 0
	for s, u := range bySource {
		sources++
		if u != s.used {
			g.t.Errorf("source %v: counted %v, accounts say %v", s.addr, u, s.used)
		}
		if walk(&s.frames) != u[frames] || walk(&s.tombstones) != u[tombstones] {
			g.t.Errorf("source %v: lists do not hold %v", s.addr, u)
		}
		for res, n := range u {
			all[res] += n
			if n > r.ledger.share[res] {
				g.t.Errorf("source %v holds %d of resource %d, its share is %d", s.addr, n, res, r.ledger.share[res])
			}
		}
	}
	idle := 0
	for class, list := range r.buffers.idle {
		idle += len(list) * classSize(class)
	}
	got := r.Held()
	want := Stats{Bytes: all[memory], Idle: idle, Frames: all[frames], Packets: all[packets],
		Tombstones: all[tombstones], Sources: sources}
	if got != want {
		g.t.Errorf("held %+v, counted %+v", got, want)
	}
	if got.Bytes+got.Idle > c.Memory || got.Frames > c.Frames || got.Packets > c.Packets || got.Tombstones > c.Tombstones {
		g.t.Errorf("%+v is above the bounds %+v", got, *c)
	}
	if len(g.pending) != held {
		g.t.Errorf("%d packets are in, %d held", len(g.pending), held)
	}
	deadline, ok := r.NextDeadline()
	if ok != (got.Frames > 0) || ok && deadline <= r.now {
		g.t.Errorf("next deadline %d, %v with %d frames at %d", deadline, ok, got.Frames, r.now)
	}
}

// Short-hands for segments.

var (
	endpointA = netip.MustParseAddr("192.0.2.1")
	endpointB = netip.MustParseAddr("192.0.2.2")
	endpoint6 = netip.MustParseAddr("2001:db8::1")
)

// numbered returns n bytes that tell where in the frame they are.
func numbered(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i) ^ byte(i>>8)
	}
	return b
}

// piece returns bytes [from, to) of a frame of 100 numbered bytes from A to B.
func piece(id uint64, from, to int) Segment { return pieceOf(id, 100, from, to) }

func pieceOf(id uint64, length, from, to int) Segment {
	return Segment{
		Src: endpointA, Dst: endpointB, SrcPort: 40000, DstPort: 7471, FrameID: 7,
		FrameLength: length, Offset: from, Payload: numbered(max(length, to))[from:to],
		Packet: Packet{ID: id},
	}
}

// with returns s changed by change.
func with(s Segment, change func(*Segment)) Segment {
	change(&s)
	return s
}
