package evasion

import (
	"time"

	"sttwall/reason"
)

// under is a case whose firewall enforces rules of its own.
func under(set *RuleSet, c Case) Case {
	send := c.Send
	c.Send = func(s *Script) {
		s.Rules = set
		send(s)
	}
	return c
}

// outcome writes down what is expected: frames that are accepted, or why none is.
func (c Case) expecting(accepted int, list ...reason.Reason) Case {
	c.Accepted, c.Reasons = accepted, list
	return c
}

func priorityCases() []Case {
	const class, dot1q = "Priorities of tags", "IEEE 802.1Q"
	one := func(set *RuleSet, name, source, expects string, why reason.Reason, tci uint16, p packet) Case {
		p.payload = 100
		c := innerCase(class, name, source, expects, why, p)
		c.Send = func(s *Script) { s.whole(s.frame(header{tci: tci}, p)) }
		return under(set, c)
	}
	const drop, leaves = "It is dropped.", "It leaves."
	return []Case{
		one(tagged, "no tag where there must be a priority", dot1q, drop, reason.RuleDrop, 0, packet{}),
		one(tagged, "V alone where there must be a priority", windows, "It is dropped: V alone is no tag for Windows, and none for the rules.", reason.RuleDrop, 0x1000, packet{}),
		one(tagged, "priority 0 in a VLAN where there must be a priority", dot1q, leaves, reason.None, 0x1005, packet{}),
		one(tagged, "priority 2 without V where there must be a priority", both, "It leaves with V.", reason.None, 0x4000, packet{}),
		one(tagged, "a tag of zeros in the frame where there must be a priority", dot1q, "It leaves: both receivers hand that tag on.", reason.None, 0, packet{tags: []uint16{0}}),
		one(tagged, "a denied priority", dot1q, drop, reason.RuleDrop, 0x3000, packet{}),
		one(tagged, "a denied priority without V", both, drop, reason.RuleDrop, 0x2000, packet{}),
		one(tagged, "a denied priority in the frame", dot1q, drop, reason.RuleDrop, 0, packet{tags: []uint16{0x2000}}),
		one(tagged, "a denied priority in the frame, V alone before it", windows, "It is dropped: V alone hides no tag.", reason.RuleDrop, 0x1000, packet{tags: []uint16{0x2005}}),
		one(untagged, "V alone where there must be no priority", linux, "It leaves as no tag: Linux would make one of it.", reason.None, 0x1000, packet{}),
		one(untagged, "a priority where there must be none", dot1q, drop, reason.TenantDefault, 0x4000, packet{}),
		one(untagged, "a tag of zeros in the frame where there must be no priority", dot1q, drop, reason.TenantDefault, 0, packet{tags: []uint16{0}}),
	}
}

func linuxCases() []Case {
	const class = `Rules that say receivers = "linux"`
	one := func(name, source, expects string, why reason.Reason, h header, p packet, edit func(*segment)) Case {
		p.payload = or(p.payload, 100)
		c := innerCase(class, name, source, expects, why, p)
		c.Send = func(s *Script) {
			g := wholeOf(1, s.frame(h, p))
			if edit != nil {
				edit(&g)
			}
			s.send(g)
		}
		return under(linuxAlone, c)
	}
	return []Case{
		one("a VLAN without V", linux, "It leaves as it came.", reason.None, header{tci: 42}, packet{}, nil),
		one("a denied VLAN without V, for Linux", linux, "It is dropped: Linux sees the tag.", reason.TenantDefault, header{tci: 43}, packet{}, nil),
		one("V alone, for Linux", linux, "It leaves as no tag.", reason.None, header{tci: 0x1000}, packet{}, nil),
		one("a denied VLAN in the frame, V alone before it", linux, "It is dropped.", reason.TenantDefault, header{tci: 0x1000}, packet{tags: []uint16{43}}, nil),
		one("a DSCP outside", linux, "It leaves as it came: Linux looks at ECN alone.", reason.None, header{}, packet{}, func(g *segment) { g.tos = 0xb8 }),
		one("version 1, for Linux", linux, "It is dropped.", reason.FrameVersion, header{version: 1}, packet{}, nil),
		under(linuxAlone, Case{Name: "overlaps, for Linux", Class: class, Source: ptacek, Reasons: []reason.Reason{reason.SegmentOverlap},
			Expects: "The frame is dropped whole.", Send: func(s *Script) {
				p := cut(1, s.web(400), 160, 320)
				s.send(p[0], p[1], segment{total: p[0].total, offset: 300, id: 1, payload: p[2].payload[:40]}, p[2])
			}}),
		under(linuxAlone, Case{Name: "an ID just after it was accepted, for Linux", Class: class, Source: linux, Accepted: 2,
			Expects: "The second frame leaves with another ID.", Send: func(s *Script) {
				s.send(cut(1, s.frame(header{}, packet{payload: 400}), 160, 320)...)
				s.send(cut(1, s.frame(header{}, packet{payload: 400, fill: 0xff}), 160, 320)...)
			}}),
	}
}

