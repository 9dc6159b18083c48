package probe

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"slices"
	"sync"
	"time"

	"sttwall/endpoint"
)

// series is one session: questions, and what came back.
type series struct {
	session uint64

	mu      sync.Mutex
	asked   []asked
	changed chan struct{} // closed and replaced when an answer comes
	// order are the answers as they came, by the arrival numbers of their questions.
	order []uint32
}

// asked is a question and the answers to it.
type asked struct {
	message message
	at      time.Time
	answers []answered
}

// answered is one answer.
type answered struct {
	at      time.Time
	report  report  // of the question, by the other side
	message message // of the answer itself
	seen    seen    // of the answer, by this side
}

func newSeries() *series {
	return &series{session: rand.Uint64(), changed: make(chan struct{})}
}

// take takes a frame that may be an answer.
func (s *series) take(at time.Time, context uint64, f *endpoint.Arrival) {
	var m message
	var r report
	if open(f.Data, &m, &r) != nil || m.Kind != answer || m.Session != s.session || f.Torn && int(m.Length) != len(f.Data) {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if int64(m.Sequence) >= int64(len(s.asked)) {
		return
	}
	a := &s.asked[m.Sequence]
	if len(a.answers) >= mostAnswers {
		return
	}
	a.answers = append(a.answers, answered{at: at, report: r, message: m, seen: look(f, context, &m, &r, mostPackets)})
	s.order = append(s.order, r.Arrival)
	close(s.changed)
	s.changed = make(chan struct{})
}

// mostAnswers bounds what is kept of the answers to one question.
const mostAnswers = 8

// ask notes a question and sends it; the rest of m is set by the caller.
func (s *series) ask(out endpoint.Outlet, to netip.Addr, context uint64, m message) (sequence uint32, err error) {
	s.mu.Lock()
	m.Kind, m.Session, m.Sequence, m.FrameID, m.TTL = question, s.session, uint32(len(s.asked)), out.NextFrameID(), ttl
	s.asked = append(s.asked, asked{message: m, at: time.Now()})
	s.mu.Unlock()
	return m.Sequence, ship(out, to, context, &m, &report{})
}

// wait waits until done is true of the questions, at most so long, and reports whether it
// is. It is asked under the lock.
func (s *series) wait(ctx context.Context, limit time.Duration, done func([]asked) bool) (bool, error) {
	end := time.NewTimer(limit)
	defer end.Stop()
	for {
		s.mu.Lock()
		ok, changed := done(s.asked), s.changed
		s.mu.Unlock()
		if ok {
			return true, nil
		}
		select {
		case <-changed:
		case <-end.C:
			return false, nil
		case <-ctx.Done():
			return false, ctx.Err()
		}
	}
}

// all returns the questions so far.
func (s *series) all() []asked {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked)
}

// early counts those that came behind one that was sent later (RFC 4737 section 3.3).
func early(numbers []uint32) (n int) {
	next := uint32(0)
	for _, number := range numbers {
		if number < next {
			n++
			continue
		}
		next = number
	}
	return n
}

// count says what became of a series both ways, as far as an answer tells of it: up to
// the last question that was answered.
func (s *series) count() (forward, back Way, limited int, rtt []time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	type arrival struct{ number, sequence uint32 }
	var arrivals []arrival
	var newest report
	known := -1 // the last question that the other side tells of
	seen := map[uint32]bool{}
	for i := range s.asked {
		a := &s.asked[i]
		for j := range a.answers {
			r := &a.answers[j].report
			if seen[r.Arrival] {
				back.Duplicates++
				continue
			}
			seen[r.Arrival] = true
			arrivals = append(arrivals, arrival{r.Arrival, uint32(i)})
			if r.Arrival > newest.Arrival {
				newest = *r
			}
			known = max(known, i)
		}
		if len(a.answers) > 0 {
			rtt = append(rtt, a.answers[0].at.Sub(a.at))
		}
	}
	slices.SortFunc(arrivals, func(a, b arrival) int { return int(int64(a.number) - int64(b.number)) })
	var sequences []uint32
	twice := map[uint32]bool{}
	for _, a := range arrivals {
		if !twice[a.sequence] {
			sequences = append(sequences, a.sequence)
		}
		twice[a.sequence] = true
	}
	forward.Sent = known + 1
	forward.Duplicates = int(newest.Duplicates)
	forward.Received = int(newest.Arrival - newest.Duplicates)
	forward.Lost = max(forward.Sent-forward.Received, 0)
	forward.Reordered = early(sequences)
	limited = int(newest.Limited)
	back.Sent = int(newest.Arrival - newest.Limited)
	back.Received = len(seen)
	back.Lost = max(back.Sent-back.Received, 0)
	order := s.order
	back.Reordered = early(order)
	slices.Sort(rtt)
	return forward, back, limited, rtt
}
