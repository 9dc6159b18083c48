package metrics

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

// Metric is one of the metrics, as docs/metrics.md lists it.
type Metric struct {
	Name   string
	Type   prometheus.ValueType
	Labels []string
	Help   string

	desc *prometheus.Desc
}

// TypeName is counter or gauge.
func (m *Metric) TypeName() string {
	if m.Type == prometheus.CounterValue {
		return "counter"
	}
	return "gauge"
}

// All returns the metrics of the firewall in the order of the documentation. Those of
// the process and of the Go runtime come from the client library.
func All() []*Metric { return newTable().all }

// table has the metrics by the names that the collector uses.
type table struct {
	all []*Metric

	packets, bytes, packetVerdicts, latePackets           *Metric
	frames, rewritten, replacedIDs, audited               *Metric
	opened, panics                                        *Metric
	droppedFrames, droppedBytes, droppedPackets           *Metric
	rejects, heldFragments                                *Metric
	flows, flowsLimit, flowsCreated, flowsExpired         *Metric
	flowsEnded, flowsEvicted, flowsRefused, flowsMoved    *Metric
	bindings, bindingsLimit, bindingsLearned              *Metric
	bindingsMoved, bindingsExpired, bindingsEvicted       *Metric
	bindingsUnlearned                                     *Metric
	queueWaiting, queueLength, queuePackets               *Metric
	queueVerdicts, queueOverruns, queueDropped            *Metric
	queueLate, queueRefused, queueErrors, queueBuffer     *Metric
	reassembly, reassemblyLimit                           *Metric
	eventFollowers, eventsLost                            *Metric
	logLines, logLostLines, logErrors, logLost, logLeft   *Metric
	ready, tableInstalled, failOpen, buildInfo            *Metric
	tableLosses, tableRestored                            *Metric
	reloads, reloadSuccessful, reloadTime                 *Metric
	generation, tenants, rules, temporaryRules            *Metric
	tenantFrames, tenantBytes, tenantFlowsBegun           *Metric
	tenantDropped, tenantAudited, tenantFlows, tenantHalf *Metric
	ruleFrames, ruleBytes, ruleFlows                      *Metric
	ruleDropped, ruleAudited                              *Metric
	unlisted                                              *Metric
}

