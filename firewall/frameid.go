package firewall

import (
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"math/rand/v2"
	"net/netip"
	"sync/atomic"
	"time"
)

const (
	// frameIDWindow is how long no two frames of several packets may leave
	// with one source, destination and frame ID: receivers keep the pieces
	// of a frame for up to 60 s (DESIGN 4).
	frameIDWindow = 90 * time.Second

	// frameIDTries bounds the search for an unused frame ID. With a filter
	// that is nine tenths full one frame in 800 is dropped.
	frameIDTries = 64

	minFrameIDBits, maxFrameIDBits = 10, 36
)

// FrameIDConfig sizes a [FrameIDFilter].
type FrameIDConfig struct {
	// Bits is the size of each of its two bitmaps as a power of two; 0 means
	// 26, which is 8 MiB each. A frame sets one bit for 90 to 180 s; a frame
	// that meets a set bit is sent with a new frame ID, which costs a copy.
	Bits int
	// StartupGuard is how long after Start every frame of several packets
	// gets a new frame ID, because an earlier instance may have sent the
	// same one. 0 means no guard.
	StartupGuard time.Duration
	// Start is the time, in ns, at which the filter is made.
	Start int64
}

// FrameIDFilter remembers which frame IDs have left, so that no receiver can
// put pieces of two frames together: two bitmaps turned in time, test-and-set
// at the decision. It errs on one side only: it can take a new ID for a used
// one.
//
// One filter serves all workers; its methods may be called from any goroutine.
type FrameIDFilter struct {
	seed  maphash.Seed
	mask  uint64
	guard int64 // ns; before it no ID is fresh

	// turn is when the bitmaps are turned next, in ns; active is the index
	// of the one that is written.
	turn   atomic.Int64
	active atomic.Uint32
	maps   [2][]atomic.Uint64
}

// NewFrameIDFilter makes a filter. The error says which setting is out of bounds.
func NewFrameIDFilter(c FrameIDConfig) (*FrameIDFilter, error) {
	if c.Bits == 0 {
		c.Bits = 26
	}
	if c.Bits < minFrameIDBits || c.Bits > maxFrameIDBits {
		return nil, fmt.Errorf("frame-ID filter of 2^%d bits: want 2^%d to 2^%d", c.Bits, minFrameIDBits, maxFrameIDBits)
	}
	f := &FrameIDFilter{
		seed:  maphash.MakeSeed(),
		mask:  1<<c.Bits - 1,
		guard: c.Start + int64(c.StartupGuard),
	}
	for i := range f.maps {
		f.maps[i] = make([]atomic.Uint64, 1<<(c.Bits-6))
	}
	f.turn.Store(c.Start + int64(frameIDWindow))
	return f, nil
}

// claim marks the ID as used at time now and reports whether nobody had
// claimed it within the last [frameIDWindow].
func (f *FrameIDFilter) claim(now int64, src, dst netip.Addr, id uint32) bool {
	f.turnAt(now)
	bit := f.hash(src, dst, id) & f.mask
	word, mask := bit/64, uint64(1)<<(bit%64)
	active := f.active.Load()
	// Set first, then look into the other map: of two workers that hold
	// different maps for the active one at least one then sees the other.
	used := f.maps[active][word].Or(mask)&mask != 0
	return f.maps[1-active][word].Load()&mask == 0 && !used
}

// unused reports whether claim would find the ID unused at time now, and claims
// nothing.
func (f *FrameIDFilter) unused(now int64, src, dst netip.Addr, id uint32) bool {
	if now < f.guard {
		return false
	}
	f.turnAt(now)
	bit := f.hash(src, dst, id) & f.mask
	word, mask := bit/64, uint64(1)<<(bit%64)
	return (f.maps[0][word].Load()|f.maps[1][word].Load())&mask == 0
}

// fresh returns an ID for the frame that is safe to send: want itself if it
// is unused, else a random one. ok is false if none was found.
func (f *FrameIDFilter) fresh(now int64, src, dst netip.Addr, want uint32, random rand.Source) (id uint32, ok bool) {
	if now >= f.guard && f.claim(now, src, dst, want) {
		return want, true
	}
	for range frameIDTries {
		id = uint32(random.Uint64())
		if f.claim(now, src, dst, id) {
			return id, true
		}
	}
	return 0, false
}

// turnAt turns the bitmaps when it is time. Whoever wins the race clears the
// older map before it becomes the active one.
func (f *FrameIDFilter) turnAt(now int64) {
	turn := f.turn.Load()
	if now < turn || !f.turn.CompareAndSwap(turn, now+int64(frameIDWindow)) {
		return
	}
	older := 1 - f.active.Load()
	words := f.maps[older]
	for i := range words {
		words[i].Store(0)
	}
	f.active.Store(older)
}

func (f *FrameIDFilter) hash(src, dst netip.Addr, id uint32) uint64 {
	var key [36]byte
	s, d := src.As16(), dst.As16()
	copy(key[:], s[:])
	copy(key[16:], d[:])
	binary.LittleEndian.PutUint32(key[32:], id)
	return maphash.Bytes(f.seed, key[:])
}
