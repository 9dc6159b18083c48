package control

import (
	"net/http"
	"time"

	"sttwall/filter"
	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
)

// parseFilter reads the filter of a request.
func parseFilter(text string) (*filter.Filter, error) {
	f, err := filter.Parse(text)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "filter: %v", err)
	}
	return f, nil
}

// verdictOf is the verdict by which filters know what the rules say.
func verdictOf(d *policy.Decision) string {
	if d.Audit {
		return "audit"
	}
	return d.Action.String()
}

// portsOf are the ports as filters know them; ICMP has none.
func portsOf(protocol uint8, src, dst uint16) (int, int) {
	switch protocol {
	case inspect.ProtocolTCP, inspect.ProtocolUDP, inspect.ProtocolSCTP:
		return int(src), int(dst)
	}
	return -1, -1
}

// flowRecord makes r what filters see of a flow.
func flowRecord(r *filter.Record, now int64, f *firewall.FlowView) {
	k, d := &f.Key, &f.Decision
	*r = filter.Record{
		Verdict: verdictOf(d), Tenant: f.Tenant, Rule: d.Rule, State: f.Status, Protocol: int(k.Protocol), EtherType: -1,
		VLANs: r.VLANs[:0], Src: k.Src, Dst: k.Dst, From: f.From, To: f.To,
		Contexts: f.Contexts, HasContext: [2]bool{true, f.HasReply},
		Bytes: f.Bytes[0] + f.Bytes[1], Packets: uint64(f.Packets[0]) + uint64(f.Packets[1]), Age: time.Duration(now - f.Created),
	}
	r.SrcPort, r.DstPort = portsOf(k.Protocol, k.SrcPort, k.DstPort)
	r.VLANs = append(r.VLANs, k.VLANs()...)
	switch {
	case d.Audit:
		r.Reason = d.Would.String()
	case d.Reason != reason.None:
		r.Reason = d.Reason.String()
	}
}

// frameRecord makes r what filters see of a frame that an event tells of.
func frameRecord(r *filter.Record, f *firewall.FrameEvent) {
	d := &f.Decision
	*r = filter.Record{
		Event: eventType(f), Verdict: frameVerdict(f), Tenant: d.Tenant, Rule: d.Rule, Protocol: -1, EtherType: -1, VLANs: r.VLANs[:0],
		SrcPort: -1, DstPort: -1, From: f.Src, To: f.Dst,
		Contexts: [2]uint64{f.Header.ContextID, f.Reverse}, HasContext: [2]bool{f.HasHeader, f.HasReverse},
		Bytes: uint64(max(0, f.FrameLength)), Packets: 1,
	}
	switch {
	case f.Reason != reason.None:
		r.Reason = f.Reason.String()
	case d.Audit:
		r.Reason = d.Would.String()
	}
	if !f.HasInner {
		return
	}
	r.State = frameState(f)
	in := &f.Inner
	r.EtherType = int(in.EtherType)
	for _, tag := range in.Tags[:in.TagCount] {
		r.VLANs = append(r.VLANs, tag&0xfff)
	}
	if in.IP != 0 {
		r.Protocol, r.Src, r.Dst = int(in.Protocol), in.Src, in.Dst
	}
	if in.HasPorts {
		r.SrcPort, r.DstPort = int(in.SrcPort), int(in.DstPort)
	}
}

// toldRecord makes r what filters see of an event of no frame.
func toldRecord(r *filter.Record, e *Event) {
	*r = filter.Record{Event: e.Type, Protocol: -1, EtherType: -1, VLANs: r.VLANs[:0], SrcPort: -1, DstPort: -1}
}
