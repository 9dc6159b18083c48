package remedy

import (
	"encoding/binary"
	"fmt"
	"slices"

	"sttwall/firewall"
	"sttwall/inspect"
	"sttwall/policy"
	"sttwall/reason"
)

// beginning is a packet that would begin the flow of the frame at hand.
type beginning struct {
	question firewall.Question
	frame    inspect.Frame
	reversed bool // it goes the other way than the frame
}

// beginnings returns the packets that may have begun the flow of the frame at hand, the
// likelier first; nil if the frame may begin one itself, and does not look like a reply.
func (f *finder) beginnings() []*beginning {
	in := &f.frame
	if in.Fragmented && in.Fragment.Offset > 0 {
		return nil
	}
	const syn, synAck = inspect.SYN, inspect.SYN | inspect.ACK
	switch {
	case in.HasTCP && in.TCPFlags&(synAck|inspect.RST|inspect.FIN) == syn:
		return nil
	case in.HasTCP && in.TCPFlags&(synAck|inspect.RST) == synAck:
		return f.begun(true)
	case in.HasTCP && in.SrcPort < in.DstPort:
		return f.begun(true, false)
	case in.HasTCP:
		return f.begun(false, true)
	case in.HasPorts && in.SrcPort < 1024 && in.DstPort >= 1024:
		return f.begun(true)
	case in.HasICMP && replies[[2]uint8{in.Protocol, in.ICMPType}] != 0:
		return f.begun(true)
	}
	return nil
}

// replies are ICMP replies, and what they reply to (RFC 792, RFC 4443).
var replies = map[[2]uint8]uint8{{inspect.ProtocolICMP, 0}: 8, {inspect.ProtocolICMP, 14}: 13, {inspect.ProtocolICMPv6, 129}: 128}

// begun makes the first packets of a flow, in the direction of the frame or the other.
func (f *finder) begun(directions ...bool) (out []*beginning) {
	for _, reversed := range directions {
		if b := f.first(reversed); b != nil {
			out = append(out, b)
		}
	}
	return out
}

