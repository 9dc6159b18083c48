package evasion

import "sttwall/reason"

// icmpError is the body of an ICMP error about a packet, of which it quotes so many
// bytes; -1 is all. Its checksum is that of IPv4.
func icmpError(kind, code byte, about packet, quoted int) []byte {
	q := about.ip()
	if quoted >= 0 {
		q = q[:min(quoted, len(q))]
	}
	b := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, q...)
	put16(b[2:], ^sum(b))
	return b
}

// icmpError6 is icmpError over IPv6, between two addresses.
func icmpError6(kind, code byte, about packet, src, dst []byte) []byte {
	b := append([]byte{kind, code, 0, 0, 0, 0, 0, 0}, about.ip()...)
	put16(b[2:], ^sum(src, dst, []byte{0, protocolICMPv6}, word(len(b)), b))
	return b
}

func answerCases() []Case {
	const class = "Answers to what is rejected"
	one := func(name, source, expects string, answers int, p packet, edit func(*segment)) Case {
		p.payload = or(p.payload, 100)
		c := innerCase(class, name, source, expects, reason.TenantDefault, p)
		c.Answers = answers
		c.Send = func(s *Script) {
			g := wholeOf(1, s.frame(header{}, p))
			if edit != nil {
				edit(&g)
			}
			s.send(g)
		}
		return under(refusing, c)
	}
	const (
		answered = "Its sender gets an answer."
		none     = "It is dropped without an answer."
	)
	ssh := packet{dstPort: 22}
	change := func(p packet, edit func(*packet)) packet { edit(&p); return p }
	to := func(b ...byte) packet { return change(ssh, func(p *packet) { p.to = b }) }
	from := func(b ...byte) packet { return change(ssh, func(p *packet) { p.from = b }) }
	return []Case{
		one("a rejected port", "RFC 9293", answered, 1, ssh, nil),
		one("a rejected SYN", "RFC 9293", answered, 1, packet{dstPort: 22, flags: 2}, nil),
		one("a rejected port over IPv6", "RFC 9293", answered, 1, packet{v6: true, dstPort: 22}, nil),
		one("rejected UDP", "RFC 1812", answered, 1, packet{protocol: protocolUDP}, nil),
		one("a rejected ping", "RFC 1812", answered, 1, packet{protocol: protocolICMP}, nil),
		one("a rejected VLAN", "IEEE 802.1Q", "The answer has its tag.", 1, packet{tags: []uint16{43}}, nil),
		one("a rejected port behind options", handley, answered, 1, packet{dstPort: 22, options: []byte{1, 1, 1, 0}}, nil),
		one("a rejected port of another tenant's endpoint", "RFC 6169", "The answer goes to the endpoint that has sent it, to no other.", 1, ssh, func(g *segment) { g.src = 3 }),
		one("a rejected RST", "RFC 9293", none, 0, packet{dstPort: 22, flags: 0x04}, nil),
		one("a rejected RST with ACK", "RFC 9293", none, 0, packet{dstPort: 22, flags: 0x14}, nil),
		one("a rejected ICMP error", "RFC 1122", "No error about an error.", 0, packet{protocol: protocolICMP, body: icmpError(3, 3, ssh, 28)}, nil),
		one("a rejected answer to a ping", "RFC 1122", none, 0, packet{protocol: protocolICMP, body: []byte{0, 0, 0xff, 0xfe, 0, 1, 0, 0}}, nil),
		one("to a multicast address", "RFC 1122", none, 0, to(239, 1, 2, 3), nil),
		one("to the broadcast address", "RFC 1122", none, 0, to(255, 255, 255, 255), nil),
		one("to an IPv6 multicast address", "RFC 4443", none, 0, change(ssh, func(p *packet) { p.v6, p.to = true, append([]byte{0xff, 2}, make([]byte, 14)...) }), nil),
		one("to a broadcast MAC", "RFC 1122", none, 0, change(ssh, func(p *packet) { p.mac[0] = 0xff }), nil),
		one("from a group MAC", "RFC 1122", none, 0, change(ssh, func(p *packet) { p.mac[1] = 3 }), nil),
		one("from a multicast address", "RFC 1122", none, 0, from(224, 0, 0, 1), nil),
		one("from no address", "RFC 1122", none, 0, from(0, 0, 0, 0), nil),
		one("from a loopback address", "RFC 1122", none, 0, from(127, 0, 0, 1), nil),
		one("from the unspecified IPv6 address", "RFC 4443", none, 0, change(ssh, func(p *packet) { p.v6, p.from = true, make([]byte, 16) }), nil),
		one("an ethertype that is rejected", "IEEE 802.3", none, 0, packet{ether: 0x88b5}, nil),
		under(refusing, Case{Name: "rejected fragments", Class: class, Source: "RFC 1122", On: OnStateless, Reasons: []reason.Reason{reason.TenantDefault}, Answers: 1,
			Expects: "The first alone is answered.", Send: func(s *Script) {
				s.whole(s.frame(header{}, packet{dstPort: 22, payload: 400, fragment: &fragment{id: 7, more: true}}))
				s.whole(s.frame(header{}, packet{dstPort: 22, fragment: &fragment{id: 7, offset: 400}}))
			}}),
		under(refusing, Case{Name: "a rejected frame in segments", Class: class, Source: stt, On: OnStateless, Reasons: []reason.Reason{reason.TenantDefault}, Answers: 1,
			Expects: "One answer.", Send: func(s *Script) { s.send(cut(1, s.ssh(400), 160, 320)...) }}),
		under(refusing, Case{Name: "a storm of rejected frames", Class: class, Source: "RFC 1812", On: OnStateless, Reasons: []reason.Reason{reason.TenantDefault}, Answers: 20,
			Expects: "No more answers than `reject_rate`.", Send: func(s *Script) {
				for range 100 {
					s.whole(s.ssh(100))
				}
			}}),
		under(refusing, Case{Name: "rejected, from an endpoint that nobody listed", Class: class, Source: "RFC 6169", On: OnStateless, Reasons: []reason.Reason{reason.EndpointUnknown},
			Expects: "No answer can be aimed there.", Send: func(s *Script) {
				s.send(with(wholeOf(1, s.ssh(100)), func(g *segment) { g.foreign = true }))
			}}),
		under(refusing, Case{Name: "a lie about the L4 offset where rules reject", Class: class, Source: both, On: OnStateless, Reasons: []reason.Reason{reason.L4OffsetMismatch},
			Expects: "What cannot be read is not answered.", Send: func(s *Script) {
				s.whole(s.partial(packet{payload: 100, dstPort: 22}, func(h *header) { h.l4Offset = 50 }))
			}}),
		under(refusing, Case{Name: "half of a rejected frame", Class: class, Source: stt, On: OnStateless, Reasons: []reason.Reason{reason.FrameTimeout},
			Expects: "What is not whole is not answered.", Send: func(s *Script) { s.send(cut(1, s.ssh(400), 160, 320)[:2]...) }}),
		under(refusing, Case{Name: "a rejected Context ID of nobody", Class: class, Source: stt, On: OnStateless, Reasons: []reason.Reason{reason.ContextUnknown},
			Expects: "It is dropped without an answer.", Send: func(s *Script) { s.whole(s.frame(header{context: 999}, ssh)) }}),
	}
}

