package binding

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
)

// Config makes a [Table].
type Config struct {
	// MaxBindings bounds the table; 1 to [MaxBindings]. Memory grows with the
	// bindings, about 130 bytes for each. When it is full, the endpoint with the
	// most bindings gives one up.
	MaxBindings int
	// MaxPerEndpoint bounds what is bound to one endpoint; 1 to MaxBindings, and 0
	// stands for a quarter of it. An endpoint with more gives up one of its own.
	// Both bounds are rounded up to the number of shards.
	MaxPerEndpoint int
}

// MaxBindings is the largest [Config.MaxBindings].
const MaxBindings = 4 << 20

// Table holds learned bindings. Its methods may be called from any goroutine.
type Table struct {
	seed   maphash.Seed
	shards []shard
	mask   uint32
	stats  counters
}

const (
	slabBits  = 8 // of 104 bytes each
	slabSize  = 1 << slabBits
	maxShards = 16
)

// New makes an empty table. The error says which field is out of bounds.
func New(c Config) (*Table, error) {
	if c.MaxBindings < 1 || c.MaxBindings > MaxBindings {
		return nil, fmt.Errorf("bindings: %d, want 1 to %d", c.MaxBindings, MaxBindings)
	}
	if c.MaxPerEndpoint == 0 {
		c.MaxPerEndpoint = max(1, c.MaxBindings/4)
	}
	if c.MaxPerEndpoint < 1 || c.MaxPerEndpoint > c.MaxBindings {
		return nil, fmt.Errorf("bindings for each endpoint: %d, want 1 to %d", c.MaxPerEndpoint, c.MaxBindings)
	}
	n := shardsFor(c.MaxBindings)
	t := &Table{seed: maphash.MakeSeed(), shards: make([]shard, n), mask: uint32(n - 1)}
	for i := range t.shards {
		s := &t.shards[i]
		s.capacity = (c.MaxBindings + n - 1) / n
		s.accounts.init((c.MaxPerEndpoint + n - 1) / n)
	}
	return t, nil
}

// shardsFor is how many shards so many bindings have.
func shardsFor(bindings int) int { return min(maxShards, 1<<max(0, bits.Len(uint(bindings/1024))-1)) }

// Sighting is a claim as a frame makes it.
type Sighting struct {
	Tenant    int32 // the caller's number for the tenant; the same across reloads
	Claim     *Claim
	From      netip.Addr // outer source
	Announces bool       // see [Claims.Announces]
	// Expiry and MoveAfter are the tenant's, in ns. A binding without a frame of
	// its endpoint for Expiry is forgotten; one without for MoveAfter may move.
	Expiry, MoveAfter int64
}

// Standing is what a table says about a claim.
type Standing uint8

// The standings.
const (
	Unbound   Standing = iota // nobody has the value
	Here                      // it is bound to the endpoint that claims it
	Moves                     // it is bound elsewhere, and moves here if the frame is accepted
	Elsewhere                 // it is bound elsewhere
)

// Found is the answer to a [Table.Check].
type Found struct {
	Standing Standing
	// Endpoint is where the value is bound; not valid if it is Unbound.
	Endpoint netip.Addr

	index, version uint32
}

// Move tells of a binding that has moved.
type Move struct {
	Claim  Claim
	From   netip.Addr // the endpoint that it was bound to before
	Moves  uint32     // how often it has moved since it was learned, this time included
	Stayed int64      // ns for which it was bound to From
}

// Check says what is known of the claim. It changes nothing. now is in ns on a
// clock that never goes back by much.
func (t *Table) Check(now int64, g *Sighting) Found {
	k, h, s := t.find(g)
	s.mu.Lock()
	defer s.leave()
	i, found := s.find(&k, h)
	if !found {
		return Found{}
	}
	e := s.at(i)
	f := Found{Endpoint: e.endpoint.addr(), index: i, version: e.version}
	switch f.Standing = Elsewhere; {
	case now-e.last >= g.Expiry:
		return Found{}
	case e.endpoint == endpointOf(g.From):
		f.Standing = Here
	case g.Announces || now-e.last >= g.MoveAfter:
		f.Standing = Moves
	}
	return f
}

// Commit takes the claim of a frame that was accepted: it is learned, kept alive,
// or moved, in which case m is filled and true is returned. f is the answer to
// Check for the same frame. Where another worker was first and bound the value
// elsewhere, nothing is done.
func (t *Table) Commit(now int64, g *Sighting, f Found, m *Move) (moved bool) {
	k, h, s := t.find(g)
	s.mu.Lock()
	defer s.leave()
	i, found := f.index, f.version != 0
	if found {
		found = s.at(i).version == f.version
	}
	if !found {
		i, found = s.find(&k, h)
	}
	from := endpointOf(g.From)
	if found && now-s.at(i).last >= g.Expiry {
		s.remove(i)
		t.stats.expired.Add(1)
		found = false
	}
	if !found {
		t.learn(now, s, &k, h, from, g)
		return false
	}
	e := s.at(i)
	if e.endpoint == from {
		e.last, e.life, e.touched = max(e.last, now), g.Expiry, true
		return false
	}
	if !g.Announces && now-e.last < g.MoveAfter {
		return false
	}
	*m = Move{Claim: *g.Claim, From: e.endpoint.addr(), Moves: e.moves + 1, Stayed: max(0, now-e.since)}
	t.stats.moved.Add(1)
	t.move(now, s, i, from, g)
	return true
}

