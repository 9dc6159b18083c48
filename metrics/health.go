package metrics

import (
	"fmt"
	"time"

	"sttwall/control"
)

// stuckAfter is how long packets may wait in a queue that does not move, besides
// [Source.HeldFor], until the firewall is said to be stuck.
const stuckAfter = 10 * time.Second

// whyUnready returns why the firewall does not decide packets; "" if it does.
func (m *Metrics) whyUnready() string {
	if why := m.unready.Load(); why != nil {
		return *why
	}
	if err := m.source.Load().tableThere(); err != nil {
		return err.Error() + ": STT passes uninspected"
	}
	return ""
}

// tableThere returns why the table that feeds the queues is not there; nil if it is,
// or somebody else's, or nothing runs yet.
func (s *Source) tableThere() error {
	if s == nil || s.Table == nil {
		return nil
	}
	return s.Table()
}

// whyDead returns which worker does not move although packets wait; "" if none.
func (m *Metrics) whyDead() string {
	s := m.source.Load()
	if s == nil || s.Queues == nil {
		return ""
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.progress.stuck(m.config.Clock(), s.HeldFor+stuckAfter, s.Queues())
}

// progress remembers where each queue stood. A queue is stuck if, between two
// looks, packets waited at both and it has moved for none: between more looks, from
// the first of them on.
type progress struct {
	queues map[int]standstill
}

// standstill is how a queue stood when it was first seen to stand there.
type standstill struct {
	packets, verdicts uint64
	since             time.Time
}

func (p *progress) stuck(now time.Time, bound time.Duration, queues []control.QueueHealth) string {
	if p.queues == nil {
		p.queues = make(map[int]standstill)
	}
	why := ""
	for _, q := range queues {
		last, known := p.queues[q.Number]
		switch {
		case q.Waiting <= 0: // or it is not known whether any wait
			delete(p.queues, q.Number)
		case !known || last.packets != q.Packets || last.verdicts != q.Verdicts:
			p.queues[q.Number] = standstill{q.Packets, q.Verdicts, now}
		case now.Sub(last.since) > bound && why == "":
			why = fmt.Sprintf("queue %d: %d packets wait and none has been decided for %v", q.Number, q.Waiting, now.Sub(last.since).Round(time.Second))
		}
	}
	return why
}
