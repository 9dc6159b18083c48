package control

import (
	"net/http"
	"os"
	"runtime"
	"runtime/metrics"
	"strconv"
	"strings"
	"time"

	"sttwall/conntrack"
	"sttwall/reason"
)

// Vitals are what only those know who run the queues.
type Vitals struct {
	Queues     []QueueHealth
	Reassembly ReassemblyHealth
	// ReceiveBuffer is what was asked for, in bytes; 0: not known.
	ReceiveBuffer int
	// Silent: rejected frames are not answered, for want of CAP_NET_RAW.
	Silent bool
	// GuardMissing is why super-segments of small pieces are not kept from receivers on
	// Windows; "": they are, or need not be.
	GuardMissing string
	// OpenAbsent and OpenOverload: STT passes uninspected while no sttwall listens,
	// and when a queue is full.
	OpenAbsent, OpenOverload bool
	// OpenException: what rules accept passes although the flow table is full.
	OpenException bool
	// TableGone: the nftables table is not there any more, or not as it was installed.
	TableGone bool
	// EventLog is how the event log does; nil: there is none.
	EventLog *EventLogHealth
	// Simulated are the faults that the firewall was told to meet; "": none.
	Simulated string
}

// sums adds up what was counted so far.
func (s *Server) sums(v *Vitals) sums {
	fw := s.config.Firewall
	totals, flows, bindings := fw.Totals(), fw.Shared().Flows().Stats(), fw.Shared().Bindings().Stats()
	sum := sums{
		totals: totals, begun: flows.Created, flows: flows.Flows,
		held: v.Reassembly.Packets.Now + v.Reassembly.FragmentPackets.Now,
		losses: losses{
			flowsRefused: flows.RefusedFull, unlearned: bindings.Unlearned,
			events: s.config.Feed.losses(), logged: v.EventLog.lost(), rejectsUnsent: totals.RejectsLimited,
			reassemblyFull: totals.Reasons[reason.ReassemblyFull], holdFull: totals.Reasons[reason.FragmentHoldFull],
		},
	}
	l := &sum.losses
	for i := range v.Queues {
		q := &v.Queues[i]
		l.queueFull += q.DroppedFull
		l.bufferFull += max(q.DroppedBuffer, q.Overruns)
		l.refused += q.Refused
		l.late += q.Late
		l.errors += q.Errors
	}
	return sum
}

// health answers how the firewall does.
func (s *Server) health(r *http.Request) (any, error) {
	if err := onlyQuery(r); err != nil {
		return nil, err
	}
	v := s.vitals()
	shared := s.config.Firewall.Shared()
	settings := shared.Policy().Settings()
	flows, bindings := shared.Flows().Stats(), shared.Bindings().Stats()
	h := Health{
		Time: time.Now().UTC().Round(time.Millisecond), Uptime: time.Since(s.started).Truncate(time.Millisecond).Seconds(),
		Queues: v.Queues, Reassembly: v.Reassembly, EventLog: v.EventLog,
		Flows: FlowsHealth{
			Gauge: Gauge{flows.Flows, shared.Flows().MaxFlows()}, HalfOpen: shared.Flows().HalfOpen(),
			Created: flows.Created, Expired: flows.Expired, Ended: flows.Ended, Evicted: flows.Evicted, Refused: refusedIn(&flows),
		},
		Bindings: BindingsHealth{Gauge: Gauge{bindings.Bindings, shared.Bindings().Capacity()}, Moved: bindings.Moved, Unlearned: bindings.Unlearned},
		Memory:   memoryNow(),
		Events:   s.config.Feed.Health(),
	}
	if h.Queues == nil {
		h.Queues = []QueueHealth{}
	}
	lately := s.history.lately()
	h.Troubles = troubles(&h, &v, &lately, len(settings.Endpoints) == 0)
	return h, nil
}

// refusedIn counts the flows that did not begin because some limit had no room.
func refusedIn(s *conntrack.Stats) uint64 {
	return s.RefusedFull + s.RefusedTenant + s.RefusedSource + s.RefusedHalfOpen + s.RefusedEndpoint
}

// memoryNow asks what the process takes, without stopping it.
func memoryNow() MemoryHealth {
	heap := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(heap)
	m := MemoryHealth{Goroutines: runtime.NumGoroutine()}
	if heap[0].Value.Kind() == metrics.KindUint64 {
		m.Heap = heap[0].Value.Uint64()
	}
	// proc(5): the second number is the resident pages.
	if text, err := os.ReadFile("/proc/self/statm"); err == nil {
		if fields := strings.Fields(string(text)); len(fields) > 1 {
			if pages, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				m.Resident = pages * uint64(os.Getpagesize())
			}
		}
	}
	return m
}
