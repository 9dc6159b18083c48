package firewall

import (
	"sync/atomic"

	"sttwall/reassembly"
)

// Held is what a [Firewall] holds.
type Held struct {
	reassembly.Stats // frames that are not whole
	// Fragments is how many later inner fragments wait for their first one,
	// FragmentPackets how many outer packets carried them, and FragmentMemory the
	// size of their buffers in bytes.
	Fragments, FragmentPackets, FragmentMemory int
}

// Add adds what another worker holds. A source that has something in both counts
// twice.
func (h *Held) Add(o Held) {
	h.Bytes += o.Bytes
	h.Idle += o.Idle
	h.Frames += o.Frames
	h.Packets += o.Packets
	h.Tombstones += o.Tombstones
	h.Sources += o.Sources
	h.Fragments += o.Fragments
	h.FragmentPackets += o.FragmentPackets
	h.FragmentMemory += o.FragmentMemory
}

// Held returns what is held.
func (f *Firewall) Held() Held {
	h := &f.hold
	return Held{f.reassembler.Held(), len(h.waiting), h.used.packets, h.used.memory}
}

// heldShown is what was held when the worker last rested, for others to see.
type heldShown struct {
	last Held // of the worker
	now  [9]atomic.Int64
}

// Rest is called when all packets that have come are answered: it costs a
// comparison where nothing has changed.
func (f *Firewall) Rest() {
	s := &f.shown
	held := f.Held()
	if held == s.last {
		return
	}
	s.last = held
	for i, n := range [...]int{
		held.Bytes, held.Idle, held.Frames, held.Packets, held.Tombstones, held.Sources,
		held.Fragments, held.FragmentPackets, held.FragmentMemory,
	} {
		s.now[i].Store(int64(n))
	}
}

// HeldLately returns what was held at the last [Firewall.Rest]. It may be called from
// any goroutine; the numbers may be a batch apart.
func (f *Firewall) HeldLately() Held {
	at := func(i int) int { return int(f.shown.now[i].Load()) }
	return Held{
		reassembly.Stats{Bytes: at(0), Idle: at(1), Frames: at(2), Packets: at(3), Tombstones: at(4), Sources: at(5)},
		at(6), at(7), at(8),
	}
}
