package tap

import (
	"sync/atomic"

	"sttwall/firewall"
	"sttwall/stt"
)

const (
	// storeBytes bounds the outer packets that all workers keep together until they
	// are decided, in bytes, and storePackets is of how many each worker does; a power
	// of two. Where a packet was overwritten before it was decided, it is lost.
	storeBytes, storePackets = 32 << 20, 8192
	// leastStore is the part of a worker at least.
	leastStore = 256 << 10
)

// Core stands between a worker and its firewall. While somebody wants outer packets it
// keeps a copy of each until it is decided.
type Core struct {
	*firewall.Firewall
	taps  *Taps
	store atomic.Pointer[packetStore] // nil: nobody wants them

	using *packetStore // for the packet at hand
	alone firewall.FrameEvent
}

// Wrap stands in front of a firewall, before its first packet.
func (t *Taps) Wrap(f *firewall.Firewall) *Core {
	c := &Core{Firewall: f, taps: t}
	f.AlsoTell(c.observe, func() bool { return c.using != nil })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cores = append(t.cores, c)
	if t.outer.Load() != nil {
		c.begin(len(t.cores))
	}
	return c
}

func (c *Core) begin(cores int) { c.store.Store(newPacketStore(max(leastStore, storeBytes/cores))) }
func (c *Core) end()            { c.store.Store(nil) }

// ProcessBatch has packets decided; see [firewall.Firewall.ProcessBatch].
func (c *Core) ProcessBatch(now int64, packets []firewall.Packet, out *firewall.Verdicts) {
	if c.using = c.store.Load(); c.using == nil {
		c.Firewall.ProcessBatch(now, packets, out)
		return
	}
	// One by one: a batch may be more than the store keeps.
	for i := range packets {
		c.keepAndProcess(now, &packets[i], out)
	}
}

// Process is ProcessBatch for one packet.
func (c *Core) Process(now int64, p *firewall.Packet, out *firewall.Verdicts) {
	if c.using = c.store.Load(); c.using == nil {
		c.Firewall.Process(now, p, out)
		return
	}
	c.keepAndProcess(now, p, out)
}

func (c *Core) keepAndProcess(now int64, p *firewall.Packet, out *firewall.Verdicts) {
	c.using.keep(now, p)
	before := len(out.List)
	c.Firewall.Process(now, p, out)
	c.rest(out.List[before:])
}

// Expire drops what was held for too long; see [firewall.Firewall.Expire].
func (c *Core) Expire(now int64, out *firewall.Verdicts) {
	c.using = c.store.Load()
	before := len(out.List)
	c.Firewall.Expire(now, out)
	c.rest(out.List[before:])
}

// Flush drops all that is held.
func (c *Core) Flush(out *firewall.Verdicts) {
	c.using = c.store.Load()
	before := len(out.List)
	c.Firewall.Flush(out)
	c.rest(out.List[before:])
}

// observe hands out the packets of a frame.
func (c *Core) observe(e *firewall.FrameEvent) {
	if c.using == nil {
		return
	}
	taps := load(&c.taps.outer)
	for _, one := range taps {
		if one.wants != nil && !one.wants(e) {
			continue
		}
		for i := range e.Packets {
			if k := c.using.find(e.Packets[i].ID); k != nil {
				one.putPacket(e, c.using, k, i)
			} else if e.Time >= c.using.since {
				one.ring.Lose() // overwritten
			}
		}
	}
	for i := range e.Packets {
		c.using.forget(e.Packets[i].ID)
	}
}

// rest hands out the packets that were decided and belong to no frame that was told
// of: segments that are dropped by themselves, or came behind their frame.
func (c *Core) rest(list []firewall.Verdict) {
	if c.using == nil {
		return
	}
	for i := range list {
		k := c.using.find(list[i].ID)
		if k == nil {
			continue
		}
		if list[i].Action == firewall.Again { // not decided: it comes as another packet
			c.using.forget(list[i].ID)
			continue
		}
		e := &c.alone
		*e = firewall.FrameEvent{Time: k.time, Decided: k.time, Verdict: list[i].Action, Segments: 1}
		e.Decision.TenantIndex, e.Decision.RuleIndex = -1, -1
		var s stt.Segment
		s.Decode(c.using.bytes(k), k.length, nil) // whatever it makes of it: it was refused
		e.Src, e.Dst, e.SrcPort, e.FrameID, e.FrameLength = s.Src, s.Dst, s.SrcPort, s.FrameID, int(s.FrameLength)
		for _, one := range load(&c.taps.outer) {
			if one.wants == nil || one.wants(e) {
				one.putPacket(e, c.using, k, -1)
			}
		}
		c.using.forget(list[i].ID)
	}
}

// putPacket copies an outer packet into the ring; at is its place in its frame, -1 if
// it has none.
func (t *Tap) putPacket(e *firewall.FrameEvent, from *packetStore, k *keptPacket, at int) {
	defer t.ring.Rouse() // behind End: who is woken earlier finds nothing, and sleeps on
	if place := t.ring.Claim(); place != nil {
		filled := false
		defer func() { t.ring.End(place, filled) }()
		s := &place.Value
		s.event = *e
		s.event.Forget()
		s.event.Moves = s.moves[:copy(s.moves[:], e.Moves)]
		s.count, s.time, s.packet, s.alone, s.length = 0, k.time, max(0, at), at < 0, k.length
		s.empty = !t.copy(s, from.bytes(k))
		filled = true
	}
}

// packetStore keeps packets until they are decided. One worker uses it.
type packetStore struct {
	data    []byte
	since   int64  // when the first came
	written uint64 // bytes, since the beginning
	packets [storePackets]keptPacket
}

// keptPacket is where a packet lies. The kernel counts IDs up, so that their places
// differ.
type keptPacket struct {
	id     uint64
	there  bool
	at     uint64 // in what was written
	size   int
	length int // on the wire
	time   int64
}

func newPacketStore(bytes int) *packetStore { return &packetStore{data: make([]byte, bytes)} }

// keep copies a packet, over the oldest.
func (s *packetStore) keep(now int64, p *firewall.Packet) {
	if s.written == 0 {
		s.since = now
	}
	size := min(len(p.Data), len(s.data))
	if at := int(s.written % uint64(len(s.data))); at+size > len(s.data) {
		s.written += uint64(len(s.data) - at) // no packet goes over the end
	}
	at := s.written
	copy(s.data[at%uint64(len(s.data)):], p.Data[:size])
	s.written += uint64(size)
	s.packets[p.ID%storePackets] = keptPacket{id: p.ID, there: true, at: at, size: size, length: max(p.Length, len(p.Data)), time: now}
}

// find returns a packet; nil if it is not there any more.
func (s *packetStore) find(id uint64) *keptPacket {
	k := &s.packets[id%storePackets]
	if !k.there || k.id != id || s.written-k.at > uint64(len(s.data)) {
		return nil
	}
	return k
}

func (s *packetStore) bytes(k *keptPacket) []byte {
	return s.data[k.at%uint64(len(s.data)):][:k.size]
}

func (s *packetStore) forget(id uint64) {
	if k := &s.packets[id%storePackets]; k.id == id {
		k.there = false
	}
}
