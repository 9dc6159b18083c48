package filter

import (
	"net/netip"
	"time"
)

// Record is what a filter looks at: a flow, or one frame that an event tells of.
// Strings are "" and addresses invalid where they do not apply.
type Record struct {
	// Event is drop, flow, ...; "" for a flow.
	Event string
	// Verdict is accept, drop, reject or audit: what audit mode lets pass.
	Verdict string
	Tenant  string
	Rule    string // tenant/rule
	Reason  string
	State   string // of a flow, docs/conntrack.md
	// Protocol is the inner IP protocol, -1 without one.
	Protocol  int
	EtherType int // -1 if it is not known
	VLANs     []uint16
	Src, Dst  netip.Addr // inner
	// SrcPort and DstPort are -1 where the protocol has none.
	SrcPort, DstPort int
	// From and To are the outer endpoints.
	From, To netip.Addr
	// Contexts are the context IDs, of a flow those of both directions.
	Contexts [2]uint64
	// HasContext tells which of Contexts are there.
	HasContext [2]bool
	// Bytes and Packets are those of both directions of a flow, or of one frame.
	Bytes, Packets uint64
	// Age is how long ago it began.
	Age time.Duration
}
