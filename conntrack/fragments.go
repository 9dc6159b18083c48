package conntrack

import (
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/inspect"
	"sttwall/reason"
)

// FragmentConfig makes [Fragments].
type FragmentConfig struct {
	// MaxPackets bounds the fragmented inner packets that are remembered at once;
	// 8 to 4,194,304, rounded up to a power of two. Each takes about 200 bytes,
	// in slabs that are made when they are needed.
	MaxPackets int
	// Timeout is how long a packet is remembered after its first fragment; 0 means
	// that of [DefaultTimeouts].
	Timeout time.Duration
}

// MaxFragmented is the largest [FragmentConfig.MaxPackets].
const MaxFragmented = 4 << 20

// Fragments remembers what became of the first fragments of inner IP packets, so
// that the others, which show no ports, can follow them. A packet is forgotten
// when all of it has come (as far as the lengths of its fragments tell), or after
// a time. To forget lets nothing pass that was not decided: a later fragment of
// an unknown packet does not leave.
//
// It is a set-associative table: a seeded hash names a bucket of a few entries
// behind one lock. In a full bucket the outer source that has most entries in it
// loses its oldest, so that nobody can push out others by sending more.
//
// Its methods may be called from any goroutine.
type Fragments struct {
	seed    maphash.Seed
	slabs   []atomic.Pointer[fragmentSlab]
	mask    uint64 // of buckets
	timeout atomic.Int64

	entered, evicted atomic.Uint64
}

const (
	fragmentWays     = 8 // entries in a bucket
	fragmentSlabBits = 4
)

type fragmentSlab [1 << fragmentSlabBits]fragmentBucket

type fragmentBucket struct {
	mu      sync.Mutex
	entries [fragmentWays]fragmented
}

// NewFragments makes an empty table. The error says which field is out of bounds.
func NewFragments(c FragmentConfig) (*Fragments, error) {
	if c.MaxPackets < fragmentWays || c.MaxPackets > MaxFragmented {
		return nil, fmt.Errorf("fragmented packets: %d, want %d to %d", c.MaxPackets, fragmentWays, MaxFragmented)
	}
	if c.Timeout < 0 {
		return nil, fmt.Errorf("timeout of fragments: %v is negative", c.Timeout)
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeouts().Fragment
	}
	buckets := 1 << bits.Len(uint((c.MaxPackets-1)/fragmentWays))
	t := &Fragments{
		seed:  maphash.MakeSeed(),
		slabs: make([]atomic.Pointer[fragmentSlab], (buckets+1<<fragmentSlabBits-1)>>fragmentSlabBits),
		mask:  uint64(buckets - 1),
	}
	t.timeout.Store(int64(c.Timeout))
	return t, nil
}

// SetTimeout changes how long packets are remembered whose first fragment comes
// from now on.
func (t *Fragments) SetTimeout(d time.Duration) { t.timeout.Store(int64(d)) }

// FragmentStats counts since the table was made.
type FragmentStats struct {
	Entered uint64 // packets that were remembered
	Evicted uint64 // forgotten for want of room
}

// Stats returns what t has counted.
func (t *Fragments) Stats() FragmentStats {
	return FragmentStats{Entered: t.entered.Load(), Evicted: t.evicted.Load()}
}

// FragmentVerdict is what was decided about a first fragment.
type FragmentVerdict struct {
	Accept bool
	Reason reason.Reason // why not
	// Generation names the rules that decided; Rule and Mark are theirs, as in
	// [Result].
	Generation uint32
	Rule       int32
	Mark       uint32
	// Handle is the flow that the fragment belongs to; not valid if there is none.
	Handle Handle
	// HeaderBytes is as in [Result]: how many bytes of the inner frame the verdict
	// rests on, where those are more than its headers.
	HeaderBytes int
	// Stateless: the rule has no state; Log: each fragment is to be logged.
	Stateless, Log bool
}

// Followed says what is known of the packet of a later fragment.
type Followed uint8

