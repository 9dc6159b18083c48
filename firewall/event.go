package firewall

import (
	"net/netip"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

// FrameEvent tells an observer what became of a frame. It and everything in
// it is valid until the observer returns.
type FrameEvent struct {
	// Time is when the first packet of the frame came, in ns on the
	// caller's clock.
	Time int64
	// Src, Dst, SrcPort and FrameID name the frame on the outside.
	Src, Dst netip.Addr
	SrcPort  uint16
	FrameID  uint32
	// FrameLength is the length of the STT frame in bytes, as its segments
	// say; Segments is how many packets of it came.
	FrameLength, Segments int

	// Incomplete: the frame never became whole.
	Incomplete bool
	// HasHeader: Header is valid.
	HasHeader bool
	Header    stt.FrameHeader
	// HasInner: Inner is valid.
	HasInner bool
	Inner    inspect.Frame
	// InnerData is the inner Ethernet frame as it came, as far as it was
	// copied from the kernel; empty if the frame never became whole.
	InnerData []byte

	// Verdict is what happened to the frame.
	Verdict Action
	// Reason is None iff the verdict is Accept.
	Reason reason.Reason
	// Decision is that of the policy; its Tenant and Rule are empty, and their
	// indexes -1, where the frame did not get that far.
	Decision policy.Decision
	// State is what the frame was to the flow table; Begins says that it begins a
	// flow.
	State  conntrack.State
	Begins bool
	// Waited: a later inner fragment that waited for its first one.
	Waited bool
	// Reverse is the context ID last seen in the other direction of the flow.
	// Valid iff HasReverse.
	Reverse    uint64
	HasReverse bool
	// Moves are the learned bindings that the frame has moved to Src, see
	// anti_spoof in docs/rules.md.
	Moves []binding.Move
	// FlowMovedFrom is the outer endpoint at which the flow remembered the sender
	// until this frame; not valid if it has not moved.
	FlowMovedFrom netip.Addr
	// Spoofed is what the frame claims and may not, where Reason, or
	// Decision.Would in audit mode, is BindingDeclared or BindingLearned. SpoofedAt
	// is the endpoint to which it is bound; only for learned bindings.
	Spoofed   binding.Claim
	SpoofedAt netip.Addr
	// Rewritten: the frame left with other bytes than it came with.
	Rewritten bool

	// Decided is when it was decided, on the same clock.
	Decided int64
	// Packets are the packets of the frame that came, in the order of their offsets; of
	// one that is dropped for a segment that packet is the last. Their headers are not
	// for every frame there.
	Packets []reassembly.Packet
	// Beginning is what is known of the STT frame from its first byte on where its
	// header was not read: it never became whole, or was dropped before. Nobody has
	// looked at it.
	Beginning []byte
	// Flow is the flow that the frame belongs to or begins, or that it names and cannot
	// belong to; not valid if there is none.
	Flow conntrack.Handle
}

// Quiet reports whether nothing has happened but that a packet of a known flow went its
// way: the frame is accepted as it came, and nothing is logged, learned or would have
// been dropped.
func (e *FrameEvent) Quiet() bool {
	known := e.State == conntrack.StateOriginal || e.State == conntrack.StateReply
	return known && e.Verdict == Accept && !e.Begins && !e.Rewritten && !e.Decision.Audit && !e.Decision.Log &&
		len(e.Moves) == 0 && !e.FlowMovedFrom.IsValid()
}

// Forget lets go of what a copy of the event may not keep.
func (e *FrameEvent) Forget() {
	e.InnerData, e.Beginning, e.Packets, e.Moves = nil, nil, nil, nil
}

// beginEvent resets the event for a frame of which these packets came, the first at time
// first, and returns it.
func (f *Firewall) beginEvent(key reassembly.Key, srcPort uint16, length int, packets []reassembly.Packet, first int64) *FrameEvent {
	// Cleared in place: a value with these fields would be made elsewhere and copied.
	f.event = FrameEvent{}
	e := &f.event
	e.Time, e.Decided, e.Src, e.Dst, e.SrcPort, e.FrameID = first, f.now, key.Src, key.Dst, srcPort, key.FrameID
	e.FrameLength, e.Segments, e.Packets = length, len(packets), packets
	e.Decision.TenantIndex, e.Decision.RuleIndex = -1, -1
	return e
}
