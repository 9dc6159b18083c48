package firewall

import (
	"fmt"
	"slices"
	"time"

	"sttwall/conntrack"
	"sttwall/reason"
	"sttwall/reassembly"
)

// What the zero value of a field of [HoldConfig] means. The share of a source is
// a quarter of the total.
const (
	DefaultHeldPackets = 1024
	DefaultHeldMemory  = 4 << 20
	// The first fragment leaves its host before the others, and can at most have
	// waited longer in another queue.
	DefaultHoldWait = 200 * time.Millisecond
)

// holdLook is how often a worker looks whether another one has decided first
// fragments, in ns.
const holdLook = int64(time.Millisecond)

// HoldConfig bounds the later inner fragments that wait in one worker for their
// first one. A field of value zero has its default. Where one more would go over
// the share of its outer source, the oldest ones of that source stop waiting, and
// where it would go over a total the oldest of all; they are dropped as
// fragment_hold_full.
type HoldConfig struct {
	// Packets and SourcePackets bound the outer packets that carried them.
	Packets, SourcePackets int
	// Memory and SourceMemory bound their bytes.
	Memory, SourceMemory int
	// Wait is how long one may wait.
	Wait time.Duration
}

// WithDefaults returns c with every field filled in. The error names the field
// that is out of bounds.
func (c HoldConfig) WithDefaults() (HoldConfig, error) {
	for _, bound := range []struct {
		what         string
		total, share *int
		def          int
	}{
		{"packets", &c.Packets, &c.SourcePackets, DefaultHeldPackets},
		{"memory", &c.Memory, &c.SourceMemory, DefaultHeldMemory},
	} {
		if *bound.total == 0 {
			*bound.total = bound.def
		}
		if *bound.share == 0 {
			*bound.share = max(*bound.total/4, 1)
		}
		switch {
		case *bound.total < 1:
			return c, fmt.Errorf("%s: %d is below 1", bound.what, *bound.total)
		case *bound.share < 1:
			return c, fmt.Errorf("%s of one source: %d is below 1", bound.what, *bound.share)
		case *bound.share > *bound.total:
			return c, fmt.Errorf("%s of one source: %d is above the %d of all", bound.what, *bound.share, *bound.total)
		}
	}
	if c.Wait == 0 {
		c.Wait = DefaultHoldWait
	}
	if c.Wait < 0 {
		return c, fmt.Errorf("wait: %v is negative", c.Wait)
	}
	return c, nil
}

// fragmentHold has the later fragments of one worker that wait, in the order in
// which they came.
type fragmentHold struct {
	config  HoldConfig
	waiting []*heldFragment
	used    holding // by all that wait
	buffers reassembly.Buffers

	nextLook int64  // see lookAtHeld
	entered  uint64 // likewise

	idle        []*heldFragment
	idlePackets int // that the idle ones have room for
}

// holding is how much is held, or would be.
type holding struct{ packets, memory int }

func (h holding) plus(o holding) holding { return holding{h.packets + o.packets, h.memory + o.memory} }

func (h holding) over(packets, memory int) bool { return h.packets > packets || h.memory > memory }

func holdingOf(fr *reassembly.Frame) holding {
	return holding{len(fr.Packets), reassembly.BufferSize(len(fr.Data))}
}

// heldFragment is a frame that waits, with memory of its own.
type heldFragment struct {
	id      conntrack.FragmentID
	frame   reassembly.Frame
	packets []reassembly.Packet // room for those of the frame
	device  int
	until   int64
}

func newFragmentHold(c HoldConfig) fragmentHold {
	return fragmentHold{config: c, buffers: reassembly.NewBuffers(c.Memory)}
}

func (h *fragmentHold) any() bool { return len(h.waiting) > 0 }

// deadline is when the oldest has waited long enough. There must be one.
func (h *fragmentHold) deadline() int64 { return h.waiting[0].until }

// wake is when [Firewall.Expire] has something to do; false if nothing waits.
func (h *fragmentHold) wake() (int64, bool) {
	if !h.any() {
		return 0, false
	}
	return min(h.deadline(), h.nextLook), true
}

// room returns nil if the frame may wait, or what has to stop waiting first. ok is
// false if the frame can never wait.
func (h *fragmentHold) room(fr *reassembly.Frame) (victim *heldFragment, ok bool) {
	c := &h.config
	more := holdingOf(fr)
	if more.over(c.SourcePackets, c.SourceMemory) {
		return nil, false
	}
	all := h.used.plus(more)
	if !all.over(c.SourcePackets, c.SourceMemory) {
		return nil, true // whoever holds it
	}
	for _, o := range h.waiting {
		if o.frame.Src == fr.Src {
			more = more.plus(holdingOf(&o.frame))
			if victim == nil {
				victim = o
			}
		}
	}
	switch {
	case more.over(c.SourcePackets, c.SourceMemory):
		return victim, true
	case all.over(c.Packets, c.Memory):
		return h.waiting[0], true
	}
	return nil, true
}

// add makes a copy of the frame wait. There must be room.
func (h *fragmentHold) add(now int64, fr *reassembly.Frame, id *conntrack.FragmentID) *heldFragment {
	var held *heldFragment
	if last := len(h.idle) - 1; last >= 0 {
		held, h.idle[last] = h.idle[last], nil
		h.idle = h.idle[:last]
		h.idlePackets -= cap(held.packets)
	} else {
		held = new(heldFragment)
	}
	if !h.any() {
		h.nextLook = now + holdLook
	}
	held.id, held.until = *id, now+int64(h.config.Wait)
	held.frame = *fr
	held.packets = append(held.packets[:0], fr.Packets...)
	held.frame.Packets = held.packets
	held.frame.Data = h.buffers.Get(len(fr.Data))[:len(fr.Data)]
	copy(held.frame.Data, fr.Data)
	h.used = h.used.plus(holdingOf(fr))
	h.waiting = append(h.waiting, held)
	return held
}

// admitHeld is admit for a frame that has waited, perhaps over a reload.
func (f *Firewall) admitHeld(fr *reassembly.Frame) reason.Reason {
	st := f.standing
	switch {
	case !slices.Contains(st.settings.STTPorts, fr.DstPort):
		return reason.NotSTT
	case st.endpoints != nil && !st.endpoints.Contains(fr.Src):
		return reason.EndpointUnknown
	}
	return reason.None
}

// visit shows all that wait to decided, in order, and takes those out for which it
// returns true.
func (h *fragmentHold) visit(decided func(*heldFragment) bool) {
	waiting := h.waiting[:0]
	for _, held := range h.waiting {
		if decided(held) {
			h.giveBack(held)
		} else {
			waiting = append(waiting, held)
		}
	}
	clear(h.waiting[len(waiting):])
	h.waiting = waiting
}

func (h *fragmentHold) giveBack(held *heldFragment) {
	out := holdingOf(&held.frame)
	h.used.packets -= out.packets
	h.used.memory -= out.memory
	h.buffers.Put(held.frame.Data)
	if cap(held.packets)+h.idlePackets > 2*h.config.Packets {
		held.packets = nil
	}
	held.frame = reassembly.Frame{}
	h.idlePackets += cap(held.packets)
	h.idle = append(h.idle, held)
}
