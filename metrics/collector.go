package metrics

import (
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"sttwall/control"
	"sttwall/eventlog"
	"sttwall/firewall"
	"sttwall/reason"
)

// collector reads everything when it is asked.
type collector Metrics

// Describe names all metrics; it implements [prometheus.Collector].
func (c *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range c.table.all {
		to <- m.desc
	}
}

// Collect reads them; it implements [prometheus.Collector].
func (c *collector) Collect(to chan<- prometheus.Metric) {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := reading{table: c.table, to: to}
	s := c.source.Load()
	there := s.tableThere()
	r.state((*Metrics)(c), there)
	if s == nil {
		return // nothing runs yet
	}
	if s.Table != nil {
		r.yes(r.tableInstalled, there == nil)
	}
	if s.TableLosses != nil {
		lost, restored := s.TableLosses()
		r.count(r.tableLosses, lost)
		r.count(r.tableRestored, restored)
	}
	totals := s.Firewall.Totals()
	r.traffic(&totals)
	r.drops(&totals)
	shared := s.Firewall.Shared()
	r.flows(shared)
	r.bindings(shared)
	r.queues(s)
	r.memory(s)
	r.running(s)
	c.policy(&r, s)
}

// reading is one scrape.
type reading struct {
	*table
	to chan<- prometheus.Metric
}

func (r *reading) put(m *Metric, value float64, labels ...string) {
	metric, err := prometheus.NewConstMetric(m.desc, m.Type, value, labels...)
	if err != nil {
		metric = prometheus.NewInvalidMetric(m.desc, err)
	}
	r.to <- metric
}

func (r *reading) count(m *Metric, n uint64, labels ...string) { r.put(m, float64(n), labels...) }

func (r *reading) yes(m *Metric, is bool, labels ...string) {
	value := 0.0
	if is {
		value = 1
	}
	r.put(m, value, labels...)
}

// state is what there is to tell before anything runs too.
func (r *reading) state(m *Metrics, there error) {
	r.put(r.buildInfo, 1, strings.ToValidUTF8(m.config.Version, "\uFFFD"), runtime.Version())
	r.yes(r.ready, m.unready.Load() == nil && there == nil)
	r.count(r.reloads, m.reloads.Load(), "success")
	r.count(r.reloads, m.failures.Load(), "failure")
	if at := m.reloaded.Load(); at != 0 {
		r.yes(r.reloadSuccessful, !m.reloadFailed.Load())
		r.put(r.reloadTime, float64(at)/1e9)
	}
}

func (r *reading) traffic(t *firewall.Totals) {
	r.count(r.packets, t.Packets)
	r.count(r.bytes, t.Bytes)
	r.count(r.packetVerdicts, t.PacketsAccepted, "accept")
	r.count(r.packetVerdicts, t.PacketsDropped, "drop")
	r.count(r.latePackets, t.LatePackets)
	r.count(r.frames, t.FramesAccepted, "accept")
	r.count(r.frames, t.FramesDropped, "drop")
	r.count(r.rewritten, t.FramesRewritten)
	r.count(r.replacedIDs, t.FrameIDsReplaced)
	r.count(r.audited, t.FramesAudited)
	r.count(r.opened, t.FramesOpened)
	r.count(r.panics, t.Panics)
	r.count(r.rejects, t.RejectsSent, "sent")
	r.count(r.rejects, t.RejectsLimited, "limited")
	r.count(r.rejects, t.RejectsRefused, "refused")
	r.count(r.heldFragments, t.FragmentsHeld)
}

// drops has all reasons from the start: a rate needs a 0 to begin with.
func (r *reading) drops(t *firewall.Totals) {
	for why := reason.None + 1; why < reason.Count; why++ {
		r.count(r.droppedFrames, t.Reasons[why], why.String())
		r.count(r.droppedBytes, t.DroppedBytes[why], why.String())
	}
}

func (r *reading) flows(shared *firewall.Shared) {
	f := shared.Flows().Stats()
	r.put(r.table.flows, float64(f.Flows))
	r.put(r.flowsLimit, float64(shared.Flows().MaxFlows()))
	r.count(r.flowsCreated, f.Created)
	r.count(r.flowsExpired, f.Expired)
	r.count(r.flowsEnded, f.Ended)
	r.count(r.flowsEvicted, f.Evicted)
	r.count(r.flowsMoved, f.Moved)
	r.count(r.flowsRefused, f.RefusedFull, "table")
	r.count(r.flowsRefused, f.RefusedEndpoint, "endpoint")
	r.count(r.flowsRefused, f.RefusedTenant, "tenant")
	r.count(r.flowsRefused, f.RefusedSource, "source")
	r.count(r.flowsRefused, f.RefusedHalfOpen, "half_open")
}

func (r *reading) bindings(shared *firewall.Shared) {
	b := shared.Bindings().Stats()
	r.put(r.table.bindings, float64(b.Bindings))
	r.put(r.bindingsLimit, float64(shared.Bindings().Capacity()))
	r.count(r.bindingsLearned, b.Learned)
	r.count(r.bindingsMoved, b.Moved)
	r.count(r.bindingsExpired, b.Expired)
	r.count(r.bindingsEvicted, b.Evicted)
	r.count(r.bindingsUnlearned, b.Unlearned)
}

