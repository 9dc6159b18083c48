package control

import (
	"context"
	"net/http"
	"sync"
	"time"
)

const (
	// asideShare is what part of a processor explanations of frames that pass by, and
	// what those who only read ask about single packets, may take, as a divisor, over
	// time: ten percent. With ten thousand rules an explanation takes 50 ms, and a
	// remedy a second.
	asideShare = 10
	// asideWait is how long a question waits for that.
	asideWait = 10 * time.Second
	// streamShare is likewise what lines for those who only read and follow frames or
	// events may take: a quarter of a processor for all of them. What comes meanwhile
	// is lost for them, and told.
	streamShare = 4
)

// aside bounds the time that goes into telling why, to those who may change things or
// to the others: these cannot take it from those.
type aside struct {
	clock func() time.Duration // that never goes back
	share time.Duration        // as a divisor

	mu     sync.Mutex
	budget budget
}

func (a *aside) wait() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.budget.wait(a.clock())
}

// await returns when there is time for another question.
func (a *aside) await(ctx context.Context) error {
	wait := a.wait()
	if wait > asideWait {
		return refuse(http.StatusServiceUnavailable, "with this many rules answers take so long that packets would notice: ask again in %v", wait.Round(time.Second))
	}
	return sleep(ctx, wait)
}

func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// lines makes lines for somebody who follows a stream, when there is time for it; false
// if who asks is gone.
func (s *Server) lines(r *http.Request, fill func()) bool {
	if peer, known := peerIn(r); known && s.changer(peer) {
		fill()
		return true
	}
	if wait := s.streams.wait(); wait > 0 && sleep(r.Context(), wait) != nil {
		return false
	}
	s.streams.run(fill)
	return true
}

// run calls f, and takes note of what it takes.
func (a *aside) run(f func()) {
	began := a.clock()
	took := processorTime(f)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.budget.spend(began, a.share*took)
}

func (s *Server) asideOf(r *http.Request) (a *aside, changer bool) {
	if peer, known := peerIn(r); known && s.changer(peer) {
		return &s.asides[0], true
	}
	return &s.asides[1], false
}

// question is a call about a single packet: those who only read wait until there is
// time for it.
func (s *Server) question(w http.ResponseWriter, r *http.Request, call func() any) error {
	bound, changer := s.asideOf(r)
	if !changer {
		if err := bound.await(r.Context()); err != nil {
			return err
		}
	}
	return s.answerInTurn(w, r, func() (out any, _ error) {
		bound.run(func() { out = call() })
		return out, nil
	})
}