// What there is to know.
const (
	FollowUnknown Followed = iota // no first fragment has come
	FollowVerdict                 // it shares the verdict of the first
	FollowStale                   // the first passed by other rules: judge it again
	FollowOverlap                 // it begins inside of what the verdict of the first rests on
)

// fragmented is an inner packet that comes in fragments. No pointers; addresses
// are 16 bytes, IPv4 mapped.
type fragmented struct {
	key     packedFragment
	used    bool
	passed  bool // a first fragment with these headers has left
	verdict FragmentVerdict
	from    [16]byte
	expires int64  // ns
	print   uint64 // seeded hash of the headers
	header  uint32 // bytes of the payload that they take
	rests   uint32 // bytes of it that the verdict rests on: these, and what an ICMP error quotes
	seen    uint32 // bytes of fragments that have come
	length  uint32 // of the whole payload; 0: not known yet

	// What rules need to judge the first fragment again.
	to                 [16]byte
	ethSrc, ethDst     [6]byte
	tci, tci2          uint16
	tcpFlags           uint16
	srcPort, dstPort   uint16
	icmpType, icmpCode uint8
	tos, tags          uint8
	protocol           uint8
	has                fragmentHas
}

// fragmentHas says which of the fields of a first fragment are valid.
type fragmentHas uint8

const (
	hasPorts fragmentHas = 1 << iota
	hasTCP
	hasICMP
)

// bucket returns the locked bucket of an ID; nil if there is none yet and nothing
// is to be put into it.
func (t *Fragments) bucket(id *FragmentID, purpose wanted) *fragmentBucket {
	n := id.hash & t.mask
	slot := &t.slabs[n>>fragmentSlabBits]
	slab := slot.Load()
	if slab == nil {
		if purpose == toLook {
			return nil
		}
		slot.CompareAndSwap(nil, new(fragmentSlab))
		slab = slot.Load()
	}
	b := &slab[n&(1<<fragmentSlabBits-1)]
	b.mu.Lock()
	return b
}

// leave unlocks a bucket. It is deferred: after a panic the bucket forgets all, since
// nobody knows what in it is right.
func (b *fragmentBucket) leave() {
	v := recover()
	if v != nil {
		b.entries = [fragmentWays]fragmented{}
	}
	b.mu.Unlock()
	if v != nil {
		panic(v)
	}
}

type wanted bool

const (
	toLook  wanted = false
	toEnter wanted = true
)

// find returns the entry of an ID, or nil. What is over is forgotten on the way.
func (b *fragmentBucket) find(now int64, id *FragmentID) *fragmented {
	for i := range b.entries {
		e := &b.entries[i]
		switch {
		case !e.used:
		case now >= e.expires:
			e.used = false
		case e.key == id.key && (e.from == id.from || id.key[53]&fragmentAnyEndpoint != 0):
			return e
		}
	}
	return nil
}

// room returns an entry for a packet from that outer source, and whether somebody
// had to go for it: the oldest of the source that has most entries, which is the
// packet's own if that has as many.
func (b *fragmentBucket) room(from [16]byte) (e *fragmented, evicted bool) {
	most := 0
	for i := range b.entries {
		c := &b.entries[i]
		if !c.used {
			return c, false
		}
		n := 0
		for j := range b.entries {
			if b.entries[j].from == c.from {
				n += 2
			}
		}
		if c.from == from {
			n++
		}
		if n > most || n == most && c.expires < e.expires {
			e, most = c, n
		}
	}
	return e, true
}

// headers returns the bytes at the start of a first fragment's payload that were
// read as headers: what was decided rests on them.
func headers(p *Packet) []byte {
	f := p.Frame
	return p.Data[f.IPEnd-f.Fragment.Bytes : f.PayloadOffset]
}

// rests returns how many bytes of a first fragment's payload v rests on.
func (v *FragmentVerdict) rests(p *Packet) uint32 {
	f := p.Frame
	return uint32(max(v.HeaderBytes, f.PayloadOffset) - (f.IPEnd - f.Fragment.Bytes))
}