// synOptions are those of a SYN with an MSS of 1,460.
var synOptions = []byte{2, 4, 0x05, 0xb4}

func setCases() []Case {
	const class = "Rules that change packets"
	one := func(name, source, expects string, why reason.Reason, h header, p packet) Case {
		p.payload = or(p.payload, 100)
		c := innerCase(class, name, source, expects, why, p)
		c.Send = func(s *Script) { s.whole(s.frame(h, p)) }
		return under(changing, c)
	}
	const changed = "It leaves with what the rule sets, and with right checksums."
	syn := func(options ...byte) packet { return packet{flags: 0x02, tcpOptions: options} }
	return []Case{
		one("DSCP set", stt, changed, reason.None, header{}, packet{}),
		one("DSCP set over IPv6", stt, changed, reason.None, header{}, packet{v6: true}),
		one("DSCP set behind a tag", stt, changed, reason.None, header{}, packet{tags: []uint16{42}}),
		one("DSCP set behind SNAP", stt, changed, reason.None, header{}, packet{snap: true}),
		one("DSCP set with IPv4 options", stt, changed, reason.None, header{}, packet{options: []byte{1, 1, 1, 0}}),
		one("MSS lowered", stt, changed, reason.None, header{}, syn(synOptions...)),
		one("MSS lowered over IPv6", stt, changed, reason.None, header{}, packet{v6: true, flags: 0x02, tcpOptions: synOptions}),
		one("MSS lowered at an odd place", handley, changed, reason.None, header{}, syn(1, 2, 4, 0x05, 0xb4, 1, 1, 0)),
		one("two MSS options, the larger one last", handley, "Both are lowered: hosts take the last.", reason.None, header{}, syn(2, 4, 0x02, 0x18, 2, 4, 0x05, 0xb4)),
		one("an MSS option behind the end of options", handley, "It is none for any host, and stays.", reason.None, header{}, syn(0, 0, 0, 0, 2, 4, 0x05, 0xb4)),
		one("an MSS option of length 3", handley, "It is none for any host, and stays.", reason.None, header{}, syn(2, 3, 0x05, 1, 1, 1, 1, 0)),
		one("an MSS option that is cut off", handley, "It stays; what is behind it cannot be walked.", reason.None, header{}, syn(1, 1, 2, 40)),
		one("a wrong checksum, and DSCP set", ptacek, "It leaves, as wrong as it came.", reason.None, header{}, packet{badSum: true}),
		one("a wrong checksum, and MSS lowered", ptacek, "It leaves, as wrong as it came.", reason.None, header{}, packet{badSum: true, flags: 0x02, tcpOptions: synOptions}),
		one("a denied port where rules change packets", ptacek, "It is denied.", reason.TenantDefault, header{}, packet{dstPort: 22}),
		one("DSCP set, checksum verified", both, changed, reason.None, header{flags: 1}, packet{}),
		under(changing, Case{Name: "DSCP set in segments", Class: class, Source: stt, On: OnStateless, Accepted: 1, Expects: changed,
			Send: func(s *Script) { s.send(cut(1, s.web(400), 160, 320)...) }}),
		under(changing, Case{Name: "DSCP set, checksum partial, cut by the receiver", Class: class, Source: both, On: OnStateless, Accepted: 1, Expects: changed,
			Send: func(s *Script) { s.whole(s.partial(packet{payload: 3000}, func(h *header) { h.mss = 1000 })) }}),
		under(changing, Case{Name: "MSS lowered, checksum partial", Class: class, Source: both, On: OnStateless, Accepted: 1, Expects: changed,
			Send: func(s *Script) { s.whole(s.partial(syn(synOptions...), nil)) }}),
		under(changing, Case{Name: "DSCP set in fragments", Class: class, Source: "RFC 791", On: OnStateless, Accepted: 2, Expects: "The later one is changed as the first.",
			Send: func(s *Script) {
				s.whole(s.frame(header{}, packet{payload: 400, fragment: &fragment{id: 7, more: true}}))
				s.whole(s.frame(header{}, packet{fragment: &fragment{id: 7, offset: 400}}))
			}}),
		under(changing, Case{Name: "a DSCP outside, and another one set", Class: class, Source: windows, On: OnStateless, Accepted: 1,
			Expects: "It leaves with the one that is set, outside and inside.", Send: func(s *Script) {
				s.send(with(wholeOf(1, s.web(100)), func(g *segment) { g.tos = 0x28 }))
			}}),
	}
}

