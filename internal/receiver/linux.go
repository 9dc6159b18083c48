package receiver

import (
	"hash/fnv"
	"slices"
)

// What stt.c holds on to, per CPU.
const (
	linuxSlots     = 256
	linuxPlaces    = 4       // slots that one key may have
	linuxHigh      = 4 << 20 // bytes, above which the longest unused frames go
	linuxLow       = 3 << 20 // down to which they go
	linuxLife      = 30e9    // ns after the first segment
	linuxCleaner   = 30e9    // ns between two looks for what is too old
	linuxOverheads = 768     // bytes that a packet costs beside its payload, roughly
)

// LinuxConfig makes a [Linux].
type LinuxConfig struct {
	// CPUs have a table each; 0 means 1.
	CPUs int
	// Seed of the hash that spreads frames over slots; the original draws one.
	Seed uint64
	// IPv6: outer IPv6 is taken too.
	IPv6 bool
}

// Linux is the model of Open vSwitch's stt.c.
type Linux struct {
	outer outerReader
	seed  uint64
	cpus  []linuxTable
	swept int64 // when the cleaner ran last, in ns
}

type linuxTable struct {
	slots  [linuxSlots]*linuxFrame
	memory int
	uses   uint64
	pushed int // frames that were lost for others
}

// linuxFrame is a frame of which segments wait. It counts lengths in 16 bits, as the
// original does.
type linuxFrame struct {
	key             key
	began           int64
	used            uint64 // orders frames by their last segment
	pieces          []piece
	memory          int
	total, received uint16
	ce              bool
}

// NewLinux makes a receiver without any frames.
func NewLinux(c LinuxConfig) *Linux {
	return &Linux{
		outer: outerReader{port: Port, ipv6: c.IPv6, checkIP: true},
		seed:  c.Seed, cpus: make([]linuxTable, max(c.CPUs, 1)),
	}
}

// PushedOut returns how many frames that were not whole were lost because others needed
// their place or their memory.
func (l *Linux) PushedOut() (n int) {
	for i := range l.cpus {
		n += l.cpus[i].pushed
	}
	return n
}

// Faults implements [Receiver]. The Linux one keeps to its memory.
func (*Linux) Faults() Faults { return Faults{} }

// Receive implements [Receiver].
func (l *Linux) Receive(now int64, cpu int, packet []byte) *Delivered {
	l.clean(now)
	d := l.outer.read(packet)
	if d == nil || !d.checksumGood() {
		return nil
	}
	// The data offset is not looked at: 20 bytes are skipped.
	payload := d.segment[tcpHeaderLen:]
	if len(payload) == 0 || d.offset()+len(payload) > d.total() {
		return nil
	}
	if len(payload) == d.total() {
		// A frame at once, whatever waits under its key.
		return l.finish(d, payload, false, d.ce())
	}
	f := l.cpus[cpu%len(l.cpus)].add(now, l.seed, d, payload)
	if f == nil {
		return nil
	}
	var frame []byte
	gaps := false
	for _, p := range f.pieces {
		gaps = gaps || p.offset != len(frame)
		frame = append(frame, p.data...)
	}
	// The switch is told the outer header of the piece in front.
	return l.finish(d, frame, gaps, f.ce || f.pieces[0].tos&3 == 3)
}

