package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"sttwall/internal/arena"
	"sttwall/internal/prefetch"
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
	// Bits is the size of each of its three bitmaps as a power of two; 0 means
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
// put pieces of two frames together: bitmaps turned in time, test-and-set at the
// decision. It errs on one side only: it can take a new ID for a used one.
//
// Of three bitmaps one is written, the one before it still counts, and the third is
// cleared meanwhile, a little with each claim, so that no packet waits at a turn.
//
// One filter serves all workers; its methods may be called from any goroutine.
type FrameIDFilter struct {
	key   idKey
	mask  uint64       // of the number of a line
	guard atomic.Int64 // ns; before it no ID is fresh
	// turn is when the bitmaps are turned next, in ns; turns how often they were:
	// modulo 3 the index of the one that is written.
	turn  atomic.Int64
	turns atomic.Uint32
	maps  [3][]atomic.Uint64 // in an [arena.Arena]: nothing of them is touched before the first frame

	clearing sync.Mutex   // of the third bitmap, and of what turns them
	dirty    atomic.Int64 // its words from here on are still to be cleared; written under clearing
}

// A line of memory, in words and in bits.
const lineWords, lineBits = 8, 512

// clearAtOnce is how many words a claim clears: half a KiB, while 16,384 claims are
// enough for the largest bitmap of the default size.
const clearAtOnce = 64

func (c *FrameIDConfig) setDefault() {
	if c.Bits == 0 {
		c.Bits = 26
	}
}

// Memory is how many bytes its bitmaps are, outside of Go's heap.
func (c FrameIDConfig) Memory() int64 {
	c.setDefault()
	return 3 << c.Bits / 8
}

// NewFrameIDFilter makes a filter. The error says which setting is out of bounds.
func NewFrameIDFilter(c FrameIDConfig) (*FrameIDFilter, error) {
	c.setDefault()
	if c.Bits < minFrameIDBits || c.Bits > maxFrameIDBits {
		return nil, fmt.Errorf("frame-ID filter of 2^%d bits: want 2^%d to 2^%d", c.Bits, minFrameIDBits, maxFrameIDBits)
	}
	f := &FrameIDFilter{
		key:  makeIDKey(),
		mask: 1<<c.Bits/lineBits - 1,
	}
	f.guard.Store(c.Start + int64(c.StartupGuard))
	words := 1 << (c.Bits - 6)
	memory := arena.New(8 * words)
	for i := range f.maps {
		b := memory.Take(8 * words)
		if b == nil {
			memory.Close()
			return nil, fmt.Errorf("frame-ID filter: no memory for three bitmaps of %d bytes each", 8*words)
		}
		f.maps[i] = unsafe.Slice((*atomic.Uint64)(unsafe.Pointer(&b[0])), words)
	}
	runtime.AddCleanup(f, (*arena.Arena).Close, memory)
	f.turn.Store(c.Start + int64(frameIDWindow))
	f.dirty.Store(int64(len(f.maps[0]))) // nothing is
	return f, nil
}

// claim marks the ID as used at time now and reports whether nobody had
// claimed it within the last [frameIDWindow].
func (f *FrameIDFilter) claim(now int64, src, dst netip.Addr, id uint32) bool {
	f.turnAt(now)
	if f.dirty.Load() < int64(len(f.maps[0])) && f.clearing.TryLock() {
		f.clearSome()
	}
	word, mask := f.place(src, dst, id)
	turns := f.turns.Load()
	// Set first, then look into the other one, then at the turns: of two workers
	// that take different maps for the one that is written, the one with the older
	// either is seen by the other or sees that they were turned.
	used := f.maps[turns%3][word].Or(mask)&mask != 0
	return f.maps[(turns+2)%3][word].Load()&mask == 0 && !used && f.turns.Load() == turns
}

// expect asks for the memory that a claim will need; see package prefetch.
func (f *FrameIDFilter) expect(src, dst netip.Addr, id uint32) {
	word, _ := f.place(src, dst, id)
	turns := f.turns.Load()
	prefetch.Line(unsafe.Pointer(&f.maps[turns%3][word]))
	prefetch.Line(unsafe.Pointer(&f.maps[(turns+2)%3][word]))
}

// place is where the bit of an ID is in a map. IDs that follow one another are in one
// line of memory: senders count their frames, so that few of many miss the cache. Where
// in the line differs from line to line: real senders count in steps of 256.
func (f *FrameIDFilter) place(src, dst netip.Addr, id uint32) (word, mask uint64) {
	hash := f.key.hash(src, dst, id/lineBits)
	bit := (uint64(id) ^ hash>>55) % lineBits
	return (hash&f.mask)*lineWords + bit/64, 1 << (bit % 64)
}

// take claims an ID as claim does, of a packet that may have it at time now. It
// returns false where it may not.
func (f *FrameIDFilter) take(now int64, src, dst netip.Addr, id uint32) bool {
	return now >= f.guard.Load() && f.claim(now, src, dst, id)
}

// unused reports whether claim would find the ID unused at time now, and claims
// nothing.
func (f *FrameIDFilter) unused(now int64, src, dst netip.Addr, id uint32) bool {
	if now < f.guard.Load() {
		return false
	}
	f.turnAt(now)
	word, mask := f.place(src, dst, id)
	turns := f.turns.Load()
	used := (f.maps[turns%3][word].Load() | f.maps[(turns+2)%3][word].Load()) & mask
	runtime.KeepAlive(f) // and with it the maps, which are outside of Go's heap
	return used == 0
}

// guardUntil has no ID be fresh before a time, in ns. An earlier time changes nothing.
func (f *FrameIDFilter) guardUntil(time int64) {
	for old := f.guard.Load(); time > old && !f.guard.CompareAndSwap(old, time); old = f.guard.Load() {
	}
}

// fresh returns an ID for the frame that is safe to send: want itself if it
// is unused, else a random one. ok is false if none was found.
func (f *FrameIDFilter) fresh(now int64, src, dst netip.Addr, want uint32, random rand.Source) (id uint32, ok bool) {
	if now >= f.guard.Load() && f.claim(now, src, dst, want) {
		return want, true
	}
	return f.draw(now, src, dst, random)
}

// turnAt turns the bitmaps when it is time. Whoever wins the race clears what is
// left of the third before it becomes the one that is written.
func (f *FrameIDFilter) turnAt(now int64) {
	turn := f.turn.Load()
	if now < turn || !f.turn.CompareAndSwap(turn, now+int64(frameIDWindow)) {
		return
	}
	f.clearing.Lock()
	defer f.clearing.Unlock()
	f.clear(len(f.maps[0]))
	f.turns.Add(1)
	f.dirty.Store(0)
}

// clearSome is a claim's part of the clearing, with clearing locked.
func (f *FrameIDFilter) clearSome() {
	defer f.clearing.Unlock()
	f.clear(clearAtOnce)
}

// clear clears up to n more words of the third bitmap, with clearing locked. What is
// clear is not written: it may be memory that nobody has used.
func (f *FrameIDFilter) clear(n int) {
	words := f.maps[(f.turns.Load()+1)%3]
	from := int(f.dirty.Load())
	to := min(from+n, len(words))
	for i := from; i < to; i++ {
		if words[i].Load() != 0 {
			words[i].Store(0)
		}
	}
	f.dirty.Store(int64(to))
}