func reloadCases() []Case {
	const class = "Rules that change meanwhile"
	on := func(name, source, expects string, c Case, send func(*Script)) Case {
		c.Name, c.Class, c.Source, c.Expects, c.Send = name, class, source, expects, send
		return c
	}
	at := []int{160, 320}
	deny := func(s *Script, set *RuleSet) {
		s.wait(50 * time.Millisecond)
		s.reload(set)
		s.wait(50 * time.Millisecond)
	}
	later := func(s *Script) []byte { return s.frame(header{}, packet{fragment: &fragment{id: 7, offset: 400}}) }
	first := func(s *Script) []byte {
		return s.frame(header{}, packet{payload: 400, fragment: &fragment{id: 7, more: true}})
	}
	return []Case{
		on("denied while a frame is held", ptacek, "The rules of when it is whole count.", Case{Reasons: []reason.Reason{reason.TenantDefault}, On: OnStateless}, func(s *Script) {
			p := cut(1, s.web(400), at...)
			s.send(p[0], p[1])
			deny(s, closed)
			s.send(p[2])
		}),
		on("allowed while a frame is held", ptacek, "The rules of when it is whole count.", Case{Accepted: 1, On: OnStateless}, func(s *Script) {
			s.Rules = closed
			p := cut(1, s.web(400), at...)
			s.send(p[0], p[1])
			deny(s, usual)
			s.send(p[2])
		}),
		on("denied after a frame", ptacek, "The next one is dropped.", Case{Accepted: 1, Reasons: []reason.Reason{reason.TenantDefault}, On: OnStateless}, func(s *Script) {
			s.whole(s.web(100))
			deny(s, closed)
			s.whole(s.web(100))
		}),
		on("denied and allowed again", ptacek, "What was dropped meanwhile does not come back.", Case{Accepted: 2, Reasons: []reason.Reason{reason.TenantDefault}, On: OnStateless}, func(s *Script) {
			s.send(cut(1, s.frame(header{}, packet{payload: 400}), at...)...)
			deny(s, closed)
			s.send(cut(2, s.frame(header{}, packet{payload: 400, fill: 1}), at...)...)
			deny(s, usual)
			s.send(cut(3, s.frame(header{}, packet{payload: 400, fill: 2}), at...)...)
		}),
		on("the endpoint is none any more while its frame is held", "RFC 6169", "The rest of the frame is dropped.",
			Case{Reasons: []reason.Reason{reason.EndpointUnknown, reason.FrameTimeout}, On: OnStateless}, func(s *Script) {
				p := cut(1, s.web(400), at...)
				s.send(p[0], p[1])
				deny(s, elsewhere)
				s.send(p[2])
			}),
		on("a flow is denied", ptacek, "It ends, and what it goes on with begins none.", Case{Accepted: 1, Reasons: []reason.Reason{reason.TenantDefault}, On: OnFlows}, func(s *Script) {
			s.whole(s.web(100))
			deny(s, closed)
			s.whole(s.frame(header{}, packet{payload: 100, seq: 100}))
		}),
		on("a flow is denied, and allowed again", ptacek, "It has ended: it has to begin anew.", Case{Accepted: 1, Reasons: []reason.Reason{reason.TenantDefault, reason.StateInvalid}, On: OnFlows}, func(s *Script) {
			s.whole(s.web(100))
			deny(s, closed)
			s.whole(s.frame(header{}, packet{payload: 100, seq: 100}))
			deny(s, usual)
			s.whole(s.frame(header{}, packet{payload: 100, seq: 200}))
		}),
		on("a fragment whose first was accepted before", "RFC 1858", "It is judged again: dropped.", Case{Accepted: 1, Reasons: []reason.Reason{reason.TenantDefault}, On: OnStateless}, func(s *Script) {
			s.whole(first(s))
			deny(s, closed)
			s.whole(later(s))
		}),
		on("no receiver is Windows any more while a frame is held", both, "It leaves as the new rules say.", Case{Accepted: 1, On: OnStateless}, func(s *Script) {
			s.Rules = linuxAlone
			p := cut(1, s.frame(header{tci: 42}, packet{payload: 400}), at...)
			s.send(p[0], p[1])
			deny(s, usual)
			s.send(p[2])
		}),
	}
}

