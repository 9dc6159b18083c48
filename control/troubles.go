package control

import (
	"fmt"

	"sttwall/reason"
)

// The severities of a [Trouble].
const (
	SeverityWarning  = "warning"
	SeverityCritical = "critical"
)

// nearlyFull is from how much of its bound on something is in trouble, in percent.
const nearlyFull = 90

// troubles are, in words, what an operator should look at now, the worst first.
func troubles(h *Health, v *Vitals, lost *losses, anyEndpoint bool) []Trouble {
	list := []Trouble{}
	add := func(severity, remedy, format string, args ...any) {
		list = append(list, Trouble{Severity: severity, What: fmt.Sprintf(format, args...), Remedy: remedy})
	}
	counted := func(n uint64, severity, what, remedy string) {
		if n > 0 {
			add(severity, remedy, "%s: %d in the last minute", what, n)
		}
	}
	counted(lost.queueFull, SeverityCritical, "the queue was full, packets were lost", "more --queues, or a larger --queue-length")
	counted(lost.bufferFull, SeverityCritical, "the receive buffer was full, packets were lost (or more)", "more --queues, or a larger --receive-buffer")
	counted(lost.refused, SeverityCritical, "the kernel could not carry verdicts, packets were dropped", "lower the MTU of the tunnel, or look for want of memory in the kernel's log")
	counted(lost.flowsRefused, SeverityCritical, "the flow table is full, new flows were refused", "raise settings.flows, or give tenants a limits block; 'sttwall tenants' shows who has them")
	counted(lost.reassemblyFull, SeverityCritical, "reassembly was full, frames were dropped", reason.ReassemblyFull.Remedy())
	counted(lost.holdFull, SeverityCritical, "too many inner fragments wait for their first one, frames were dropped", reason.FragmentHoldFull.Remedy())
	if v.TableGone {
		add(SeverityCritical, "see who removed it (the log may say; 'nft flush ruleset' does), and restart sttwall", "the nftables table is gone or changed: STT passes uninspected, or is dropped by others")
	}
	if v.Simulated != "" {
		add(SeverityCritical, "start sttwall without --simulate", "faults are simulated: %s", v.Simulated)
	}
	// From here on warnings.
	for i := range h.Queues {
		q := &h.Queues[i]
		if q.Waiting >= 0 && (Gauge{q.Waiting, q.Length}).nearlyFull() {
			add(SeverityWarning, "more --queues, or a larger --queue-length", "queue %d: %d of %d packets wait", q.Number, q.Waiting, q.Length)
		}
		if v.ReceiveBuffer > 0 && q.ReceiveBuffer < v.ReceiveBuffer {
			add(SeverityWarning, "raise net.core.rmem_max, or run with CAP_NET_ADMIN in the first user namespace",
				"queue %d: the receive buffer has %d bytes, and %d were asked for", q.Number, q.ReceiveBuffer, v.ReceiveBuffer)
		}
	}
	for _, gauge := range []struct {
		Gauge
		what, remedy string
	}{
		{h.Flows.Gauge, "flows", "raise settings.flows, or give tenants a limits block; 'sttwall tenants' shows who has them"},
		{h.Bindings.Gauge, "learned bindings", "raise settings.bindings"},
		{h.Reassembly.Frames, "frames that are not whole", reason.ReassemblyFull.Remedy()},
		{h.Reassembly.Packets, "packets of frames that are not whole", reason.ReassemblyFull.Remedy()},
		{h.Reassembly.Memory, "bytes of reassembly", reason.ReassemblyFull.Remedy()},
		{h.Reassembly.FragmentPackets, "inner fragments that wait for their first one", reason.FragmentHoldFull.Remedy()},
	} {
		if gauge.nearlyFull() {
			add(SeverityWarning, gauge.remedy, "nearly full: %d of %d %s", gauge.Now, gauge.Bound, gauge.what)
		}
	}
	counted(lost.unlearned, SeverityWarning, "no room for bindings, inner addresses, MACs or ports were not bound", "raise settings.bindings")
	counted(lost.late, SeverityWarning, "verdicts came too late, the kernel had dropped the packets", "look whether an interface went away")
	counted(lost.errors, SeverityWarning, "errors on the sockets of the queues", "see the firewall's log")
	counted(lost.rejectsUnsent, SeverityWarning, "over the limit on answers, rejected frames were dropped silently", "raise settings.reject_rate, or drop instead of reject")
	counted(lost.events, SeverityWarning, "events were lost, those who follow them are too slow", "follow fewer: --filter")
	if v.EventLog != nil {
		for i := range v.EventLog.Targets {
			if t := &v.EventLog.Targets[i]; t.Failing {
				add(SeverityWarning, "make room, or look at what the firewall's log says: it is tried again each second", "the event log %q cannot be written", t.Target)
			}
		}
	}
	counted(lost.logged, SeverityWarning, "the event log had no room, events were lost", "a faster disk, or fewer events: --event-log-drops")
	if v.GuardMissing != "" {
		add(SeverityWarning, "turn GRO and LRO off where endpoints are (ethtool -K IF gro off lro off) and run with --gso-guard=off, or set settings.receivers to \"linux\" if none is Windows",
			"super-segments of small pieces can reach receivers on Windows: %s", v.GuardMissing)
	}
	if v.OpenAbsent {
		add(SeverityWarning, "run without --fail-open=absent", "fails open: STT passes uninspected while no sttwall listens")
	}
	if v.OpenOverload {
		add(SeverityWarning, "run without --fail-open=overload", "fails open: STT passes uninspected when the queue is full")
	}
	if v.OpenException {
		add(SeverityWarning, "run without --fail-open=exception", "fails open: what rules accept passes without a flow where the flow table is full")
	}
	if anyEndpoint {
		add(SeverityWarning, "list the tunnel endpoints in settings.endpoints", "any address may send STT: settings.endpoints is empty")
	}
	if v.Silent {
		add(SeverityWarning, "run with CAP_NET_RAW", "no reject is answered: rejected frames are dropped silently")
	}
	return list
}

// nearlyFull reports whether there is hardly room for more.
func (g Gauge) nearlyFull() bool { return g.Bound > 0 && g.Now >= (g.Bound*nearlyFull+99)/100 }
