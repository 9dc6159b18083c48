package suggest

import (
	"context"
	"encoding/binary"
	"math/bits"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
)

const (
	// watchFlows bounds what a watch keeps: some 4 MB.
	watchFlows = 16384
	// watchBacklog is how many sightings may wait for the watch's goroutine.
	watchBacklog = 1024
	// told is how many frames are remembered as told already.
	told = 8192
	// retell is how long one is.
	retell = time.Second
)

// Watch is a [Collector] beside a running firewall, for as long as that runs: an
// operator may ask after a week what was seen in audit mode.
//
//	workers -> Observe -> told already? -> backlog -> Run -> Collector <- Suggest
//
// Of frames that look alike one a second is told, so that what it costs a worker
// is a hash and a load for all others; there is no lock between workers but in
// the backlog, and what finds that full is counted as lost.
type Watch struct {
	policy  func() *policy.Policy
	told    [told]atomic.Uint64
	backlog chan Sighting
	lost    atomic.Uint64

	mu        sync.Mutex // of what follows
	collector *Collector
	since     time.Time
}

// NewWatch returns a watch. current returns the policy that holds now, and may
// be called from any goroutine. since is the wall clock.
func NewWatch(current func() *policy.Policy, since time.Time) *Watch {
	return &Watch{policy: current, backlog: make(chan Sighting, watchBacklog), collector: NewCollector(watchFlows), since: since}
}

// Observe takes what a firewall tells of a frame; see [firewall.Config]. It
// never waits, allocates nothing, and may be called from any goroutine.
func (w *Watch) Observe(e *firewall.FrameEvent) {
	if !e.Decision.Audit || e.Decision.Would != reason.TenantDefault || e.Verdict != firewall.Accept {
		return
	}
	h := likeness(e)
	slot := &w.told[h%told]
	if slot.Load() == h {
		return
	}
	var s Sighting
	s.Sight(e)
	select {
	case w.backlog <- s:
		slot.Store(h)
	default:
		w.lost.Add(1)
	}
}

// likeness is a number that frames share which tell the same; others seldom do.
// It is not for keeping apart what an attacker chooses: of two that share one by
// his choice, one is told a second later.
func likeness(e *firewall.FrameEvent) uint64 {
	in := &e.Inner
	const odd = 0x9e3779b97f4a7c15
	h := e.Header.ContextID
	mix := func(v uint64) {
		high, low := bits.Mul64(h^v, odd)
		h = high ^ low
	}
	for _, a := range [...]netip.Addr{in.Src, in.Dst} {
		b := a.As16()
		mix(binary.BigEndian.Uint64(b[:8]))
		mix(binary.BigEndian.Uint64(b[8:]))
	}
	mix(uint64(in.SrcPort)<<48 | uint64(in.DstPort)<<32 | uint64(in.EtherType)<<16 | uint64(in.Protocol)<<8 | uint64(in.ICMPType))
	mix(uint64(in.TCPFlags)&(inspect.SYN|inspect.RST)<<8 | uint64(e.State))
	return h | 1 // 0 is nothing
}

// Run takes sightings until ctx ends, and then those that wait.
func (w *Watch) Run(ctx context.Context) {
	tick := time.NewTicker(retell)
	defer tick.Stop()
	for {
		select {
		case s := <-w.backlog:
			w.take(&s)
		case <-tick.C:
			w.forget()
		case <-ctx.Done():
			for len(w.backlog) > 0 {
				s := <-w.backlog
				w.take(&s)
			}
			return
		}
	}
}

func (w *Watch) take(s *Sighting) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.collector.Add(w.policy(), s)
}

// forget lets everything be told again.
func (w *Watch) forget() {
	for i := range w.told {
		w.told[i].Store(0)
	}
}

// Seen is what a watch has seen.
type Seen struct {
	Since time.Time
	Flows []Flow
	// Lost and Beyond are how many frames could not be noted: the workers were
	// faster than the watch, or there were too many flows.
	Lost, Beyond uint64
}

// Seen returns what was seen by now. The flows are the caller's.
func (w *Watch) Seen() Seen {
	w.mu.Lock()
	defer w.mu.Unlock()
	return Seen{w.since, w.collector.Flows(), w.lost.Load(), w.collector.Beyond()}
}