// Begin looks at a first fragment before it is decided. False: another first
// fragment of the packet has passed, with other headers (RFC 5722 would have the
// whole packet thrown away). It must not pass, and no later one will. One that was
// dropped stands in nobody's way: or who may send nothing could stop what others
// send, by guessing their IDs.
func (t *Fragments) Begin(now int64, id *FragmentID, p *Packet) bool {
	b := t.bucket(id, toLook)
	if b == nil {
		return true
	}
	defer b.leave()
	e := b.find(now, id)
	return e == nil || !e.contradicts(headers(p), t.seed)
}

// PeekFirst says what Begin would say, and remembers nothing: for questions about a
// first fragment.
func (t *Fragments) PeekFirst(now int64, id *FragmentID, p *Packet) bool {
	b := t.bucket(id, toLook)
	if b == nil {
		return true
	}
	defer b.leave()
	e := b.find(now, id)
	if e == nil {
		return true
	}
	asked := *e // a copy may be marked
	return !asked.contradicts(headers(p), t.seed)
}

func (e *fragmented) same(headers []byte, seed maphash.Seed) bool {
	return e.header == uint32(len(headers)) && e.print == maphash.Bytes(seed, headers)
}

// contradicts compares the headers of another first fragment with those of one
// that has passed, and remembers it if they differ.
func (e *fragmented) contradicts(headers []byte, seed maphash.Seed) bool {
	if e.verdict.Reason == reason.FragmentConflict {
		return true
	}
	if !e.passed || e.same(headers, seed) {
		return false
	}
	e.verdict = FragmentVerdict{Reason: reason.FragmentConflict, Rule: -1}
	return true
}

// Decided remembers what was decided about a first fragment, which Begin has let
// through. A repeated one can make the packet pass, but not stop it: what passed
// has passed. One with other headers than those of one that was dropped is of
// another packet.
func (t *Fragments) Decided(now int64, id *FragmentID, p *Packet, v *FragmentVerdict) {
	b := t.bucket(id, toEnter)
	defer b.leave()
	h := headers(p)
	e, evicted := b.find(now, id), false
	switch {
	case e == nil:
		if e, evicted = b.room(id.from); evicted {
			t.evicted.Add(1)
		}
	case e.contradicts(h, t.seed):
		return
	case e.same(h, t.seed):
		if v.Accept || !e.verdict.Accept {
			e.verdict, e.rests, e.passed = *v, max(e.rests, v.rests(p)), e.passed || v.Accept
		}
		return
	}
	// Another packet than the one that was dropped has its place.
	f := p.Frame
	*e = fragmented{
		key: id.key, from: id.from, used: true, passed: v.Accept, verdict: *v,
		expires: now + t.timeout.Load(),
		print:   maphash.Bytes(t.seed, h), header: uint32(len(h)), rests: v.rests(p),
		seen: uint32(f.Fragment.Bytes),
		to:   p.To.As16(), ethSrc: f.EthSrc, ethDst: f.EthDst, tci: f.Tags[0], tci2: f.Tags[1], tags: f.TagCount,
		tcpFlags: f.TCPFlags, srcPort: f.SrcPort, dstPort: f.DstPort,
		icmpType: f.ICMPType, icmpCode: f.ICMPCode, tos: f.TOS, protocol: f.Protocol,
	}
	if f.HasPorts {
		e.has |= hasPorts
	}
	if f.HasTCP {
		e.has |= hasTCP
	}
	if f.HasICMP {
		e.has |= hasICMP
	}
	t.entered.Add(1)
}

// Entered returns a number that is another one when a packet has been remembered
// since.
func (t *Fragments) Entered() uint64 { return t.entered.Load() }

// Knows reports whether the packet's first fragment has been decided.
func (t *Fragments) Knows(now int64, id *FragmentID) bool {
	b := t.bucket(id, toLook)
	if b == nil {
		return false
	}
	defer b.leave()
	return b.find(now, id) != nil
}

