package main

// flowFaults are in the flow table, and in how the core uses it.
var flowFaults = []fault{
	// Who belongs to a flow.
	{"conntrack/track.go", "if reversed == (e.flags&flagReversed != 0) {", "if reversed != (e.flags&flagReversed != 0) {"},
	{"conntrack/track.go", "if !p.AnyEndpoint && !p.MayMove && e.from[dir]", "if p.AnyEndpoint && !p.MayMove && e.from[dir]"},
	{"conntrack/track.go", "if e.generation != generation {", "if e.generation > generation {"},
	{"conntrack/key.go", "k.Src != k.Dst && reversed != k.Reply {", "k.Src != k.Dst && k.Reply {"},
	{"conntrack/track.go", "other := p.OVN && dir == 0 &&", "other := p.OVN && dir == 1 &&"},
	{"conntrack/track.go", "e.contexts[0] != p.Context && !p.Asked", "e.contexts[0] < p.Context && !p.Asked"},
	{"conntrack/track.go", "e.rule, e.mark = out.Rule, out.Mark // others", "// others"},
	{"firewall/state.go", "c.Asked = false", "c.Asked = t.OVN && c.Asked"},
	{"firewall/state.go", "first := f.judgeOrigin(p, d, f.packet.ContextID, from, to)", "first := f.judgeOrigin(p, d, f.packet.ContextID^1, from, to)"},
	{"conntrack/track.go", "e.set(flagHasReply)", "e.set(flagTouched)"},
	{"conntrack/track.go", "e.last = max(e.last, now)", "e.last = now - 1"},
	{"conntrack/key.go", "uint32(f.Tags[i] & 0xfff)", "uint32(f.Tags[i])"},
	{"conntrack/entry.go", "e.contexts[0] == p.context())", "e.contexts[1] == p.context())"},
	{"conntrack/related.go", "e.from[1-dir] != p.From.As16() &&", "e.from[dir] != p.From.As16() &&"},
	{"conntrack/related.go", "!after(seq, h.end) && after(seq,", "!after(seq, h.end+1) && after(seq,"},
	{"conntrack/track.go", "e.from[dir] = p.From.As16()\n\t\tt.stats.moved", "e.from[0] = p.From.As16()\n\t\tt.stats.moved"},
	{"conntrack/track.go", "\t\tif dir == 0 {\n\t\t\tt.endpoints", "\t\tif dir == 1 {\n\t\t\tt.endpoints"},
	{"conntrack/endpoints.go", "c.MaxFlows - c.MaxFlows/4", "c.MaxFlows"},
	{"conntrack/endpoints.go", "s.at(at - 1).from[0] == endpoint", "s.at(at - 1).from[0] != endpoint"},
	// For how long.
	{"conntrack/track.go", "now >= s.at(i).expires(", "now > s.at(i).expires("},
	{"conntrack/sweep.go", "now >= e.expires(", "now > e.expires("},
	{"conntrack/related.go", "now >= s.at(i).expires(", "now > s.at(i).expires("},
	{"conntrack/timeouts.go", "return int64(t.TCPLastAck)", "return int64(t.TCPTimeWait)"},
	// What TCP allows.
	{"conntrack/tcp.go", "case after(seq, h.maxEnd), //", "case after(seq, h.maxEnd+1), //"},
	{"conntrack/tcp.go", "!after(end, h.end-other.maxWin-1),", "!after(end, h.end-other.maxWin-2),"},
	{"conntrack/tcp.go", "after(sack, other.end),  ", "after(sack, other.end+1),  "},
	{"conntrack/tcp.go", "!after(sack, other.end-maxAckWindow(h)-1):", "!after(sack, other.end-maxAckWindow(other)-1):"},
	{"conntrack/tcp.go", "other.maxEnd++ // a window probe", "other.maxEnd += 0"},
	{"conntrack/tcp.go", "case s.seq != h.end && !(", "case before(s.seq, h.end) && !("},
	{"conntrack/tcp.go", "c.status != statusSynReceived && after(s.end, h.end))", "c.status != statusSynReceived && after(s.seq, h.end))"},
	{"conntrack/tcp.go", "c.status == statusClose && c.halves[1].maxWin == 0", "c.status == statusClose"},
	{"conntrack/tcp.go", "if c.status != statusClose {", "if c.status != statusTimeWait {"},
	{"conntrack/tcp.go", "s.seq == h.maxAck && after(h.end, end) {", "s.seq == h.maxAck && before(h.end, end) {"},
	{"conntrack/tcp.go", "halfScale == 0 {", "halfScale != 0 {"},
	{"conntrack/tcp.go", "&& !before(s.ack, other.finEnd) {", "&& after(s.ack, other.finEnd) {"},
	{"conntrack/tcp.go", "if h.flags&halfFIN != 0 && after(s.end, h.end) {", "if h.flags&halfFIN != 0 && after(s.seq, h.end) {"},
	// How many there may be.
	{"conntrack/limits.go", "e.flags &^= flagHalfOpen\n", "\n"},
	{"conntrack/limits.go", "n > int64(limits.HalfOpen)", "n >= int64(limits.HalfOpen)"},
	{"conntrack/counts.go", "if int(n) >= limit {", "if int(n) > limit {"},
	{"conntrack/create.go", "if t.trackFlow(now, generation, p, &l, out); out.State == StateNew {", "if out.State != StateNew {"},
	{"conntrack/timeouts.go", "statusOther, statusClose, statusTimeWait,", "statusOther, statusTimeWait, statusClose,"},
	// Where they are.
	{"conntrack/shard.go", "s.distance(home, j) >= s.distance(i, j)", "s.distance(home, j) > s.distance(i, j)"},
	{"conntrack/shard.go", "version: e.version + 1}", "version: 1}"},
	// What the core makes of it.
	{"firewall/state.go", "first.Action == policy.Accept && !first.Stateless {", "first.Action == policy.Accept {"},
	{"firewall/state.go", "if passes || ofFlow {", "if passes {"},
	{"firewall/state.go", "if passes && (d.Stateless || d.RuleIndex < 0) {", "if passes && d.Stateless {"},
	{"firewall/shared.go", "return int32(f.Generation-st.generation) >= 0 ||", "return int32(f.Generation-st.generation) >= -1 ||"},
	{"firewall/shared.go", "if !found || d.TenantIndex != tenant {", "if found && d.TenantIndex != tenant {"},
}
