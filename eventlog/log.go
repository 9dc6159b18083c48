package eventlog

import (
	"context"
	"sync"
	"time"

	"sttwall/conntrack"
	"sttwall/control"
	"sttwall/firewall"
	"sttwall/internal/ring"
	"sttwall/limit"
)

const (
	// lookEvery is how often what has happened is written.
	lookEvery = 50 * time.Millisecond
	// reapEvery is how often flows whose time is over are looked for.
	reapEvery = 2 * time.Second
	// retryEvery is how often a target that could not be written is tried again.
	retryEvery = time.Second
	// lastWords is how long the writing of what is left may take at the end.
	lastWords = 3 * time.Second
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
	lostTold uint64
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
	case <-time.After(lastWords):
		l.config.Log.Error("the event log cannot be written to its end: a target hangs")
	}
}

// collector is what Run's goroutine has: it makes lines of what the workers tell.
type collector struct {
	*Log
	filler
	encoder *encoder
	running Running
	started time.Time
	put     func(*sink, line)

	lastReap  time.Time
	lastStats time.Time
	behind    int64 // ns from the firewall's clock to the wall clock
	tenants   map[string]firewall.Tally
	turn      string // the tenant behind which the next lines of counters begin
}

func newCollector(l *Log, fw Running) *collector {
	return &collector{
		Log: l, filler: filler{shared: fw.Shared(), host: l.config.Host}, encoder: newEncoder(),
		running: fw, started: time.Now(), put: (*sink).put,
	}
}

func (c *collector) run(ctx context.Context) {
	ends, leave, err := c.shared.Flows().WatchEnds()
	if err != nil {
		c.config.Log.Error("the event log knows no ends of flows", "why", err)
	} else {
		defer leave()
		c.mu.Lock()
		c.ends = ends
		c.mu.Unlock()
	}
	c.lastReap, c.lastStats = c.started, c.started
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.look(time.Now())
		case <-ctx.Done():
			c.last()
			return
		}
	}
}

// clockSlack is how far the two clocks may be apart before it is noticed.
const clockSlack = 100 * time.Millisecond

// setClock brings the firewall's clock to ours.
func (c *collector) setClock(now time.Time) {
	behind := now.UnixNano() - c.running.Now()
	if (time.Duration(behind) - time.Duration(c.behind)).Abs() > clockSlack {
		c.behind = behind
	}
	behind = c.behind
	c.wall = func(t int64) time.Time { return time.Unix(0, t+behind) }
}

// look writes what has happened since the last look.
func (c *collector) look(now time.Time) {
	c.setClock(now)
	if now.Sub(c.lastReap) >= c.config.reap {
		c.lastReap = now
		c.shared.Flows().Reap(c.running.Now())
	}
	c.drain(now)
	if every := c.config.Stats; every > 0 && now.Sub(c.lastStats) >= every {
		c.lastStats = now
		c.tellStats(now)
	}
	for _, s := range c.sinks {
		s.poke()
	}
}

// drain writes what the workers have told. A flow's end comes behind its start: ends
// are counted before the frames are looked at.
func (c *collector) drain(now time.Time) {
	ends := 0
	if c.ends != nil {
		ends = c.ends.Waiting()
	}
	for n := 0; n < framesRoom && c.frames.Take(c.takeFrame); n++ {
	}
	for ; ends > 0 && c.ends.Take(func(e *conntrack.End) { c.emit(c.ended(e, now)) }); ends-- {
	}
	c.mu.Lock()
	told := c.told
	c.told = nil
	c.mu.Unlock()
	for _, e := range told {
		c.emit(c.reload(e))
	}
}

func (c *collector) takeFrame(s *seen) {
	for _, r := range c.events(s) {
		c.emit(r)
	}
	s.frame = firewall.FrameEvent{} // no old policy is kept alive
}

// emit hands a line to all targets.
func (c *collector) emit(r *record) {
	text, err := c.encoder.line(r)
	if err != nil {
		c.config.Log.Error("an event that cannot be written", "why", err)
		return
	}
	for _, s := range c.sinks {
		c.put(s, line{text, r})
	}
}

// last writes what is left.
func (c *collector) last() {
	ctx, stop := context.WithTimeout(context.Background(), lastWords)
	defer stop()
	c.put = func(s *sink, l line) { s.putWaiting(ctx, l) }
	now := time.Now()
	c.setClock(now)
	c.drain(now)
	c.shared.Flows().Remaining(c.running.Now(), func(e *conntrack.End) bool {
		c.emit(c.ended(e, now))
		return ctx.Err() == nil
	})
	c.tellStats(now)
}