// learn binds a value that is not bound.
func (t *Table) learn(now int64, s *shard, k *key, h uint64, from endpoint, g *Sighting) {
	t.expireSome(s, now, 2)
	if !t.makeRoom(now, s, from) {
		t.stats.unlearned.Add(1)
		return
	}
	e, i := s.insert(k, h)
	e.endpoint, e.last, e.since, e.life = from, now, now, g.Expiry
	s.enlist(i)
	t.stats.learned.Add(1)
}

// move binds a value to another endpoint. Where that has no room in its share, the
// value is not bound any more.
func (t *Table) move(now int64, s *shard, i uint32, to endpoint, g *Sighting) {
	e := s.at(i)
	s.delist(i)
	if s.accounts.full(to) && !t.giveUp(now, s, to) {
		s.enlist(i)
		s.remove(i)
		t.stats.unlearned.Add(1)
		return
	}
	e.endpoint, e.last, e.since, e.life = to, now, now, g.Expiry
	if e.moves++; e.moves == 0 {
		e.moves-- // enough
	}
	s.enlist(i)
}

func (t *Table) find(g *Sighting) (k key, h uint64, s *shard) {
	k = keyOf(g.Tenant, g.Claim)
	h = maphash.Bytes(t.seed, k[:])
	return k, h, &t.shards[uint32(h)&t.mask]
}

// keyLen is the size of a [key] in bytes.
const keyLen = 34

// key is a claim of a tenant in the form that is hashed and compared.
type key [keyLen]byte

func keyOf(tenant int32, c *Claim) (k key) {
	copy(k[:16], c.value[:])
	binary.BigEndian.PutUint64(k[16:], c.network)
	binary.BigEndian.PutUint32(k[24:], c.vlan)
	binary.BigEndian.PutUint32(k[28:], uint32(tenant))
	k[32] = uint8(c.kind)
	if c.is4 {
		k[33] = 1
	}
	return k
}

func (k *key) claim() (tenant int32, c Claim) {
	return int32(binary.BigEndian.Uint32(k[28:])), Claim{
		value: [16]byte(k[:16]), network: binary.BigEndian.Uint64(k[16:]), vlan: binary.BigEndian.Uint32(k[24:]),
		kind: Kind(k[32]), is4: k[33] != 0,
	}
}

// counters are of the whole table.
type counters struct {
	learned, moved, expired, evicted, unlearned atomic.Uint64
}

// Stats is what the table holds and has done.
type Stats struct {
	Bindings int // now, those included whose time is over and that nobody has looked for
	// Learned, Moved and Expired count bindings; Evicted those that were given up
	// to make room.
	Learned, Moved, Expired, Evicted uint64
	// Unlearned counts claims that were not bound, for want of room.
	Unlearned uint64
}

// Capacity is how many bindings there is room for.
func (t *Table) Capacity() int { return len(t.shards) * t.shards[0].capacity }

// Stats returns the sums.
func (t *Table) Stats() Stats {
	c := &t.stats
	out := Stats{
		Learned: c.learned.Load(), Moved: c.moved.Load(), Expired: c.expired.Load(),
		Evicted: c.evicted.Load(), Unlearned: c.unlearned.Load(),
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		out.Bindings += s.count
		s.mu.Unlock()
	}
	return out
}

// Binding is a binding as it is shown. It is a copy.
type Binding struct {
	Tenant   int32
	Claim    Claim
	Endpoint netip.Addr
	Since    int64  // when it was bound to Endpoint, in ns on the caller's clock
	Last     int64  // when Endpoint last claimed it
	Moves    uint32 // how often it has moved since it was learned
}

// sweepStep is how many entries [Table.Sweep] looks at under one hold of a lock.
const sweepStep = 256

// Sweep shows every binding to visit, which may not call the table. Bindings that
// are learned or forgotten meanwhile may be shown or not.
func (t *Table) Sweep(now int64, visit func(*Binding)) {
	for n := range t.shards {
		s := &t.shards[n]
		for from, more := uint32(0), true; more; from += sweepStep {
			s.mu.Lock()
			more = from+sweepStep < s.used
			for i := from; i < min(from+sweepStep, s.used); i++ {
				e := s.at(i)
				if !e.live() || e.over(now) {
					continue
				}
				b := Binding{Endpoint: e.endpoint.addr(), Since: e.since, Last: e.last, Moves: e.moves}
				b.Tenant, b.Claim = e.key.claim()
				visit(&b)
			}
			s.mu.Unlock()
		}
	}
}

// shard is a part of the bindings behind a lock.
type shard struct {
	mu       sync.Mutex
	slots    []uint32 // tag<<24 | entry+1; 0 is free. Made at the first binding
	slabs    [][]entry
	free     uint32 // entry+1, linked through next
	used     uint32 // entries ever made
	count    int
	capacity int
	hand     uint32 // the entry that expireSome looks at next
	accounts accounts
	_        [32]byte // shards of two workers do not share a cache line
}
