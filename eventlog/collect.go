package eventlog

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"sttwall/conntrack"
	"sttwall/firewall"
	"sttwall/limit"
)

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
	mistakes  *limit.Bucket // of messages about them
	behind    int64         // ns from the firewall's clock to the wall clock
	tenants   map[string]firewall.Tally
	turn      string // the tenant behind which the next lines of counters begin
}

func newCollector(l *Log, fw Running) *collector {
	return &collector{
		Log: l, filler: filler{shared: fw.Shared(), host: l.config.Host}, encoder: newEncoder(),
		running: fw, started: time.Now(), put: (*sink).put,
		mistakes: limit.NewBucket(limit.Rate{Events: 1, Per: time.Second, Burst: 10}),
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
	defer c.guard()
	c.setClock(now)
	if now.Sub(c.lastReap) >= c.config.reap {
		c.lastReap = now
		c.shared.Flows().Reap(c.running.Now())
	}
	c.drain(now)
	for n := 0; n < burst && c.frames.Waiting() > framesRoom/4; n++ {
		c.poke()
		c.drain(now)
	}
	if every := c.config.Stats; every > 0 && now.Sub(c.lastStats) >= every {
		c.lastStats = now
		c.tellStats(now)
	}
	c.poke()
}

func (c *collector) poke() {
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
	takeEnd := func(e *conntrack.End) {
		defer c.guard()
		c.emit(c.ended(e, now))
	}
	for ; ends > 0 && c.ends.Take(takeEnd); ends-- {
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
	defer c.guard()
	for _, r := range c.events(s) {
		c.emit(r)
	}
	s.frame = firewall.FrameEvent{} // no old policy is kept alive
}

// guard, deferred, keeps a mistake in a line from stopping the firewall.
func (c *collector) guard() {
	if what := recover(); what != nil && c.mistakes.Take(time.Now().UnixNano(), 1) {
		c.config.Log.Error("a mistake in sttwall's event log: packets are not touched by it", "what", fmt.Sprint(what), "stack", string(debug.Stack()))
	}
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
	defer c.guard()
	ctx, stop := context.WithTimeout(context.Background(), c.config.last)
	defer stop()
	c.put = func(s *sink, l line) { s.putWaiting(ctx, l) }
	now := time.Now()
	c.setClock(now)
	c.drain(now)
	told, late := 0, uint64(0)
	c.shared.Flows().Remaining(c.running.Now(), func(e *conntrack.End) bool {
		if told >= lastFlows && ctx.Err() != nil {
			late++
			return true
		}
		told++
		c.emit(c.ended(e, now))
		return true
	})
	c.mu.Lock()
	c.lostTold += late
	c.mu.Unlock()
	c.tellStats(now)
}