func networkCases() []Case {
	const class = "OVN, and where addresses live"
	ovnOf := func(name, expects string, why reason.Reason, ids ...uint64) Case {
		c := Case{Name: name, Class: class, Source: "ovn-architecture(7)", Expects: expects, On: OnStateless, Send: func(s *Script) {
			for _, id := range ids {
				s.whole(s.frame(header{context: id}, packet{payload: 100}))
			}
		}}
		if why == reason.None {
			return under(virtual, c.expecting(len(ids)))
		}
		return under(virtual, c.expecting(0, why))
	}
	var reserved []uint64
	for bit := 55; bit < 64; bit++ {
		reserved = append(reserved, 1<<bit|ovn(1, 2, 7))
	}
	const tunnels = "RFC 6169"
	spoof := func(name, source, expects string, accepted int, reasons []reason.Reason, send func(*Script)) Case {
		return under(settled, Case{Name: name, Class: class, Source: source, Expects: expects, On: OnStateless, Accepted: accepted, Reasons: reasons, Send: send})
	}
	from := func(s *Script, endpoint byte, p packet) {
		p.payload = or(p.payload, 100)
		s.send(with(wholeOf(1, s.frame(header{}, p)), func(g *segment) { g.src = endpoint }))
	}
	return []Case{
		ovnOf("the ports that may talk", "It leaves.", reason.None, ovn(1, 2, 7)),
		ovnOf("each of the nine reserved bits", "They are dropped: OVN does not look at these bits.", reason.ContextReserved, reserved...),
		ovnOf("another ingress port", "It is denied.", reason.TenantDefault, ovn(2, 2, 7)),
		ovnOf("another egress port, and a multicast group", "They are denied.", reason.TenantDefault, ovn(1, 3, 7), ovn(1, 0x8000, 7)),
		ovnOf("a datapath that is nobody's", "It is dropped.", reason.ContextUnknown, ovn(1, 2, 8), ovn(1, 2, 0)),
		spoof("the client's address from its endpoint", tunnels, "It leaves.", 1, nil, func(s *Script) { from(s, 1, packet{}) }),
		spoof("the client's address from another endpoint", tunnels, "It is dropped: it is declared.", 0, []reason.Reason{reason.BindingDeclared}, func(s *Script) { from(s, 3, packet{}) }),
		spoof("the client's IPv6 address from another endpoint", tunnels, "It is dropped.", 0, []reason.Reason{reason.BindingDeclared}, func(s *Script) { from(s, 3, packet{v6: true}) }),
		spoof("a learned address from another endpoint", tunnels, "It is dropped while its own is heard of.", 1, []reason.Reason{reason.BindingLearned}, func(s *Script) {
			from(s, 3, packet{src: 20})
			from(s, 4, packet{src: 20})
		}),
		spoof("a learned address in fragments from another endpoint", tunnels, "They are dropped.", 1, []reason.Reason{reason.BindingLearned}, func(s *Script) {
			from(s, 3, packet{src: 20})
			from(s, 4, packet{src: 20, payload: 400, fragment: &fragment{id: 9, more: true}})
			from(s, 4, packet{src: 20, fragment: &fragment{id: 9, offset: 400}})
		}),
		spoof("a learned address, in a tag with a priority, from another endpoint", tunnels, "It is dropped: that is no other network.", 1, []reason.Reason{reason.BindingLearned}, func(s *Script) {
			from(s, 3, packet{src: 20})
			s.send(with(wholeOf(1, s.frame(header{tci: 0x3000}, packet{src: 20, payload: 100})), func(g *segment) { g.src = 4 }))
		}),
		spoof("an endpoint of the list that is none of the tenant's", tunnels, "It is dropped.", 0, []reason.Reason{reason.TenantEndpoint}, func(s *Script) { from(s, 99, packet{src: 20}) }),
	}
}
