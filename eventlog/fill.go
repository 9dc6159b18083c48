package eventlog

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"sttwall/binding"
	"sttwall/conntrack"
	"sttwall/control"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/reason"
)

// filler turns what has happened into records.
type filler struct {
	shared *firewall.Shared
	host   string
	wall   func(int64) time.Time // of the firewall's clock
	stamper
}

// protocolNames are Suricata's.
var protocolNames = map[uint8]string{
	inspect.ProtocolTCP: "TCP", inspect.ProtocolUDP: "UDP", inspect.ProtocolSCTP: "SCTP",
	inspect.ProtocolICMP: "ICMP", inspect.ProtocolICMPv6: "IPv6-ICMP",
	2: "IGMP", 47: "GRE", 50: "ESP", 51: "AH", 89: "OSPFIGP", 112: "VRRP",
}

// protocolName is the name, or as Suricata has it the number in three digits.
func protocolName(n uint8) string {
	if name, ok := protocolNames[n]; ok {
		return name
	}
	return fmt.Sprintf("%03d", n)
}

// events returns the records of a frame.
func (f *filler) events(s *seen) (list []*record) {
	for i, name := range sampledNames {
		if s.what&(1<<i) != 0 {
			list = append(list, f.frame(name, &s.frame))
		}
	}
	if s.what&whatBegins != 0 {
		list = append([]*record{f.begun(&s.frame)}, list...)
	}
	return list
}

// frame is a frame that was decided.
func (f *filler) frame(kind string, e *firewall.FrameEvent) *record {
	d := &e.Decision
	r := &record{
		Timestamp: f.stamp(f.wall(e.Time)), EventType: kind, Host: f.host, FlowID: f.shared.Flows().FlowID(e.Flow),
		Tunnel: f.tunnel(e),
		Own: &own{
			Tenant: d.Tenant, Rule: d.Rule,
			Flow:  flowName(e.Flow),
			Frame: &frame{Bytes: e.FrameLength, Packets: e.Segments, FrameID: e.FrameID, Complete: !e.Incomplete},
		},
	}
	if e.HasHeader {
		id := control.ContextID(e.Header.ContextID)
		r.Own.ContextID = &id
	}
	if e.HasInner {
		f.inner(r, &e.Inner)
	}
	why := e.Reason
	switch kind {
	case TypeDrop, TypeReject:
		r.Drop = dropped(e)
		r.Verdict = &verdict{Action: "drop"}
		if kind == TypeReject {
			r.Verdict.Reject = []string{"icmp-prohib"}
			if e.HasInner && e.Inner.HasTCP {
				r.Verdict.Reject = []string{"tcp-reset"}
			}
		}
	case TypeMove:
		for i := range e.Moves {
			r.Own.Moved = append(r.Own.Moved, moved(&e.Moves[i]))
		}
		fallthrough
	default:
		r.Verdict = &verdict{Action: "pass"}
	}
	if d.Audit {
		why = d.Would
		r.Own.WouldBe, r.Own.WouldReason = d.WouldBe.String(), d.Would.String()
	}
	if why == reason.BindingDeclared || why == reason.BindingLearned {
		r.Own.Spoofed = &control.Spoofed{Kind: e.Spoofed.Kind().String(), Value: e.Spoofed.String(), LivesAt: e.SpoofedAt}
	}
	return r
}

// begun is the flow that a frame begins. Its counters are those of the end.
func (f *filler) begun(e *firewall.FrameEvent) *record {
	r := f.frame(TypeFlowStart, e)
	r.Own.Frame = nil
	r.Ether = &ether{SrcMACs: []string{mac(e.Inner.EthSrc)}, DestMACs: []string{mac(e.Inner.EthDst)}}
	r.Flow = &flow{
		PacketsToServer: 1, BytesToServer: uint64(e.FrameLength),
		Start: f.stamp(f.wall(e.Decided / 1e9 * 1e9)), State: "new",
	}
	return r
}

func dropped(e *firewall.FrameEvent) *drop {
	d := &drop{Reason: e.Reason.String()}
	in := &e.Inner
	if !e.HasInner || in.IP == 0 {
		return d
	}
	length, tos := in.IPEnd-in.L3Offset, in.TOS
	d.Length, d.TOS = &length, &tos
	if in.HasTCP {
		flag := func(f uint16) *bool {
			set := in.TCPFlags&f != 0
			return &set
		}
		d.SYN, d.ACK, d.PSH = flag(inspect.SYN), flag(inspect.ACK), flag(inspect.PSH)
		d.RST, d.URG, d.FIN = flag(inspect.RST), flag(inspect.URG), flag(inspect.FIN)
	}
	return d
}

