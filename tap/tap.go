package tap

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"sttwall/firewall"
)

// MaxTaps is how many taps are open at once: at most 7 MB each.
const MaxTaps = 8

// MaxSnap is the most bytes that a tap hands out of a frame or packet.
const MaxSnap = 65535

// ErrTooMany: there are as many taps as may be.
var ErrTooMany = errors.New("too many readers of frames at once")

// Config makes a [Tap].
type Config struct {
	// Wants reports whether the reader wants a frame; nil wants all. It is called by
	// workers, from many goroutines: it must not wait or allocate, nor keep the frame.
	Wants func(*firewall.FrameEvent) bool
	// Snap is how many bytes of each are handed out at most, 1 to MaxSnap.
	Snap int
	// Outer: the outer packets that carried the frames, instead of inner frames.
	Outer bool
}

// Taps has the taps of a running firewall. The zero value is ready.
type Taps struct {
	inner atomic.Pointer[[]*Tap] // nil: none
	outer atomic.Pointer[[]*Tap]

	mu    sync.Mutex // of what follows, and of changing the above
	cores []*Core
}

// Observe takes what a worker tells of a frame; it is a [firewall.Config.Observer].
func (t *Taps) Observe(e *firewall.FrameEvent) {
	taps := t.inner.Load()
	if taps == nil {
		return
	}
	for _, one := range *taps {
		if one.wants == nil || one.wants(e) {
			one.put(e)
		}
	}
}

// smallSnap is what a tap hands out that is content with the beginning of packets.
const smallSnap = 128

// Whole reports whether a reader wants more of packets than their beginning. Any
// goroutine may ask; it waits for nothing.
func (t *Taps) Whole() bool {
	if t.outer.Load() != nil {
		return true
	}
	taps := t.inner.Load()
	return taps != nil && slices.ContainsFunc(*taps, func(one *Tap) bool { return one.snap > smallSnap })
}

// WantsQuiet reports whether a tap is open that may want a frame that nothing happens
// to; it is a [firewall.Config.WantsQuiet].
func (t *Taps) WantsQuiet() bool { return t.inner.Load() != nil }

// Open opens a tap. The caller closes it.
func (t *Taps) Open(c Config) (*Tap, error) {
	if c.Snap < 1 || c.Snap > MaxSnap {
		return nil, fmt.Errorf("tap: %d bytes of a frame: want 1 to %d", c.Snap, MaxSnap)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(load(&t.inner))+len(load(&t.outer)) >= MaxTaps {
		return nil, ErrTooMany
	}
	one := newTap(c)
	one.of = t
	list := &t.inner
	if c.Outer {
		if list = &t.outer; list.Load() == nil {
			for _, core := range t.cores {
				core.begin(len(t.cores))
			}
		}
	}
	store(list, append(slices.Clone(load(list)), one))
	return one, nil
}

func (t *Taps) close(one *Tap) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, list := range []*atomic.Pointer[[]*Tap]{&t.inner, &t.outer} {
		store(list, slices.DeleteFunc(slices.Clone(load(list)), func(other *Tap) bool { return other == one }))
	}
	if t.outer.Load() == nil {
		for _, core := range t.cores {
			core.end()
		}
	}
}

func load(list *atomic.Pointer[[]*Tap]) []*Tap {
	if taps := list.Load(); taps != nil {
		return *taps
	}
	return nil
}

func store(list *atomic.Pointer[[]*Tap], taps []*Tap) {
	if len(taps) == 0 {
		list.Store(nil)
		return
	}
	list.Store(&taps)
}

// Segment is a packet of a frame: which bytes of the STT frame it carried.
type Segment struct {
	Offset int  `json:"offset"`
	Bytes  int  `json:"bytes"`
	GSO    bool `json:"gso,omitempty"` // a super-segment that the kernel cuts up
}

// Frame is what a reader gets. It is valid until the next Take.
type Frame struct {
	// Seq counts what the reader got, from 1.
	Seq uint64
	// Event has no InnerData and no Packets.
	Event firewall.FrameEvent
	// Data is the beginning of the inner frame, or of the outer packet, of Length bytes;
	// of a frame whose header was not read what is known of the STT frame.
	Data   []byte
	Length int
	// Segments are the first of its packets.
	Segments []Segment
	// Time is when an outer packet came; Packet is its place among those of the frame,
	// from 0, and Alone says that it belongs to no frame that was told of: Event then
	// has nothing but the outer endpoints and that it was dropped.
	Time   int64
	Packet int
	Alone  bool
}

// Take returns the oldest frame that waits; false if there is none.
func (t *Tap) Take(f *Frame) bool { return t.take(f) }

// Wait returns when there may be a frame, or with an error when ctx has ended.
func (t *Tap) Wait(ctx context.Context) error {
	return t.ring.Wait(ctx)
}

// Lost returns how many frames were lost since it was last asked: the reader was too
// slow.
func (t *Tap) Lost() uint64 { return t.ring.TakeLost() }

// Close ends the tap. It may be called once.
func (t *Tap) Close() { t.of.close(t) }