// first makes the first packet of the flow of which the frame at hand is another.
func (f *finder) first(reversed bool) *beginning {
	in := &f.frame
	b := &beginning{reversed: reversed, question: f.question}
	data := slices.Clone(f.question.Data)
	if reversed {
		q := &b.question
		q.From, q.To = q.To, q.From
		if d, found := f.policy.Find(q.ContextID); found && f.policy.Tenant(d.TenantIndex).OVN {
			if id, ok := policy.OVNReverse(q.ContextID); ok {
				q.ContextID = id
			}
		}
		swap(data[0:6], data[6:12])
		switch in.IP {
		case 4:
			swap(data[in.L3Offset+12:in.L3Offset+16], data[in.L3Offset+16:in.L3Offset+20])
		case 6:
			swap(data[in.L3Offset+8:in.L3Offset+24], data[in.L3Offset+24:in.L3Offset+40])
		}
		if in.HasPorts {
			swap(data[in.L4Offset:in.L4Offset+2], data[in.L4Offset+2:in.L4Offset+4])
		}
		if in.HasICMP {
			data[in.L4Offset], data[in.L4Offset+1] = replies[[2]uint8{in.Protocol, in.ICMPType}], 0
		}
	}
	if in.HasTCP {
		binary.BigEndian.PutUint32(data[in.L4Offset+8:], 0)
		data[in.L4Offset+12] &= 0xf0
		data[in.L4Offset+13] = inspect.SYN
	}
	if b.frame.Decode(data, len(data), f.request.TCI, inspect.Tagged(f.request.TCI != 0)) != reason.None {
		return nil
	}
	b.question.Data, b.question.Frame = data, &b.frame
	return b
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// middle is the remedy for a packet that belongs into the middle of a flow, and none was
// there: the rule for its first packet, or none at all.
func (f *finder) middle(beginnings []*beginning) Remedy {
	for _, b := range beginnings {
		if passes(f.policy, f.request.Now, &b.question) {
			return f.missed(b)
		}
	}
	b := beginnings[0]
	out := f.rule(&b.question)
	why := "the frame is not the first of its flow, so that no rule is for it: this one is for the packet that begins it, " + b.text() + "; its replies pass without a rule"
	if !f.frame.HasTCP {
		why = "the frame looks like a reply, and for replies there are no rules: this one is for the packet to which it replies, " + b.text()
	}
	if out.Text != "" {
		out.Why = why + ". " + sentence(out.Why)
	} else {
		out.Why = "no rule lets it pass: it is not the first of its flow. Of the packet that begins it, " + b.text() + ": " + out.Why
	}
	return out
}

// missed is the remedy for a packet of a flow that the rules accept, and that is not known.
func (f *finder) missed(b *beginning) Remedy {
	x, err := firewall.ExplainFirst(f.policy, f.request.Now, &b.question)
	if err != nil {
		return Remedy{Why: err.Error()}
	}
	by := "by default"
	if x.Decision.Rule != "" {
		by = "by " + x.Decision.Rule
	}
	out := Remedy{Why: fmt.Sprintf("no rule is for it: the rules accept the packet that begins its flow, %s, %s, but that flow is not known here. ", b.text(), by)}
	switch in := &f.frame; {
	case in.HasTCP && in.TCPFlags&inspect.RST != 0:
		out.Why += "It is a reset of a connection that has ended or was forgotten, which harms nobody"
		return out
	case in.HasTCP && b.reversed && in.TCPFlags&inspect.SYN != 0:
		out.Why += "Its SYN did not come this way: look for an asymmetric route, or a second firewall beside this one"
		return out
	case !in.HasTCP:
		out.Why += "The reply came after the flow was forgotten (settings.timeouts), or what it replies to went another way"
		return out
	}
	out.Why += "It began before the firewall did, or was forgotten; a new connection passes. tcp_loose lets connections be picked up in the middle: meant for the minutes after the firewall was put in"
	out.Text = "tcp_loose = true\n"
	out.Place = fmt.Sprintf("in the block of tenant %q", x.Decision.Tenant)
	if f.file == nil {
		return f.try(out, edit{}, &f.question)
	}
	tenant := block(f.file.body, "tenant", x.Decision.Tenant)
	if tenant == nil {
		return out
	}
	e := f.file.atEnd(tenant, out.Text)
	if a := tenant.Body.Attributes["tcp_loose"]; a != nil {
		out.Place = fmt.Sprintf("in place of tcp_loose in tenant %q, %s", x.Decision.Tenant, f.file.at(a.NameRange.Start))
		e = edit{a.NameRange.Start.Byte, a.SrcRange.End.Byte, "tcp_loose = true"}
	} else {
		out.Place += ", " + f.file.at(tenant.DefRange().Start)
	}
	if b.reversed {
		out.Why += ". Not this packet is picked up, but the next one of the other side"
		return out
	}
	return f.try(out, e, &f.question)
}

// text describes it, as docs/packets.md says.
func (b *beginning) text() string {
	in := &b.frame
	switch {
	case in.HasTCP:
		return fmt.Sprintf("tcp %s > %s syn", end(in, in.Src.String(), in.SrcPort), end(in, in.Dst.String(), in.DstPort))
	case in.HasPorts && in.Protocol == inspect.ProtocolUDP:
		return fmt.Sprintf("udp %s > %s", end(in, in.Src.String(), in.SrcPort), end(in, in.Dst.String(), in.DstPort))
	case in.HasICMP && in.Protocol == inspect.ProtocolICMP:
		return fmt.Sprintf("icmp %s > %s", in.Src, in.Dst)
	}
	return fmt.Sprintf("%s > %s", in.Src, in.Dst)
}

func end(in *inspect.Frame, address string, port uint16) string {
	if in.IP == 6 {
		address = "[" + address + "]"
	}
	return fmt.Sprintf("%s:%d", address, port)
}