func (f *filler) tunnel(e *firewall.FrameEvent) *tunnel {
	port := e.SrcPort
	return &tunnel{SrcIP: e.Src, SrcPort: &port, DestIP: e.Dst, DestPort: f.port(), Proto: "STT", Depth: 1}
}

// port is the STT port, where there is but one.
func (f *filler) port() *uint16 {
	if ports := f.shared.Policy().Settings().STTPorts; len(ports) == 1 {
		port := ports[0]
		return &port
	}
	return nil
}

// inner fills in what was read of an inner frame.
func (f *filler) inner(r *record, in *inspect.Frame) {
	r.Ether = &ether{SrcMAC: mac(in.EthSrc), DestMAC: mac(in.EthDst)}
	r.Own.EtherType = fmt.Sprintf("0x%04x", in.EtherType)
	for i := range min(int(in.TagCount), inspect.MaxTags) {
		r.VLAN = append(r.VLAN, in.Tags[i]&0xfff)
	}
	if in.IP != 0 {
		r.SrcIP, r.DestIP, r.Proto = in.Src, in.Dst, protocolName(in.Protocol)
	}
	if in.HasPorts {
		src, dst := in.SrcPort, in.DstPort
		r.SrcPort, r.DestPort = &src, &dst
	}
	if in.HasICMP {
		kind, code := in.ICMPType, in.ICMPCode
		r.ICMPType, r.ICMPCode = &kind, &code
	}
	if in.HasICMPID {
		id := in.ICMPID
		r.Own.ICMPID = &id
	}
}

// flowName is the ID by which `sttwall flows` knows a flow while it lives.
func flowName(h conntrack.Handle) string {
	if !h.Valid() {
		return ""
	}
	return h.String()
}

func mac(b [6]byte) string { return net.HardwareAddr(b[:]).String() }

func moved(m *binding.Move) control.Moved {
	return control.Moved{
		Kind: m.Claim.Kind().String(), Value: m.Claim.String(), Before: m.From,
		Stayed: time.Duration(m.Stayed).Round(time.Millisecond).Seconds(), Moves: m.Moves,
	}
}

// ended is a flow that has ended, at a time.
func (f *filler) ended(e *conntrack.End, at time.Time) *record {
	return f.flow(&e.Flow, &flowEnd{why: e.Ending.String(), src: e.EthSrc, dst: e.EthDst, at: at})
}

// flowEnd is what a flow itself does not say of its end.
type flowEnd struct {
	why      string
	src, dst [6]byte // MACs
	at       time.Time
}

// endedTenant is for flows that ended because the rules do not have their tenant any
// more.
const endedTenant = "tenant_gone"

// suricataEnd are Suricata's words for why a flow has ended.
var suricataEnd = map[string]string{
	conntrack.EndedTimeout.String(): "timeout", conntrack.EndedClosed.String(): "timeout", conntrack.EndedReplaced.String(): "tcp_reuse",
	conntrack.EndedEvicted.String(): "forced", conntrack.EndedDenied.String(): "forced", endedTenant: "forced", conntrack.EndedShutdown.String(): "shutdown",
}

// tcpStates are Suricata's words for the states of TCP.
var tcpStates = map[string]string{
	"syn_sent": "syn_sent", "syn_received": "syn_recv", "established": "established", "fin_wait": "fin_wait1",
	"close_wait": "close_wait", "last_ack": "last_ack", "time_wait": "time_wait", "close": "closed",
}