func (r *reading) queues(s *Source) {
	if s.Queues != nil {
		for _, q := range s.Queues() {
			number := strconv.Itoa(q.Number)
			if q.Waiting >= 0 {
				r.put(r.queueWaiting, float64(q.Waiting), number)
				r.count(r.queueDropped, q.DroppedFull, number, "queue_full")
				r.count(r.queueDropped, q.DroppedBuffer, number, "receive_buffer_full")
			}
			r.put(r.queueLength, float64(q.Length), number)
			r.count(r.queuePackets, q.Packets, number)
			r.count(r.queueVerdicts, q.Verdicts, number)
			r.count(r.queueOverruns, q.Overruns, number)
			r.count(r.queueLate, q.Late, number)
			r.count(r.queueRefused, q.Refused, number)
			r.count(r.queueErrors, q.Errors, number)
			r.put(r.queueBuffer, float64(q.ReceiveBuffer), number)
		}
	}
	if s.Elsewhere != nil {
		for _, d := range s.Elsewhere() {
			r.count(r.droppedPackets, d.Count, d.Where, d.Reason)
		}
	}
}

func (r *reading) memory(s *Source) {
	if s.Reassembly == nil {
		return
	}
	held := s.Reassembly()
	for _, part := range []struct {
		what string
		control.Gauge
	}{
		{"frames", held.Frames}, {"packets", held.Packets}, {"bytes", held.Memory},
		{"tombstones", held.Tombstones}, {"fragment_packets", held.FragmentPackets},
	} {
		r.put(r.reassembly, float64(part.Now), part.what)
		r.put(r.reassemblyLimit, float64(part.Bound), part.what)
	}
}

func (r *reading) running(s *Source) {
	r.yes(r.failOpen, s.FailOpenAbsent, "absent")
	r.yes(r.failOpen, s.FailOpenOverload, "overload")
	r.yes(r.failOpen, s.FailOpenException, "exception")
	if s.Events != nil {
		events := s.Events()
		r.put(r.eventFollowers, float64(events.Followers))
		r.count(r.eventsLost, events.Lost)
	}
	if s.EventLog != nil {
		r.eventLog(s.EventLog())
	}
	if s.Temporary != nil {
		inForce, inactive := s.Temporary()
		r.put(r.temporaryRules, float64(inForce), "in_force")
		r.put(r.temporaryRules, float64(inactive), "inactive")
	}
}

func (r *reading) eventLog(c eventlog.Counters) {
	targets := make(map[string]bool)
	for _, t := range c.Targets {
		label := strings.ToValidUTF8(t.Target, "\uFFFD")
		if targets[label] {
			continue // two files whose names differ in what is no UTF-8
		}
		targets[label] = true
		r.count(r.logLines, t.Written, label)
		r.count(r.logLostLines, t.Lost, label)
		r.count(r.logErrors, t.Errors, label)
	}
	r.count(r.logLost, c.Lost)
	for kind, n := range c.LeftOut {
		r.count(r.logLeft, n, kind)
	}
}

// policy is what there is of each tenant and rule.
func (c *collector) policy(r *reading, s *Source) {
	shared := s.Firewall.Shared()
	p := shared.Policy()
	r.put(r.generation, float64(shared.Generation()))
	// Temporary rules are last: they come and go, and take no place from others. One
	// that goes both ways has its name twice.
	tenants, rules := p.Tenants(), slices.Compact(p.Rules())
	r.put(r.table.tenants, float64(len(tenants)))
	r.put(r.table.rules, float64(len(rules)))
	ruleTallies, tenantTallies := s.Firewall.Tallies()

	others := c.tenants.choose(tenants)
	for name, label := range c.tenants.labels {
		flows, half := shared.TenantFlows(name)
		r.tenant(label, tenantTallies[name], flows, half)
	}
	r.put(r.unlisted, float64(len(others)), "tenant")
	if sum := c.tenants.add(others, tenantTallies); len(others) > 0 || sum.Frames > 0 {
		var flows, half int
		for _, name := range others {
			f, h := shared.TenantFlows(name)
			flows, half = flows+f, half+h
		}
		r.tenant(Others, sum, flows, half)
	}

	others = c.rules.choose(rules)
	for name, label := range c.rules.labels {
		tenant, rule, _ := strings.Cut(label, "/")
		r.rule(tenant, rule, ruleTallies[name])
	}
	r.put(r.unlisted, float64(len(others)), "rule")
	if sum := c.rules.add(others, ruleTallies); len(others) > 0 || sum.Frames > 0 {
		r.rule(Others, Others, sum)
	}
}

func (r *reading) tenant(label string, t firewall.Tally, flows, halfOpen int) {
	r.count(r.tenantFrames, t.Frames, label)
	r.count(r.tenantBytes, t.Bytes, label)
	r.count(r.tenantFlowsBegun, t.Flows, label)
	r.count(r.tenantDropped, t.Dropped, label)
	r.count(r.tenantAudited, t.Audited, label)
	r.put(r.tenantFlows, float64(flows), label)
	r.put(r.tenantHalf, float64(halfOpen), label)
}

func (r *reading) rule(tenant, rule string, t firewall.Tally) {
	r.count(r.ruleFrames, t.Frames, tenant, rule)
	r.count(r.ruleBytes, t.Bytes, tenant, rule)
	r.count(r.ruleFlows, t.Flows, tenant, rule)
	r.count(r.ruleDropped, t.Dropped, tenant, rule)
	r.count(r.ruleAudited, t.Audited, tenant, rule)
}
