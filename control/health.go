package control

import (
	"context"
	"net/http"
	"strconv"
	"time"
)

// Health says how the firewall does: what is full, what is lost. GET /v1/health.
type Health struct {
	Time time.Time `json:"time"`
	// Uptime is in seconds.
	Uptime float64 `json:"uptime"`
	// Troubles are, in words, what an operator should look at now; none if all is well.
	Troubles   []Trouble        `json:"troubles"`
	Queues     []QueueHealth    `json:"queues"`
	Reassembly ReassemblyHealth `json:"reassembly"`
	Flows      FlowsHealth      `json:"flows"`
	Bindings   BindingsHealth   `json:"bindings"`
	Memory     MemoryHealth     `json:"memory"`
	Events     EventsHealth     `json:"events"`
	EventLog   *EventLogHealth  `json:"event_log,omitempty"` // nil: there is none
}

// Trouble is something that should be looked at.
type Trouble struct {
	// Severity is warning (something is lost or nearly full) or critical (packets
	// that the rules accept are lost, or pass uninspected).
	Severity string `json:"severity"`
	What     string `json:"what"`
	Remedy   string `json:"remedy"`
}

// QueueHealth is one NFQUEUE queue and its worker.
type QueueHealth struct {
	Number int `json:"number"`
	// Waiting packets have no verdict yet, held ones included; -1: not known. Length
	// is how many may wait.
	Waiting int `json:"waiting"`
	Length  int `json:"length"`
	// Packets received and verdicts sent.
	Packets  uint64 `json:"packets"`
	Verdicts uint64 `json:"verdicts"`
	// Overruns is how often the receive buffer ran full; DroppedBuffer and
	// DroppedFull count the packets that the kernel dropped for want of buffer and
	// of places in the queue.
	Overruns      uint64 `json:"overruns"`
	DroppedBuffer uint64 `json:"dropped_buffer"`
	DroppedFull   uint64 `json:"dropped_full"`
	// Late verdicts found no packet; Refused are packets dropped because the kernel
	// could not carry their verdict; Errors are others of the socket.
	Late    uint64 `json:"late"`
	Refused uint64 `json:"refused"`
	Errors  uint64 `json:"errors"`
	// SystemCalls is how many it took to receive packets and to send verdicts; 0 where
	// the driver does not count them.
	SystemCalls uint64 `json:"system_calls"`
	// ReceiveBuffer is in bytes.
	ReceiveBuffer int `json:"receive_buffer"`
}

// ReassemblyHealth is what all workers hold of frames that are not whole, and of
// inner fragments that wait. Bounds are of all workers together.
type ReassemblyHealth struct {
	Frames     Gauge `json:"frames"`
	Packets    Gauge `json:"packets"`
	Memory     Gauge `json:"memory"` // bytes
	Tombstones Gauge `json:"tombstones"`
	// Fragments wait for their first one, in FragmentPackets outer packets.
	Fragments       int   `json:"fragments"`
	FragmentPackets Gauge `json:"fragment_packets"`
}

// Gauge is how much there is of something that has a bound.
type Gauge struct {
	Now   int `json:"now"`
	Bound int `json:"bound"`
}

// FlowsHealth is about the flow table.
type FlowsHealth struct {
	Gauge
	HalfOpen int    `json:"half_open"`
	Created  uint64 `json:"created"`
	Expired  uint64 `json:"expired"`
	Ended    uint64 `json:"ended"`
	Evicted  uint64 `json:"evicted"`
	// Refused are new flows for which a limit had no room.
	Refused uint64 `json:"refused"`
}

// BindingsHealth is about learned bindings.
type BindingsHealth struct {
	Gauge
	Moved     uint64 `json:"moved"`
	Unlearned uint64 `json:"unlearned"`
}

// MemoryHealth is about the process, in bytes.
type MemoryHealth struct {
	Heap       uint64 `json:"heap"`     // live and not yet collected
	Resident   uint64 `json:"resident"` // of the process, as the kernel says; 0: not known
	Goroutines int    `json:"goroutines"`
}

// EventsHealth is about those who follow what happens.
type EventsHealth struct {
	Followers int    `json:"followers"`
	Lost      uint64 `json:"lost"` // events, by all followers since the start
}

// EventLogHealth is what an event log has done since the start; see docs/events.md.
type EventLogHealth struct {
	// Lost events found no room on their way from the workers.
	Lost uint64 `json:"lost"`
	// LeftOut are events that the bound on their type kept out, by type.
	LeftOut map[string]uint64 `json:"left_out,omitempty"`
	Targets []EventLogTarget  `json:"targets"`
}

// EventLogTarget is a file, or a daemon, to which events are written.
type EventLogTarget struct {
	Target  string `json:"target"`
	Written uint64 `json:"written"` // lines
	Lost    uint64 `json:"lost"`    // lines for which there was no room
	Errors  uint64 `json:"errors"`  // failed attempts to write
	// Failing: the last attempt has failed.
	Failing bool `json:"failing,omitempty"`
}

// lost is all that has lost its way to a target.
func (h *EventLogHealth) lost() (n uint64) {
	if h != nil {
		n = h.Lost
		for i := range h.Targets {
			n += h.Targets[i].Lost
		}
	}
	return n
}

// History is how much went through lately, oldest first. GET /v1/history.
type History struct {
	// Step is the length of a sample in seconds.
	Step    float64  `json:"step"`
	Samples []Sample `json:"samples"`
}

// Sample is what happened in one step, up to Time: not sums since the start.
type Sample struct {
	Time    time.Time `json:"time"`
	Packets uint64    `json:"packets"`
	Bytes   uint64    `json:"bytes"` // of outer packets
	// Accepted counts frames; Dropped those that were dropped, and packets of no
	// frame.
	Accepted uint64 `json:"accepted"`
	Dropped  uint64 `json:"dropped"`
	// Audited frames passed by audit mode alone; they are in Accepted too. Rejected
	// ones are in Dropped too.
	Audited  uint64 `json:"audited"`
	Rejected uint64 `json:"rejected"`
	Begun    uint64 `json:"begun"` // flows
	// Flows and Held are at the end of the step: known flows, packets held.
	Flows int `json:"flows"`
	Held  int `json:"held"`
	// Lost are packets that the kernel dropped before they were seen.
	Lost uint64 `json:"lost"`
}

// Health asks how the firewall does.
func (c *Client) Health(ctx context.Context) (h Health, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/health", nil, &h)
	return h, err
}

// History asks how much went through lately.
func (c *Client) History(ctx context.Context) (h History, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/history", nil, &h)
	return h, err
}

// Recent asks for the last samples alone.
func (c *Client) Recent(ctx context.Context, samples int) (h History, err error) {
	err = c.call(ctx, http.MethodGet, "/v1/history?samples="+strconv.Itoa(samples), nil, &h)
	return h, err
}