func (f *filler) flow(v *conntrack.Flow, end *flowEnd) *record {
	k := &v.Key
	by := f.shared.Passed(v)
	if end.why == conntrack.EndedDenied.String() && by.Gone {
		end.why = endedTenant
	}
	last := f.stamp(f.wall(v.Last))
	age := v.Last/1e9 - v.Created/1e9
	id := control.ContextID(v.Contexts[0])
	r := &record{
		Timestamp: f.stamp(end.at), EventType: TypeFlow, Host: f.host, FlowID: f.shared.Flows().FlowID(v.Handle), VLAN: k.VLANs(),
		SrcIP: k.Src, DestIP: k.Dst, Proto: protocolName(k.Protocol),
		Ether: &ether{SrcMACs: []string{mac(end.src)}, DestMACs: []string{mac(end.dst)}},
		Flow: &flow{
			PacketsToServer: uint64(v.Packets[0]), PacketsToClient: uint64(v.Packets[1]), BytesToServer: v.Bytes[0], BytesToClient: v.Bytes[1],
			Start: f.stamp(f.wall(v.Created)), End: &last, Age: &age, State: flowState(v), Reason: suricataEnd[end.why],
		},
		Tunnel: &tunnel{SrcIP: v.From, DestIP: validOnly(v.To), DestPort: f.port(), Proto: "STT", Depth: 1},
		Own:    &own{Tenant: by.Tenant, Rule: by.Rule, Flow: flowName(v.Handle), ContextID: &id, State: v.Status, Ended: end.why},
	}
	if v.HasReply {
		reply := control.ContextID(v.Contexts[1])
		r.Own.ReplyContextID = &reply
	}
	if by.Audit {
		r.Own.WouldBe, r.Own.WouldReason = by.WouldBe.String(), by.Would.String()
	}
	src, dst := k.SrcPort, k.DstPort
	switch k.Protocol {
	case inspect.ProtocolTCP:
		r.TCP = &tcp{State: tcpStates[v.Status]}
		fallthrough
	case inspect.ProtocolUDP, inspect.ProtocolSCTP:
		r.SrcPort, r.DestPort = &src, &dst
	case inspect.ProtocolICMP, inspect.ProtocolICMPv6:
		kind, code := uint8(dst), uint8(0) // queries have no other
		r.ICMPType, r.ICMPCode, r.Own.ICMPID = &kind, &code, &src
	}
	return r
}

// validOnly is an address of a flow whose other side was not seen, as one that is
// not there: it is remembered as zero.
func validOnly(a netip.Addr) netip.Addr {
	if a.IsUnspecified() {
		return netip.Addr{}
	}
	return a
}

// flowState is Suricata's state of a flow.
func flowState(v *conntrack.Flow) string {
	switch v.Status {
	case "time_wait", "close":
		return "closed"
	case "syn_sent", "syn_received", "unreplied":
		return "new"
	}
	return "established"
}

// reloadOf is a reload, or one that was refused.
func (f *filler) reload(e *control.Event) *record {
	return &record{
		Timestamp: f.stamp(e.Time.Local()), EventType: TypeReload, Host: f.host,
		Own: &own{Reload: &reloaded{Tenants: e.Tenants, Rules: e.Rules, FlowsEnded: e.FlowsEnded, Error: e.Error}},
	}
}

// stats are the counters of the firewall.
func (f *filler) stats(now time.Time, started time.Time, t *firewall.Totals, elsewhere []control.Drop) *record {
	flows := f.shared.Flows().Stats()
	r := &record{
		Timestamp: f.stamp(now), EventType: TypeStats, Host: f.host,
		Stats: &statistics{
			Uptime:  int64(now.Sub(started).Seconds()),
			Decoder: decoded{Packets: t.Packets, Bytes: t.Bytes},
			Flow:    flowStatistics{Total: flows.Created, Active: uint64(max(flows.Flows, 0))},
			IPS:     ips{Accepted: t.PacketsAccepted, Blocked: t.PacketsDropped, Rejected: t.RejectsSent, Replaced: t.FramesRewritten},
		},
		Own: &own{Drops: make(map[string]uint64), Lost: &lost{LatePackets: t.LatePackets}},
	}
	for i, n := range t.Reasons {
		if n > 0 {
			r.Own.Drops[reason.Reason(i).String()] = n
		}
	}
	c := &captured{KernelPackets: t.Packets}
	for _, d := range elsewhere {
		if d.Count == 0 {
			continue
		}
		if r.Own.Lost.Elsewhere == nil {
			r.Own.Lost.Elsewhere = make(map[string]uint64)
		}
		r.Own.Lost.Elsewhere[d.Reason] += d.Count
		if d.Where == "queue" {
			c.KernelDrops += d.Count
			c.KernelPackets += d.Count
		}
	}
	r.Stats.Capture = c
	return r
}

// tenant are the counters of a tenant.
func (f *filler) tenant(now time.Time, name string, t firewall.Tally) *record {
	c := &counters{Frames: t.Frames, Bytes: t.Bytes, Flows: t.Flows, Dropped: t.Dropped, Audited: t.Audited}
	c.FlowsNow, c.HalfOpen = f.shared.TenantFlows(name)
	return &record{
		Timestamp: f.stamp(now), EventType: TypeTenant, Host: f.host,
		Own: &own{Tenant: name, Counters: c},
	}
}