func errorCases() []Case {
	const class = "ICMP errors"
	asked := packet{payload: 100} // the client's data
	router := []byte{10, 1, 0, 1}
	client := []byte{10, 1, 0, 9}
	about := func(kind, code byte, p packet, quoted int) packet {
		return packet{protocol: protocolICMP, from: router, to: client, body: icmpError(kind, code, p, quoted)}
	}
	back := func(g *segment) { g.src, g.dst = 2, 1 }
	one := func(name, source, expects string, why reason.Reason, p packet, edit func(*segment)) Case {
		c := innerCase(class, name, source, expects, why, p)
		c.On = OnFlows
		c.Send = func(s *Script) {
			g := wholeOf(1, s.frame(header{}, p))
			edit(&g)
			s.send(g)
		}
		return c
	}
	change := func(p packet, edit func(*packet)) packet { edit(&p); return p }
	const leaves, denied = "It leaves: it belongs to the flow.", "It is denied: it belongs to no flow."
	router6, client6 := packet{v6: true, dst: 1}.peer(), packet{v6: true, dst: 9}.peer()
	return []Case{
		one("unreachable, about the flow", "RFC 792", leaves, reason.None, about(3, 1, asked, -1), back),
		one("fragmentation needed, about the flow", "RFC 1191", leaves, reason.None, about(3, 4, asked, 28), back),
		one("time exceeded, about the flow", "RFC 792", leaves, reason.None, about(11, 0, asked, 28), back),
		one("packet too big, about the flow over IPv6", "RFC 8201", leaves, reason.None, packet{v6: true, protocol: protocolICMPv6, from: router6, to: client6,
			body: icmpError6(2, 0, packet{v6: true, payload: 100}, router6, client6)}, back),
		one("about the flow, from another endpoint", "RFC 5927", "It is dropped: what it quotes did not go there.", reason.FlowEndpoint, about(3, 1, asked, -1), func(g *segment) { g.src, g.dst = 3, 1 }),
		one("about the flow, from the client's endpoint", "RFC 5927", "It is dropped.", reason.FlowEndpoint, about(3, 1, asked, -1), func(*segment) {}),
		one("about the flow, to another host", "RFC 5927", "It is dropped: that host has not sent it.", reason.StateInvalid, change(about(3, 1, asked, -1), func(p *packet) { p.to = []byte{10, 1, 0, 8} }), back),
		one("about another port", "RFC 5927", denied, reason.TenantDefault, about(3, 1, packet{payload: 100, dstPort: 22}, -1), back),
		one("about a flow that nobody opened", "RFC 5927", denied, reason.TenantDefault, about(3, 1, packet{payload: 100, srcPort: 41000}, -1), back),
		one("about the flow, with a number far outside of the window", "RFC 5927", "It is dropped: nobody can have sent that.", reason.TCPWindow, about(3, 1, packet{payload: 100, seq: 1 << 30}, -1), back),
		one("about four bytes of TCP", "RFC 792", "It is dropped: it says too little.", reason.TenantDefault, about(3, 1, asked, 24), back),
		one("about the web port in options, before another one", handley, denied, reason.TenantDefault, about(3, 1, packet{payload: 100, dstPort: 22, options: []byte{0x9c, 0x40, 0, 80}}, -1), back),
		one("about a later fragment", "RFC 792", denied, reason.TenantDefault, about(3, 1, packet{fragment: &fragment{id: 1, offset: 400}}, -1), back),
		one("a redirect about the flow", "RFC 792", "It is for the rules: denied.", reason.TenantDefault, about(5, 1, asked, -1), back),
		one("source quench about the flow", "RFC 6633", "It is for the rules: denied.", reason.TenantDefault, about(4, 0, asked, -1), back),
		one("about an error about the flow", "RFC 1122", denied, reason.TenantDefault, about(3, 1, about(3, 1, asked, -1), -1), back),
	}
}

// peer is the destination address.
func (p packet) peer() []byte {
	_, dst := p.addresses()
	return dst
}
