package eventlog

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// What waits for a target, in lines and bytes; what comes then is lost and counted.
const (
	maxLines = 16384
	maxBytes = 16 << 20
)

// sink is a target with the lines that wait for it, and its goroutine.
type sink struct {
	target Target
	to     writer
	log    *slog.Logger
	retry  time.Duration
	stuck  time.Duration // after which it hangs

	written, lost, errors atomic.Uint64
	failing               atomic.Bool

	mu    sync.Mutex // of what follows
	queue []line
	held  int // lines, those that are being written included
	bytes int // likewise
	again bool
	room  chan struct{} // closed when there is some; nil: nobody waits
	wake  chan struct{} // room for one

	hangs bool // of whoever calls putWaiting
}

func newSink(t Target, c *Config) *sink {
	return &sink{target: t, to: c.open(t), log: c.Log, retry: c.retry, stuck: hangsAfter, wake: make(chan struct{}, 1)}
}

// offer hands a line over, unless there is no room.
func (s *sink) offer(l line) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.held >= maxLines || s.bytes+len(l.text) > maxBytes {
		return false
	}
	s.queue = append(s.queue, l)
	s.held++
	s.bytes += len(l.text)
	return true
}

// put hands a line over, or counts it as lost.
func (s *sink) put(l line) {
	if !s.offer(l) {
		s.lost.Add(1)
	}
}

// hangsAfter is how long at the end nothing may be written before a target is taken for
// one that hangs.
const hangsAfter = 500 * time.Millisecond

// putWaiting is put at the end, when no packets come any more: it waits for room, but
// not longer than ctx, and not for a target that hangs.
func (s *sink) putWaiting(ctx context.Context, l line) {
	for {
		if s.offer(l) {
			return
		}
		s.mu.Lock()
		if s.room == nil {
			s.room = make(chan struct{})
		}
		room := s.room
		s.mu.Unlock()
		s.poke()
		if s.offer(l) { // or there was room just before
			return
		}
		patience := time.NewTimer(s.stuck)
		if s.hangs {
			patience.Reset(0)
		}
		select {
		case <-room:
			s.hangs = false
		case <-ctx.Done():
			s.lost.Add(1)
			return
		case <-patience.C:
			s.hangs = true
			s.lost.Add(1)
			return
		}
		patience.Stop()
	}
}

// poke has what was put written.
func (s *sink) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// reopen has the target opened again, when what was put before is written to the one
// that is open.
func (s *sink) reopen() {
	s.mu.Lock()
	s.again = true
	s.mu.Unlock()
	s.poke()
}

// run writes until done is closed, and then what there is.
func (s *sink) run(done <-chan struct{}) {
	var (
		lines []line
		wait  <-chan time.Time // until a target that has failed is tried again
	)
	s.openNow() // who starts it wants to know
	for last := false; ; {
		if len(lines) == 0 || wait != nil {
			select {
			case <-s.wake:
			case <-wait:
				wait = nil
			case <-done:
				last, wait = true, nil
			}
		}
		s.mu.Lock()
		lines = append(lines, s.queue...)
		clear(s.queue)
		s.queue = s.queue[:0]
		again := s.again
		s.again = false
		s.mu.Unlock()
		if again {
			wait = nil // it may be well again
		}
		if wait == nil && len(lines) > 0 {
			n, err := s.to.write(lines)
			s.wrote(lines[:n])
			lines = lines[n:]
			s.note(err)
			if err != nil {
				wait = time.After(s.retry)
			}
		}
		if again {
			s.to.reopen()
			if len(lines) == 0 {
				s.openNow()
			} else {
				wait = nil
				continue
			}
		}
		if last {
			s.end(lines)
			return
		}
	}
}

// openNow opens the target though nothing is to be written: whoever has moved a file
// away expects a new one.
func (s *sink) openNow() {
	_, err := s.to.write(nil)
	s.note(err)
}

// wrote takes lines out of the counts of what waits.
func (s *sink) wrote(lines []line) {
	if len(lines) == 0 {
		return
	}
	s.written.Add(uint64(len(lines)))
	s.mu.Lock()
	defer s.mu.Unlock()
	s.held -= len(lines)
	for i := range lines {
		s.bytes -= len(lines[i].text)
		lines[i] = line{}
	}
	if s.room != nil {
		close(s.room)
		s.room = nil
	}
}

// note counts an error, and is loud when it begins and when it ends.
func (s *sink) note(err error) {
	if err != nil {
		s.errors.Add(1)
	}
	if s.failing.Swap(err != nil) == (err != nil) {
		return
	}
	if err != nil {
		s.log.Error("the event log cannot be written: packets are decided all the same, events wait and then are lost, and it is tried again", "target", s.target.String(), "why", err)
		return
	}
	s.log.Info("the event log can be written again", "target", s.target.String(), "lost", s.lost.Load())
}

// end gives up what could not be written.
func (s *sink) end(lines []line) {
	s.lost.Add(uint64(len(lines)))
	if err := s.to.close(); err != nil {
		s.errors.Add(1)
	}
	if n := s.lost.Load(); n > 0 {
		s.log.Warn("events were lost that the event log had no room for", "target", s.target.String(), "count", n)
	}
}