// Follow says what is known of the packet of a later fragment, and counts the
// fragment as come unless that is FollowStale or FollowOverlap. generation names
// the rules that hold now. out is valid for FollowVerdict and FollowStale.
func (t *Fragments) Follow(now int64, generation uint32, id *FragmentID, g *inspect.Fragment, out *FragmentVerdict) Followed {
	return t.follow(now, generation, id, g, out, true)
}

// Peek is Follow without counting the fragment: for questions about it.
func (t *Fragments) Peek(now int64, generation uint32, id *FragmentID, g *inspect.Fragment, out *FragmentVerdict) Followed {
	return t.follow(now, generation, id, g, out, false)
}

func (t *Fragments) follow(now int64, generation uint32, id *FragmentID, g *inspect.Fragment, out *FragmentVerdict, came bool) Followed {
	b := t.bucket(id, toLook)
	if b == nil {
		return FollowUnknown
	}
	defer b.leave()
	e := b.find(now, id)
	if e == nil {
		return FollowUnknown
	}
	if uint32(g.Offset) < e.rests {
		// RFC 1858 section 3, RFC 3128.
		return FollowOverlap
	}
	*out = e.verdict
	if out.Generation != generation {
		if out.Accept {
			return FollowStale
		}
		out.Rule = -1 // of another policy
	}
	if came {
		e.count(g)
	}
	return FollowVerdict
}

// count forgets the packet when all of it has come: senders use their IDs again,
// in IPv4 within a second (RFC 4963).
func (e *fragmented) count(g *inspect.Fragment) {
	e.seen = min(e.seen+uint32(g.Bytes), 1<<30)
	if !g.More {
		e.length = uint32(g.Offset) + uint32(g.Bytes)
	}
	if e.seen == e.length && e.verdict.Reason != reason.FragmentConflict {
		e.used = false
	}
}

// Origin fills f with the first fragment of a packet, as far as rules look at it.
// ok is false if it is gone. from and to are the outer endpoints.
func (t *Fragments) Origin(now int64, id *FragmentID, f *inspect.Frame) (from, to netip.Addr, ok bool) {
	b := t.bucket(id, toLook)
	if b == nil {
		return from, to, false
	}
	defer b.leave()
	e := b.find(now, id)
	if e == nil {
		return from, to, false
	}
	*f = inspect.Frame{
		EthSrc: e.ethSrc, EthDst: e.ethDst, TagCount: e.tags,
		IP: 6, EtherType: inspect.EtherTypeIPv6,
		Src: netip.AddrFrom16([16]byte(e.key[0:])), Dst: netip.AddrFrom16([16]byte(e.key[16:])),
		Protocol: e.protocol, TOS: e.tos,
		HasPorts: e.has&hasPorts != 0, SrcPort: e.srcPort, DstPort: e.dstPort,
		HasTCP: e.has&hasTCP != 0, TCPFlags: e.tcpFlags,
		HasICMP: e.has&hasICMP != 0, ICMPType: e.icmpType, ICMPCode: e.icmpCode,
		Fragmented: true, Fragment: inspect.Fragment{More: true}, L4Offset: -1,
	}
	f.Tags[0], f.Tags[1] = e.tci, e.tci2
	if e.key[53]&fragmentIPv4 != 0 {
		f.IP, f.EtherType = 4, inspect.EtherTypeIPv4
		f.Src, f.Dst = f.Src.Unmap(), f.Dst.Unmap()
	}
	return addressOf(e.from), addressOf(e.to), true
}

// Judged says what the rules of the verdict's generation make of the first
// fragment of a packet that other rules let pass.
func (t *Fragments) Judged(now int64, id *FragmentID, v *FragmentVerdict) {
	b := t.bucket(id, toLook)
	if b == nil {
		return
	}
	defer b.leave()
	if e := b.find(now, id); e != nil && e.verdict.Accept {
		e.verdict = *v
	}
}
