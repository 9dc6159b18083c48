package firewall

import (
	"sttwall/conntrack"
	"sttwall/policy"
	"sttwall/reason"
)

// FailOpen says whether what the rules accept passes although the flow table has no room
// for its flow. It passes as if the rule were stateless then: each packet must be accepted
// by itself, answers too. Nothing else is opened: not what is malformed or lies, not
// other endpoints, not reassembly, and not the limits of a tenant.
//
// Both bounds of the table count: that on all flows, and the share of the outer endpoint.
// Beyond its share an endpoint takes room from nobody by what passes without a flow, and
// between two gateways the share is what is met first. From any goroutine; false at first.
func (s *Shared) FailOpen(open bool) { s.failOpen.Store(open) }

// opens reports whether a frame passes that rules accept and whose flow could not begin
// for that reason.
func (f *Firewall) opens(why reason.Reason) bool {
	return (why == reason.FlowTableFull || why == reason.EndpointFlows) && f.shared.failOpen.Load()
}

// opensMiddle reports whether a frame passes that rules accept, and that belongs to no
// flow and can begin none: while there is no room, its flow may be one that was let pass
// without.
func (f *Firewall) opensMiddle(why reason.Reason, ofFlow bool) bool {
	return why == reason.StateInvalid && !ofFlow && f.result.State == conntrack.StateInvalid &&
		f.shared.failOpen.Load() && f.shared.flows.Full(f.event.Src)
}

// open lets a frame pass without a flow.
func (f *Firewall) open(d *policy.Decision) {
	d.Stateless = true
	if f.peek == nil {
		f.counts.framesOpened++
	}
}