// add keeps a segment, and returns the frame that it completes.
func (t *linuxTable) add(now int64, seed uint64, d *datagram, payload []byte) *linuxFrame {
	cost := len(payload) + linuxOverheads
	if t.memory+cost > linuxHigh {
		t.evict()
	}
	place := t.lookup(now, seed, d.key())
	t.uses++
	p := piece{offset: d.offset(), data: payload, tos: d.tos}
	f := t.slots[place]
	if f == nil {
		t.slots[place] = &linuxFrame{
			key: d.key(), began: now, used: t.uses, pieces: []piece{p}, memory: cost,
			total: uint16(d.total()), received: uint16(len(payload)),
		}
		t.memory += cost
		return nil
	}
	at := slices.IndexFunc(f.pieces, func(q piece) bool { return q.offset >= p.offset })
	if at < 0 {
		at = len(f.pieces)
	}
	// What overlaps is dropped, and what was there stays.
	if at > 0 && f.pieces[at-1].offset+len(f.pieces[at-1].data) > p.offset ||
		at < len(f.pieces) && p.offset+len(payload) > f.pieces[at].offset {
		return nil
	}
	f.pieces = slices.Insert(f.pieces, at, p)
	f.ce = f.ce || d.ce()
	f.received += uint16(len(payload))
	f.memory += cost
	t.memory += cost
	if f.received != f.total {
		f.used = t.uses
		return nil
	}
	t.free(place)
	return f
}

// lookup returns the slot of a frame, or an empty one for it. A frame has four slots
// where it can be; where none is empty the oldest of the frames there is lost.
func (t *linuxTable) lookup(now int64, seed uint64, k key) int {
	h := fnv.New32a()
	for _, part := range [][]byte{length32(int(seed)), k.src.AsSlice(), k.dst.AsSlice(), length32(int(k.frameID))} {
		h.Write(part)
	}
	hash, victim := h.Sum32(), -1
	for range linuxPlaces {
		place := int(hash % linuxSlots)
		hash /= linuxSlots
		f := t.slots[place]
		if f != nil && now < f.began+linuxLife && f.key == k {
			return place
		}
		if victim < 0 || t.slots[victim] != nil && (f == nil || f.began < t.slots[victim].began) {
			victim = place
		}
	}
	if f := t.slots[victim]; f != nil && now < f.began+linuxLife {
		t.pushed++
	}
	t.free(victim)
	return victim
}

func (t *linuxTable) free(place int) {
	if f := t.slots[place]; f != nil {
		t.memory -= f.memory
		t.slots[place] = nil
	}
}

// evict drops the frames that had no segment for the longest time.
func (t *linuxTable) evict() {
	for t.memory > linuxLow {
		oldest := -1
		for i, f := range t.slots {
			if f != nil && (oldest < 0 || f.used < t.slots[oldest].used) {
				oldest = i
			}
		}
		if oldest < 0 {
			return
		}
		t.pushed++
		t.free(oldest)
	}
}

// clean drops what is too old; it looks every 30 s.
func (l *Linux) clean(now int64) {
	tick := now / linuxCleaner * linuxCleaner
	if tick <= l.swept {
		return
	}
	l.swept = tick
	for i := range l.cpus {
		for place, f := range l.cpus[i].slots {
			if f != nil && f.began+linuxLife < tick {
				l.cpus[i].free(place)
			}
		}
	}
}

// finish reads the frame header of what was put together, and does what it says.
func (l *Linux) finish(d *datagram, frame []byte, gaps, ce bool) *Delivered {
	if len(frame) < frameHeaderLen+ethernetLen {
		return nil
	}
	h := readHeader(frame)
	if h.version != 0 {
		return nil
	}
	out := &Delivered{
		Src: d.src, Dst: d.dst, Context: h.context,
		Tagged: h.tci != 0, TCI: h.tci &^ 0x1000, // any value but 0 is a tag
		Frame: frame[frameHeaderLen:], Gaps: gaps, CE: ce,
	}
	if h.flags&flagPartial == 0 {
		out.Trusted = h.flags&flagVerified != 0
		out.Packets = [][]byte{out.Frame}
		return out
	}
	// Partial wins over verified. The offset is believed if headers of the least
	// length have room in front of it and one behind it.
	l3, l4 := 40, 8
	if h.flags&flagIPv4 != 0 {
		l3 = 20
	}
	if h.flags&flagTCP != 0 {
		l4 = 20
	}
	if int(h.l4Offset) < ethernetLen+l3 || len(out.Frame) < int(h.l4Offset)+l4 {
		return nil
	}
	out.Trusted = true // it is written here
	if !out.offload(h, int(h.l4Offset)) {
		return nil
	}
	return out
}
