package eventlog

import (
	"context"
	"sync"
	"time"

	"sttwall/conntrack"
	"sttwall/control"
	"sttwall/internal/ring"
	"sttwall/limit"
)

const (
	// lookEvery is how often what has happened is written.
	lookEvery = 50 * time.Millisecond
	// burst is how often at most it looks again at once where much has happened.
	burst = 20
	// reapEvery is how often flows whose time is over are looked for.
	reapEvery = 2 * time.Second
	// retryEvery is how often a target that could not be written is tried again.
	retryEvery = time.Second
	// lastWords is how long it may take at the end to put what is left into words, and
	// lastWrites how long then to write it. No packet passes meanwhile, until the next
	// start. So many ends of flows are always told.
	lastWords, lastWrites, lastFlows = time.Second, 3 * time.Second, 1000
	// maxTold is how many reloads wait to be written; what comes then is lost.
	maxTold = 256
	// maxTenants is how many lines of counters of tenants there are at a time. The others
	// have their turn the next time.
	maxTenants = 500
)

// Log writes events. Its methods but Run do nothing on a nil one.
type Log struct {
	config   Config
	frames   *ring.Ring[seen]
	samplers [sampledTypes]sampler
	sinks    []*sink

	mu       sync.Mutex // of what follows
	told     []*control.Event
	lostTold uint64          // reloads, and ends of flows for which there was no time
	ends     *conntrack.Ends // nil before Run
}

// New makes a log. Nothing is opened before [Log.Run]. The error says what is
// missing or out of bounds.
func New(c Config) (*Log, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.retry == 0 {
		c.retry = retryEvery
	}
	if c.reap == 0 {
		c.reap = reapEvery
	}
	if c.last == 0 {
		c.last = lastWords
	}
	if c.write == 0 {
		c.write = lastWrites
	}
	l := &Log{config: c, frames: ring.New[seen](framesRoom)}
	if c.Sampled.Validate() == nil {
		for i := range l.samplers {
			l.samplers[i].bucket = limit.NewBucket(c.Sampled)
		}
	}
	for _, t := range c.Targets {
		l.sinks = append(l.sinks, newSink(t, &l.config))
	}
	return l, nil
}

// Tell logs a reload; e must not change any more.
func (l *Log) Tell(e *control.Event) {
	if l == nil || e.Type != control.EventReload {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.told) >= maxTold {
		l.lostTold++
		return
	}
	l.told = append(l.told, e)
}

// Reopen closes and opens the targets again, when what was logged before is written:
// somebody may have moved a file away.
func (l *Log) Reopen() {
	if l == nil {
		return
	}
	for _, s := range l.sinks {
		s.reopen()
	}
}

// Counters are what a log has done since the start, and TargetCounters what one
// target has taken.
type (
	Counters       = control.EventLogHealth
	TargetCounters = control.EventLogTarget
)

// Health returns the counters; nil if there is no log.
func (l *Log) Health() *Counters {
	if l == nil {
		return nil
	}
	c := l.Counters()
	return &c
}

// Counters returns the sums.
func (l *Log) Counters() (h Counters) {
	if l == nil {
		return h
	}
	h.LeftOut = make(map[string]uint64)
	l.mu.Lock()
	h.Lost = l.frames.Lost() + l.lostTold
	if l.ends != nil {
		h.Lost += l.ends.Lost()
	}
	l.mu.Unlock()
	for i := range l.samplers {
		if n := l.samplers[i].leftOut.Load(); n > 0 {
			h.LeftOut[sampledNames[i]] = n
		}
	}
	for _, s := range l.sinks {
		h.Targets = append(h.Targets, TargetCounters{
			Target: s.target.String(), Written: s.written.Load(), Lost: s.lost.Load(), Errors: s.errors.Load(), Failing: s.failing.Load(),
		})
	}
	return h
}

// Run writes what the firewall does until ctx ends, and then what is left, with an
// end of all flows that there are. Once.
func (l *Log) Run(ctx context.Context, fw Running) {
	done := make(chan struct{})
	var writing sync.WaitGroup
	for _, s := range l.sinks {
		writing.Go(func() { s.run(done) })
	}
	c := newCollector(l, fw)
	c.run(ctx)
	close(done)
	written := make(chan struct{})
	go func() {
		writing.Wait()
		close(written)
	}()
	select {
	case <-written:
	case <-time.After(l.config.write):
		l.config.Log.Error("the event log cannot be written to its end: a target hangs")
	}
}
