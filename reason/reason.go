package reason

// Reason says why a packet or a frame was dropped. The zero value, [None],
// says that it was not.
type Reason uint8

// The reasons stand in the order in which a packet meets them.
const (
	// None: not dropped.
	None Reason = iota

	// Outer packet.

	// NotSTT: no TCP to an STT port.
	NotSTT
	// CopyTooShort: the kernel copied too little of the packet to decide on it.
	CopyTooShort
	// OuterMalformed: the outer IP header contradicts itself or the packet.
	OuterMalformed
	// OuterOptions: IPv4 options or IPv6 extension headers outside.
	OuterOptions
	// OuterFragment: the outer packet is an IP fragment.
	OuterFragment
	// OuterIPChecksum: the outer IPv4 header checksum is wrong.
	OuterIPChecksum
	// EndpointUnknown: the outer source is not in settings.endpoints.
	EndpointUnknown

	// Segment header.

	// SegmentMalformed: the TCP-like header is cut off or its data offset is not 5.
	SegmentMalformed
	// SegmentFlags: a TCP flag other than ACK and PSH.
	SegmentFlags
	// SegmentChecksum: the outer TCP checksum is wrong.
	SegmentChecksum
	// SegmentEmpty: no payload.
	SegmentEmpty
	// SegmentPastEnd: the segment ends behind the end of its frame.
	SegmentPastEnd
	// SegmentTooSmall: the segments are cut so that receivers could misread the headers.
	SegmentTooSmall

	// Reassembly.

	// SegmentDuplicate: the same bytes of a frame twice.
	SegmentDuplicate
	// SegmentOverlap: two segments of a frame cover some of the same bytes.
	SegmentOverlap
	// FrameLengthChanged: segments of one frame name different frame lengths.
	FrameLengthChanged
	// SourcePortChanged: segments of one frame have different source ports.
	SourcePortChanged
	// DestinationPortChanged: segments of one frame go to different ports.
	DestinationPortChanged
	// FrameTimeout: the frame did not become whole in time.
	FrameTimeout
	// FrameIncomplete: the firewall or the capture ended before the frame was whole.
	FrameIncomplete
	// SourceShareFull: the outer source holds its whole share of reassembly.
	SourceShareFull
	// ReassemblyFull: reassembly as a whole is full.
	ReassemblyFull

	// Frame header.

	// FrameTooShort: the STT frame is too short for a frame header and an Ethernet header.
	FrameTooShort
	// FrameVersion: the STT version is not 0.
	FrameVersion
	// FrameFlags: checksum verified and checksum partial are both set.
	FrameFlags
	// L4OffsetMismatch: the L4 offset does not point at the inner L4 header.
	L4OffsetMismatch
	// PartialFlags: checksum partial on a packet that its flags do not describe.
	PartialFlags
	// PartialLength: checksum partial on a packet whose lengths are not exactly the frame's.
	PartialLength
	// PartialChecksum: checksum partial, but the checksum field is not the pseudo-header sum.
	PartialChecksum
	// MSSInvalid: an MSS below the floor, or on UDP.
	MSSInvalid

	// Inner frame.

	// InnerTruncated: the inner frame ends inside one of its headers.
	InnerTruncated
	// InnerVLANDepth: more than two VLAN tags, or one behind a tag with VLAN ID 0.
	InnerVLANDepth
	// InnerLLC: an 802.3 length instead of an ethertype, and not readable as SNAP.
	InnerLLC
	// InnerIPHeader: the inner IP header has a wrong version or header length.
	InnerIPHeader
	// InnerLength: an inner length points past the end of the frame or into a header.
	InnerLength
	// InnerExtension: the inner IPv6 extension headers cannot be walked.
	InnerExtension
	// InnerSourceRoute: the inner packet names its destination elsewhere than in the IP header.
	InnerSourceRoute
	// InnerFragment: an impossible inner fragment, or a first one without the whole L4 header.
	InnerFragment
	// InnerTCPOffset: the inner TCP data offset is below 5 or past the end.
	InnerTCPOffset
	// InnerTCPFlags: a combination of inner TCP flags that no stack sends.
	InnerTCPFlags
	// InnerARP: an ARP packet that is not Ethernet and IPv4, or cut off.
	InnerARP

	// Policy.

	// ContextUnknown: no tenant claims the Context ID.
	ContextUnknown
	// ContextReserved: bits that are always 0 in the OVN layout are set.
	ContextReserved
	// TenantEndpoint: the outer source is not one of the tenant's endpoints.
	TenantEndpoint
	// BindingDeclared: an inner address, MAC or port that is declared for other endpoints.
	BindingDeclared
	// BindingLearned: an inner address, MAC or port that is in use behind another endpoint.
	BindingLearned
	// RuleDrop: a rule says drop.
	RuleDrop
	// RuleReject: a rule says reject.
	RuleReject
	// RateLimit: more than the limit of the rule allows.
	RateLimit
	// TenantDefault: no rule of the tenant matched, and its default is drop.
	TenantDefault

	// Inner fragments.

	// FragmentFirstMissing: a later inner fragment whose first one did not come in time.
	FragmentFirstMissing
	// FragmentHoldFull: more later inner fragments wait for their first one than may.
	FragmentHoldFull
	// FragmentOverlap: a later inner fragment begins inside the headers of its first one.
	FragmentOverlap
	// FragmentConflict: two first fragments of an inner packet have different headers.
	FragmentConflict

	// State of inner flows.

	// StateInvalid: the packet belongs to no flow and cannot start one.
	StateInvalid
	// FlowEndpoint: the packet names a flow of another outer endpoint.
	FlowEndpoint
	// TCPWindow: a TCP segment outside the windows of its flow.
	TCPWindow
	// TCPReset: a RST that is not at the sequence number that its flow expects.
	TCPReset
	// TCPSyn: a SYN inside an established flow.
	TCPSyn
	// FlowTableFull: no room for another flow.
	FlowTableFull
	// EndpointFlows: one outer endpoint has begun its share of all flows.
	EndpointFlows
	// TenantFlows: the tenant has as many flows as it may have.
	TenantFlows
	// SourceFlows: the inner source has as many flows as it may have.
	SourceFlows
	// HalfOpenLimit: the tenant has as many half-open TCP flows as it may have.
	HalfOpenLimit

	// Leaving.

	// FrameIDExhausted: no unused frame ID was found for the re-encoded frame.
	FrameIDExhausted

	// Mistakes of the firewall.

	// InternalError: the firewall met a mistake of its own (a panic) while it decided.
	InternalError

	// Count is the number of reasons, [None] included.
	Count
)

// Known reports whether r is one of the declared reasons.
func (r Reason) Known() bool { return r < Count }

// String returns the snake_case name that is used everywhere: logs, metrics,
// screens, documentation.
func (r Reason) String() string {
	if !r.Known() {
		return "unknown"
	}
	return table[r].name
}

// Remedy returns one line for the operator: what to look at, or what to do.
func (r Reason) Remedy() string {
	if !r.Known() {
		return ""
	}
	return table[r].remedy
}

// Meaning returns one line that says what was seen.
func (r Reason) Meaning() string {
	if !r.Known() {
		return ""
	}
	return table[r].meaning
}
