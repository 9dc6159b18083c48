package replay

import (
	"sttwall/capture"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
)

// Summary counts what a replay did; it is the last line of JSON. Where it says
// nothing else it counts packets.
type Summary struct {
	Event string `json:"event"` // "summary"
	// Files that could be opened, and what was in them. STT and NotSTT
	// add up to Packets; packets that are not STT would not have been
	// queued, so they have no verdict and are not in what left.
	Files   int `json:"files"`
	Packets int `json:"packets"`
	STT     int `json:"stt_packets"`
	NotSTT  int `json:"not_stt"`
	// Tagged have a VLAN tag outside; CutShort are not whole in the
	// capture; Unfinished are STT whose outer checksum an offload had yet
	// to finish.
	Tagged     int `json:"outer_tagged"`
	CutShort   int `json:"cut_short"`
	Unfinished int `json:"checksum_unfinished"`
	// Left is how many packets would have left. Late ones came after their
	// frame had been dropped.
	Left int `json:"left"`
	Late int `json:"late"`
	// Frames is Accepted and Dropped together. Incomplete are among the
	// dropped, Rewritten among the accepted: they left with other bytes. Audited
	// are accepted by audit mode alone.
	Frames     int `json:"frames"`
	Accepted   int `json:"accepted"`
	Dropped    int `json:"dropped"`
	Incomplete int `json:"incomplete"`
	Rewritten  int `json:"rewritten"`
	Audited    int `json:"audited"`
	// Tenants counts frames by tenant, Rules by the rule that decided.
	// All that the policy has are there, those without frames too.
	Tenants map[string]Count `json:"tenants"`
	Rules   map[string]int   `json:"rules"`
	// Reasons counts dropped frames by reason, and dropped packets that
	// belong to no frame.
	Reasons map[string]int `json:"reasons"`
}

// Count is how many frames passed, how many of them by audit mode alone, and how
// many did not.
type Count struct {
	Accepted int `json:"accepted"`
	Audited  int `json:"audited"`
	Dropped  int `json:"dropped"`
}

func newSummary(p *policy.Policy) Summary {
	s := Summary{
		Event:   "summary",
		Tenants: make(map[string]Count), Rules: make(map[string]int), Reasons: make(map[string]int),
	}
	for _, name := range p.Tenants() {
		s.Tenants[name] = Count{}
	}
	for _, name := range p.Rules() {
		s.Rules[name] = 0
	}
	return s
}

func (s *Summary) packet(p *capture.Packet) {
	s.Packets++
	if len(p.Tags) > 0 {
		s.Tagged++
	}
	if p.Cut() {
		s.CutShort++
	}
}

func (s *Summary) frame(e *firewall.FrameEvent) {
	s.Frames++
	count := s.Tenants[e.Decision.Tenant]
	if e.Verdict == firewall.Accept {
		s.Accepted++
		count.Accepted++
	} else {
		s.Dropped++
		count.Dropped++
	}
	if audited(e) {
		s.Audited++
		count.Audited++
	}
	if e.Incomplete {
		s.Incomplete++
	}
	if e.Rewritten {
		s.Rewritten++
	}
	if e.Decision.Tenant != "" {
		s.Tenants[e.Decision.Tenant] = count
	}
	if e.Decision.Rule != "" {
		s.Rules[e.Decision.Rule]++
	}
}

// finish takes over what only the firewall has counted.
func (s *Summary) finish(c *firewall.Counters) {
	s.Late = int(c.LatePackets.Load())
	for r := reason.None + 1; r < reason.Count; r++ {
		if n := c.Reasons[r].Load(); n > 0 {
			s.Reasons[r.String()] = int(n)
		}
	}
}
