package nfq

import "sttwall/firewall"

// Simulation has a whole firewall meet failures that are none, so that it can be seen
// what becomes of its packets. Its functions are called by all workers and must not
// block; nil ones change nothing, and nothing stands in their place.
type Simulation struct {
	// Faults names them, as their user has.
	Faults string
	// Memory reports whether there is no memory for a frame that is to be held.
	Memory func() bool
	// Table reports whether the flow table has no room for a flow that is to begin.
	Table func() bool
	// Fault may panic; see [firewall.Config.Fault].
	Fault func(firewall.Stage)
	// Queue stands between a worker and its queue.
	Queue func(Queue) Queue
	// Clock stands between the workers and their clock, which must not go back.
	Clock func(clock func() int64) func() int64
}

func (s *Simulation) queue(q Queue) Queue {
	if s == nil || s.Queue == nil {
		return q
	}
	return s.Queue(q)
}

func (s *Simulation) clock(clock func() int64) func() int64 {
	if s == nil || s.Clock == nil {
		return clock
	}
	return s.Clock(clock)
}
