package control

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"strconv"
	"sync"
	"time"

	"sttwall/firewall"
)

const (
	// historyStep is the length of a sample, and historySamples how many are kept:
	// ten minutes.
	historyStep    = time.Second
	historySamples = 600
	// minute is how many of the last samples losses are looked for in.
	minute = 60
)

// sums are what was counted since the start, of what samples are made.
type sums struct {
	totals firewall.Totals
	begun  uint64
	losses losses

	flows, held int // now
}

// losses are what was lost, and what could not be had.
type losses struct {
	queueFull, bufferFull    uint64 // packets, dropped by the kernel
	refused, late, errors    uint64 // verdicts; errors of the queue's socket
	flowsRefused, unlearned  uint64 // flows not begun, claims not bound, for want of room
	events, logged           uint64 // by followers, by the event log
	rejectsUnsent            uint64
	reassemblyFull, holdFull uint64 // frames
}

// each calls f with each of two losses.
func (l *losses) each(o *losses, f func(a *uint64, b uint64)) {
	f(&l.queueFull, o.queueFull)
	f(&l.bufferFull, o.bufferFull)
	f(&l.refused, o.refused)
	f(&l.late, o.late)
	f(&l.errors, o.errors)
	f(&l.flowsRefused, o.flowsRefused)
	f(&l.unlearned, o.unlearned)
	f(&l.events, o.events)
	f(&l.logged, o.logged)
	f(&l.rejectsUnsent, o.rejectsUnsent)
	f(&l.reassemblyFull, o.reassemblyFull)
	f(&l.holdFull, o.holdFull)
}

// moment is a sample, and what was lost in it.
type moment struct {
	Sample
	losses losses
}

// history keeps the last samples. The zero value is ready.
type history struct {
	mu      sync.Mutex
	moments []moment // a ring once it is full
	next    int      // in the ring
	begun   bool
	when    time.Time // of the last sums
	last    sums
}

// take makes a sample of what has happened since the last call. Where that is
// longer ago than a step, because the process was kept from running, it is spread
// over as many samples as there should have been.
func (h *history) take(now time.Time, s sums) {
	h.mu.Lock()
	defer h.mu.Unlock()
	last, at := h.last, h.when
	h.last, h.when = s, now
	if !h.begun {
		h.begun = true
		return
	}
	steps := int(min(max(1, (now.Sub(at)+historyStep/2)/historyStep), historySamples))
	// What is read anew each time, the kernel's counters, can go back: nothing has
	// happened then.
	part := func(now, then uint64, i int) uint64 {
		if now < then {
			return 0
		}
		n, d := now-then, uint64(steps)
		return n*uint64(i+1)/d - n*uint64(i)/d
	}
	was, is := &last.totals, &s.totals
	for i := range steps {
		m := moment{losses: s.losses}
		m.losses.each(&last.losses, func(a *uint64, b uint64) { *a = part(*a, b, i) })
		m.Sample = Sample{
			Time:    now.Add(-time.Duration(steps-1-i) * historyStep),
			Packets: part(is.Packets, was.Packets, i), Bytes: part(is.Bytes, was.Bytes, i),
			Accepted: part(is.FramesAccepted, was.FramesAccepted, i), Dropped: part(droppedIn(is), droppedIn(was), i),
			Audited: part(is.FramesAudited, was.FramesAudited, i), Rejected: part(rejectedIn(is), rejectedIn(was), i),
			Begun: part(s.begun, last.begun, i), Flows: s.flows, Held: s.held,
			Lost: m.losses.queueFull + m.losses.bufferFull,
		}
		h.add(m)
	}
}

func (h *history) add(m moment) {
	if len(h.moments) < historySamples {
		h.moments = append(h.moments, m)
		return
	}
	h.moments[h.next] = m
	h.next = (h.next + 1) % historySamples
}

// droppedIn counts the frames that were dropped, and the packets that belong to no
// frame.
func droppedIn(t *firewall.Totals) (n uint64) {
	for _, of := range t.Reasons {
		n += of
	}
	return n
}

func rejectedIn(t *firewall.Totals) uint64 {
	return t.RejectsSent + t.RejectsLimited + t.RejectsRefused
}

// tail returns the last n samples, the oldest first.
func (h *history) tail(n int) []Sample {
	h.mu.Lock()
	defer h.mu.Unlock()
	n = min(n, len(h.moments))
	list := make([]Sample, n)
	for i := range list {
		list[i] = h.moment(len(h.moments) - n + i).Sample
	}
	return list
}

// moment is the i-th, from the oldest.
func (h *history) moment(i int) *moment { return &h.moments[(h.next+i)%len(h.moments)] }

// lately adds up what was lost in the last minute.
func (h *history) lately() (sum losses) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i := max(0, len(h.moments)-minute); i < len(h.moments); i++ {
		sum.each(&h.moment(i).losses, func(a *uint64, b uint64) { *a += b })
	}
	return sum
}

// keep takes samples until ctx ends, and gives memory back that is not needed.
func (s *Server) keep(ctx context.Context) {
	ticker := time.NewTicker(historyStep)
	defer ticker.Stop()
	for {
		s.sample(time.Now())
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// sample takes one; a mistake in it ends nothing.
func (s *Server) sample(now time.Time) {
	defer func() {
		if what := recover(); what != nil {
			s.config.Log.Error("a mistake in sttwall's history: packets are not touched by it", "what", fmt.Sprint(what), "stack", string(debug.Stack()))
		}
	}()
	v := s.vitals()
	s.history.take(now, s.sums(&v))
	s.look.rest()
}

func (s *Server) vitals() Vitals {
	if s.config.Vitals == nil {
		return Vitals{}
	}
	return s.config.Vitals()
}

// recent answers with the last samples.
func (s *Server) recent(r *http.Request) (any, error) {
	if err := onlyQuery(r, "samples"); err != nil {
		return nil, err
	}
	n := historySamples
	if text := r.URL.Query().Get("samples"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 || n > historySamples {
			return nil, refuse(http.StatusBadRequest, "samples=%.40q: want 1 to %d", text, historySamples)
		}
	}
	return History{Step: historyStep.Seconds(), Samples: s.history.tail(n)}, nil
}
