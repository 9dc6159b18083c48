package control

import (
	"time"

	"sttwall/firewall"
)

// Running is the firewall that a [Server] speaks for; nfq.Inline is one. Its
// methods may be called from any goroutine.
type Running interface {
	// Shared is what the workers have in common.
	Shared() *firewall.Shared
	// Tallies returns what all workers have counted together, by rule and by
	// tenant.
	Tallies() (rules, tenants map[string]firewall.Tally)
	// TenantTallies returns those of the tenants alone.
	TenantTallies() map[string]firewall.Tally
	// Since returns since when each of them is in force, on the firewall's clock.
	Since() (rules, tenants map[string]int64)
	// Totals returns what all workers have counted together.
	Totals() firewall.Totals
	// Now is the firewall's clock, in ns.
	Now() int64
}

// Status says which firewall this is, and what it has done so far. GET /v1/status.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	// Rules is the rules file, as the firewall was told it.
	Rules string `json:"rules_file"`
	// Generation counts the sets of rules that were in force, and the time
	// windows that opened and closed in them.
	Generation uint32 `json:"generation"`
	Tenants    int    `json:"tenants"`
	RuleCount  int    `json:"rules"`
	Flows      int    `json:"flows"` // now
	Totals     Totals `json:"totals"`
	// Rights is what the firewall can still do to its host; "" where it has given up
	// nothing.
	Rights string `json:"rights,omitempty"`
}

// Totals are the sums over all workers since the start; see [firewall.Counters].
type Totals struct {
	Packets         uint64 `json:"packets"`
	Bytes           uint64 `json:"bytes"`
	PacketsAccepted uint64 `json:"packets_accepted"`
	PacketsDropped  uint64 `json:"packets_dropped"`
	PacketsLate     uint64 `json:"packets_late"`
	// PacketsAgain had to come again, whole: too little of them was copied.
	PacketsAgain     uint64 `json:"packets_again"`
	FramesAccepted   uint64 `json:"frames_accepted"`
	FramesDropped    uint64 `json:"frames_dropped"`
	FramesAudited    uint64 `json:"frames_audited"`
	FramesRewritten  uint64 `json:"frames_rewritten"`
	FrameIDsReplaced uint64 `json:"frame_ids_replaced"`
	RejectsSent      uint64 `json:"rejects_sent"`
	RejectsLimited   uint64 `json:"rejects_limited"`
	RejectsRefused   uint64 `json:"rejects_refused"`
}

func totalsOf(t firewall.Totals) Totals {
	return Totals{
		Packets: t.Packets, Bytes: t.Bytes,
		PacketsAccepted: t.PacketsAccepted, PacketsDropped: t.PacketsDropped, PacketsLate: t.LatePackets, PacketsAgain: t.PacketsAgain,
		FramesAccepted: t.FramesAccepted, FramesDropped: t.FramesDropped, FramesAudited: t.FramesAudited,
		FramesRewritten: t.FramesRewritten, FrameIDsReplaced: t.FrameIDsReplaced,
		RejectsSent: t.RejectsSent, RejectsLimited: t.RejectsLimited, RejectsRefused: t.RejectsRefused,
	}
}

// Reloaded says what a reload has put in force. POST /v1/reload.
type Reloaded struct {
	Tenants    int `json:"tenants"`
	Rules      int `json:"rules"`
	FlowsEnded int `json:"flows_ended"`
	// Warnings are about the rules file, with place and source line as `sttwall
	// check` prints them, and about what waits for the next start.
	Warnings []string `json:"warnings"`
}