func newTable() *table {
	t := new(table)
	counter := func(name, help string, labels ...string) *Metric {
		return t.add(prometheus.CounterValue, name, help, labels)
	}
	gauge := func(name, help string, labels ...string) *Metric {
		return t.add(prometheus.GaugeValue, name, help, labels)
	}

	t.packets = counter("packets_total", "Outer packets taken from the queues.")
	t.bytes = counter("bytes_total", "Length on the wire of the packets taken from the queues.")
	t.packetVerdicts = counter("packet_verdicts_total", "Verdicts given for packets; surplus packets of a frame that was cut anew count as drop.", "verdict")
	t.latePackets = counter("late_packets_total", "Packets of frames that had been dropped before they came.")
	t.frames = counter("frames_total", "Decided frames; one that is dropped counts once, however many packets carried it.", "verdict")
	t.rewritten = counter("rewritten_frames_total", "Accepted frames that left with other bytes than they came with.")
	t.replacedIDs = counter("replaced_frame_ids_total", "Accepted frames that left with a new frame ID.")
	t.opened = counter("failed_open_frames_total", "Frames that rules accepted and that passed without a flow, for want of room in the flow table (--fail-open=exception).")
	t.panics = counter("panics_total", "Mistakes of sttwall itself while it decided. Each cost what was being decided: internal_error.")
	t.audited = counter("audited_frames_total", "Accepted frames that would have been dropped but for audit mode.")

	t.droppedFrames = counter("dropped_frames_total", "Dropped frames, and dropped packets of no frame, by reason; see reasons.md.", "reason")
	t.droppedBytes = counter("dropped_bytes_total", "Length on the wire of what was dropped, by reason.", "reason")
	t.droppedPackets = counter("dropped_packets_total", "Packets dropped before the firewall saw them: by the nftables table, or by the kernel's queue.", "where", "reason")
	t.rejects = counter("rejects_total", "Frames that a rule rejects: answered (sent), kept back by settings.reject_rate (limited), or of a kind that nobody answers (refused).", "result")
	t.heldFragments = counter("held_fragments_total", "Later inner fragments that waited for their first one.")

	t.flows = gauge("flows", "Flows in the flow table.")
	t.flowsLimit = gauge("flows_limit", "Flows for which the flow table has room.")
	t.flowsCreated = counter("flows_created_total", "Flows that began.")
	t.flowsExpired = counter("flows_expired_total", "Flows that were over by time.")
	t.flowsEnded = counter("flows_ended_total", "Flows that changed rules have ended.")
	t.flowsEvicted = counter("flows_evicted_total", "Unanswered flows given up because the table was full.")
	t.flowsRefused = counter("flows_refused_total", "Flows that could not begin, by the limit that had no room: table, endpoint, tenant, source or half_open.", "limit")
	t.flowsMoved = counter("flow_sides_moved_total", "Sides of flows that went on from another endpoint.")

	t.bindings = gauge("bindings", "Learned bindings of inner addresses, MACs and ports to endpoints.")
	t.bindingsLimit = gauge("bindings_limit", "Learned bindings for which there is room.")
	t.bindingsLearned = counter("bindings_learned_total", "Bindings that were learned.")
	t.bindingsMoved = counter("bindings_moved_total", "Bindings that moved to another endpoint.")
	t.bindingsExpired = counter("bindings_expired_total", "Bindings that were over by time.")
	t.bindingsEvicted = counter("bindings_evicted_total", "Bindings given up to make room for others.")
	t.bindingsUnlearned = counter("bindings_unlearned_total", "Claims that were not bound for want of room.")

	t.queueWaiting = gauge("queue_waiting_packets", "Packets in the kernel's queue without a verdict yet, held ones included; none where the kernel does not say.", "queue")
	t.queueLength = gauge("queue_length_packets", "Packets for which the kernel's queue has room.", "queue")
	t.queuePackets = counter("queue_packets_total", "Packets received from the queue.", "queue")
	t.queueVerdicts = counter("queue_verdicts_total", "Verdicts sent to the queue.", "queue")
	t.queueOverruns = counter("queue_overruns_total", "How often the receive buffer of the queue's socket ran full; each time packets were lost.", "queue")
	t.queueDropped = counter("queue_dropped_packets_total", "Packets that the kernel dropped for want of a place in the queue (queue_full) or in the receive buffer (receive_buffer_full).", "queue", "reason")
	t.queueLate = counter("queue_late_verdicts_total", "Verdicts for packets that the kernel no longer held.", "queue")
	t.queueRefused = counter("queue_refused_packets_total", "Packets dropped because the kernel could not carry their verdict.", "queue")
	t.queueErrors = counter("queue_errors_total", "Other errors of the queue's socket.", "queue")
	t.queueBuffer = gauge("queue_receive_buffer_bytes", "Receive buffer of the queue's socket that the kernel granted.", "queue")

	t.reassembly = gauge("reassembly_used", "What all workers hold: frames that are not whole, the packets and bytes of those, tombstones of dropped frames, and outer packets of inner fragments that wait.", "what")
	t.reassemblyLimit = gauge("reassembly_limit", "Bounds on those, of all workers together.", "what")

	t.eventFollowers = gauge("event_followers", "Clients that follow events over the control socket.")
	t.eventsLost = counter("events_lost_total", "Events lost by followers that were too slow.")

	t.logLines = counter("event_log_lines_total", "Lines of the event log that were written.", "target")
	t.logLostLines = counter("event_log_lost_lines_total", "Lines of the event log that found no room or could not be written.", "target")
	t.logErrors = counter("event_log_errors_total", "Attempts to write the event log that failed.", "target")
	t.logLost = counter("event_log_lost_events_total", "Events that found no room on their way to the event log.")
	t.logLeft = counter("event_log_left_out_events_total", "Events that --event-log-drops kept out of the event log; none of a type that never was.", "type")

	t.ready = gauge("ready", "1 while the firewall decides packets, else 0; /readyz says why.")
	t.tableInstalled = gauge("table_installed", "1 while the nftables table that feeds the queues is there as it was installed, 0 if it is not: then STT passes uninspected. None with --no-nft.")
	t.tableLosses = counter("table_losses_total", "How often another program removed or changed that table; STT passed uninspected until it was there again.")
	t.tableRestored = counter("table_restored_total", "How often that table was put in again.")
	t.failOpen = gauge("fail_open", "1 where packets pass uninspected: absent, while no sttwall runs; overload, when a queue is full. exception: what rules accept passes without a flow where the flow table is full.", "case")
	t.buildInfo = gauge("build_info", "1; the labels say what runs.", "version", "goversion")
	t.reloads = counter("reloads_total", "Reloads of the rules file; after a failure the rules stay that were in force.", "result")
	t.reloadSuccessful = gauge("reload_last_successful", "1 if the last reload put the rules file in force, 0 if the file does not load.")
	t.reloadTime = gauge("reload_last_success_timestamp_seconds", "When a rules file was last put in force, the start included.")
	t.generation = gauge("policy_generation", "Number of what is in force: another one for each set of rules, and whenever a time window opens or closes.")
	t.tenants = gauge("policy_tenants", "Tenants of the rules in force.")
	t.rules = gauge("policy_rules", "Rules in force, temporary ones included.")
	t.temporaryRules = gauge("temporary_rules", "Temporary rules, by whether they are in_force, or inactive since the rules file has changed.", "state")

	t.tenantFrames = counter("tenant_frames_total", "Frames of the tenant, dropped ones included.", "tenant")
	t.tenantBytes = counter("tenant_bytes_total", "Length of those STT frames.", "tenant")
	t.tenantFlowsBegun = counter("tenant_flows_created_total", "Flows that the tenant began.", "tenant")
	t.tenantDropped = counter("tenant_dropped_frames_total", "Frames of the tenant that were dropped.", "tenant")
	t.tenantAudited = counter("tenant_audited_frames_total", "Frames of the tenant that would have been dropped but for audit mode.", "tenant")
	t.tenantFlows = gauge("tenant_flows", "Flows of the tenant in the flow table.", "tenant")
	t.tenantHalf = gauge("tenant_half_open_flows", "TCP flows of the tenant without a whole handshake.", "tenant")

	t.ruleFrames = counter("rule_frames_total", "Frames that the rule decided, those of its flows included.", "tenant", "rule")
	t.ruleBytes = counter("rule_bytes_total", "Length of those STT frames.", "tenant", "rule")
	t.ruleFlows = counter("rule_flows_created_total", "Flows that the rule let begin.", "tenant", "rule")
	t.ruleDropped = counter("rule_dropped_frames_total", "Frames that the rule dropped.", "tenant", "rule")
	t.ruleAudited = counter("rule_audited_frames_total", "Frames that the rule would have dropped but for audit mode.", "tenant", "rule")

	t.unlisted = gauge("unlisted", "How many tenants or rules have no series of their own and are summed under "+Others+".", "kind")
	return t
}

func (t *table) add(kind prometheus.ValueType, name, help string, labels []string) *Metric {
	m := &Metric{Name: "sttwall_" + name, Type: kind, Labels: labels, Help: help}
	m.desc = prometheus.NewDesc(m.Name, m.Help, m.Labels, nil)
	t.all = append(t.all, m)
	return m
}

// Reference is docs/metrics.md's table of the metrics.
func Reference() string {
	var b strings.Builder
	b.WriteString("| name | type | labels | |\n| --- | --- | --- | --- |\n")
	for _, m := range All() {
		labels := ""
		if len(m.Labels) > 0 {
			labels = "`" + strings.Join(m.Labels, "`, `") + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", m.Name, m.TypeName(), labels, m.Help)
	}
	return b.String()
}
