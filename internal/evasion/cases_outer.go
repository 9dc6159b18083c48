package evasion

import "sttwall/reason"

func outerCases() []Case {
	const class = "The outer packet"
	one := func(name, source, expects string, on Ways, why reason.Reason, edit func(*segment)) Case {
		c := Case{Name: name, Class: class, Source: source, Expects: expects, On: on, Send: func(s *Script) {
			s.send(with(wholeOf(1, s.web(100)), edit))
		}}
		if why == reason.None {
			c.Accepted = 1
		} else {
			c.Reasons = []reason.Reason{why}
		}
		return c
	}
	flags := func(name string, f uint8) Case {
		return one(name, linux, "It is dropped: receivers take it for STT whatever its flags.", OnAll, reason.SegmentFlags, func(p *segment) { p.flags = f })
	}
	list := []Case{
		flags("SYN to the STT port", 0x02), flags("FIN", 0x11), flags("RST", 0x04), flags("URG", 0x38), flags("ECE and CWR", 0xd8),
		flags("SYN and FIN together", 0x03),
		{Name: "a real TCP handshake to the STT port", Class: class, Source: linux, On: OnPackets, Reasons: []reason.Reason{reason.SegmentFlags, reason.SegmentEmpty, reason.SegmentPastEnd},
			Expects: "There is no real TCP on this port.", Send: func(s *Script) {
				s.send(segment{flags: 0x02, offset: 1, total: 77, srcPort: 50000})
				s.send(segment{flags: 0x10, offset: 2, total: 77, id: 9, srcPort: 50000})
				s.send(segment{flags: 0x18, offset: 76, total: 77, id: 9, srcPort: 50000, payload: []byte("GET / HTTP/1.0\r\n\r\n")})
			}},
		one("no flags at all", linux, "It leaves with ACK set.", OnPackets, reason.None, func(p *segment) { p.noFlags = true }),
		one("urgent pointer, reserved bits and a small window", stt, "It leaves with these normalised.", OnPackets, reason.None,
			func(p *segment) { p.urgent, p.reserved, p.window = 7, 0xf, 1 }),
		one("source port 0", stt, "Any source port is right.", OnAll, reason.None, func(p *segment) { p.noPort = true }),
		one("data offset 6: a frame header for Linux, options for Windows", both, "It is dropped: receivers begin to read in different places.", OnAll, reason.SegmentMalformed,
			func(p *segment) { p.dataOffset = 6 }),
		one("data offset 4", windows, "It is dropped.", OnAll, reason.SegmentMalformed, func(p *segment) { p.dataOffset = 4 }),
		one("data offset 15", windows, "It is dropped.", OnAll, reason.SegmentMalformed, func(p *segment) { p.dataOffset = 15 }),
		one("wrong outer checksum", ptacek, "It is dropped, as receivers would.", OnPackets, reason.SegmentChecksum, func(p *segment) { p.badSum = true }),
		{Name: "a segment with a wrong checksum before the right one", Class: class, Source: ptacek, On: OnPackets, Accepted: 1, Reasons: []reason.Reason{reason.SegmentChecksum},
			Expects: "What receivers do not take spoils no frame that they do.", Send: func(s *Script) {
				p := cut(1, s.web(400), 160, 320)
				bad := with(p[1], func(p *segment) { p.badSum = true; p.payload[0] ^= 1 })
				s.send(p[0], bad, p[1], p[2])
			}},
		one("another TCP port", stt, "It is no STT, and is not sent here.", OnAll, reason.NotSTT, func(p *segment) { p.port = 7472 }),
		one("UDP to the STT port", stt, "It is no STT.", OnAll, reason.NotSTT, func(p *segment) { p.protocol = 17 }),
		one("IPv4 options", handley, "It is dropped.", OnAll, reason.OuterOptions, func(p *segment) { p.options = []byte{1, 1, 1, 0} }),
		one("IPv4 source route", handley, "It is dropped.", OnAll, reason.OuterOptions, func(p *segment) { p.options = []byte{131, 7, 4, 10, 0, 0, 1, 0} }),
		one("wrong IPv4 header checksum", ptacek, "It is dropped.", OnAll, reason.OuterIPChecksum, func(p *segment) { p.badIPSum = true }),
		one("the first of outer fragments", "RFC 1858", "It is dropped: receivers put fragments together first.", OnPackets, reason.OuterFragment, func(p *segment) { p.place = 0x2000 }),
		one("a later outer fragment", "RFC 1858", "It is dropped.", OnPackets, reason.OuterFragment, func(p *segment) { p.place = 10 }),
		one("an outer fragment at offset 1", "RFC 3128", "It is dropped.", OnPackets, reason.OuterFragment, func(p *segment) { p.place = 1 }),
		one("an evil bit", "RFC 3514", "It says nothing.", OnAll, reason.None, func(p *segment) { p.place = 0x8000 }),
		{Name: "outer fragments that overlap", Class: class, Source: "RFC 5722", On: OnPackets, Reasons: []reason.Reason{reason.OuterFragment},
			Expects: "No outer fragment leaves.", Send: func(s *Script) {
				b := wholeOf(1, s.web(300)).bytes(false)[20:]
				other := wholeOf(1, s.ssh(300)).bytes(false)[20:]
				src, dst := segment{}.addresses()
				s.packet(segment{place: 0x2000, ipID: 7}.ipv4(src, dst, b[:160]))
				s.packet(segment{place: 0x2000 | 10, ipID: 7}.ipv4(src, dst, other[80:240]))
				s.packet(segment{place: 30, ipID: 7}.ipv4(src, dst, b[240:]))
			}},
		{Name: "the length of the IP packet is more than there is", Class: class, Source: handley, On: OnPackets, Reasons: []reason.Reason{reason.OuterMalformed},
			Expects: "It is dropped.", Send: func(s *Script) { b := wholeOf(1, s.web(100)).bytes(false); s.packet(b[:len(b)-1]) }},
		{Name: "bytes behind the IP packet", Class: class, Source: handley, On: OnPlain | OnFlow, Accepted: 1,
			Expects: "They are padding of the link, for receivers too.", Send: func(s *Script) {
				s.packet(append(wholeOf(1, s.web(100)).bytes(false), "padding"...))
			}},
		one("an endpoint that nobody listed", "RFC 6169", "It is dropped.", OnAll, reason.EndpointUnknown, func(p *segment) { p.foreign = true }),
		one("IPv6 outside", stt, "It leaves.", OnStateless, reason.None, func(p *segment) { p.v6 = true }),
		one("IPv6 outside, of an unknown endpoint", "RFC 6169", "It is dropped.", OnAll, reason.EndpointUnknown, func(p *segment) { p.v6, p.foreign = true, true }),
		one("hop-by-hop options outside", "RFC 7112", "It is dropped.", OnPackets, reason.OuterOptions, func(p *segment) { p.v6, p.hopByHop = true, true }),
		one("destination options outside", "RFC 7112", "It is dropped.", OnPackets, reason.OuterOptions, func(p *segment) { p.v6, p.extension = true, 60 }),
		one("a routing header outside", "RFC 5095", "It is dropped.", OnPackets, reason.OuterOptions, func(p *segment) { p.v6, p.extension = true, 43 }),
		one("an atomic fragment outside", "RFC 6946", "It is dropped.", OnPackets, reason.OuterFragment, func(p *segment) { p.v6, p.fragmentV6 = true, true }),
		one("a DSCP outside that the inner packet does not have", windows, "It leaves with that of the inner packet: Windows copies it.", OnAll, reason.None, func(p *segment) { p.tos = 0xb8 }),
		one("congestion experienced outside", "RFC 6040", "It leaves; decapsulators care for ECN.", OnAll, reason.None, func(p *segment) { p.tos = 3 }),
		{Name: "congestion experienced on some segments", Class: class, Source: "RFC 6040", Accepted: 1, Expects: "It leaves; no byte of the frame changes.", Send: func(s *Script) {
			p := cut(1, s.web(400), 160, 320)
			p[0].tos, p[1].tos, p[2].tos = 2, 3, 0xb8
			s.send(p...)
		}},
	}
	return list
}

func headerCases() []Case {
	const class = "The frame header"
	one := func(name, source, expects string, why reason.Reason, h header) Case {
		c := Case{Name: name, Class: class, Source: source, Expects: expects, Send: func(s *Script) { s.whole(s.frame(h, packet{payload: 100})) }}
		if why == reason.None {
			c.Accepted = 1
		} else {
			c.Reasons = []reason.Reason{why}
		}
		return c
	}
	part := func(name, source, expects string, why reason.Reason, p packet, edit func(*header)) Case {
		c := Case{Name: name, Class: class, Source: source, Expects: expects, Send: func(s *Script) { s.whole(s.partial(p, edit)) }}
		if why == reason.None {
			c.Accepted = 1
		} else {
			c.Reasons = []reason.Reason{why}
		}
		return c
	}
	big := packet{payload: 3000}
	return []Case{
		one("version 1", both, "It is dropped: Windows does not look at the version.", reason.FrameVersion, header{version: 1}),
		one("version 255", both, "It is dropped.", reason.FrameVersion, header{version: 255}),
		one("both checksum flags", both, "It is dropped: Linux believes one, Windows the other.", reason.FrameFlags, header{flags: 0x0f, l4Offset: 34}),
		one("unknown flags, reserved byte and padding", stt, "They leave cleared.", reason.None, header{flags: 0xf0, reserved: 9, padding: 0xbeef}),
		one("flags that mean nothing without checksum partial", stt, "They leave cleared.", reason.None, header{flags: 0x0c, mss: 1}),
		one("checksum verified", stt, "It leaves.", reason.None, header{flags: 1}),
		{Name: "checksum verified on a wrong checksum", Class: class, Source: both, Accepted: 1, Expects: "It leaves, and is taken for good: no receiver looks.",
			Send: func(s *Script) { s.whole(s.frame(header{flags: 1}, packet{payload: 100, badSum: true})) }},
		part("checksum partial", both, "It leaves; the receiver writes the checksum where it is.", reason.None, packet{payload: 100}, nil),
		part("checksum partial over IPv6", both, "It leaves.", reason.None, packet{payload: 100, v6: true}, nil),
		part("checksum partial, cut by the receiver", both, "It leaves; all pieces are packets that the rules accept.", reason.None, big, func(h *header) { h.mss = 1000 }),
		part("checksum partial over IPv6, cut by the receiver", both, "It leaves.", reason.None, packet{payload: 3000, v6: true}, func(h *header) { h.mss = 1000 }),
		part("checksum partial with TCP options, cut by the receiver", both, "It leaves.", reason.None,
			packet{payload: 3000, tcpOptions: []byte{1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}, options: []byte{1, 1, 1, 1}}, func(h *header) { h.mss = 1000 }),
		{Name: "every L4 offset", Class: class, Source: both, Accepted: 1, Reasons: []reason.Reason{reason.L4OffsetMismatch},
			Expects: "Only the right one leaves: a receiver writes its checksum where the offset says.", Send: func(s *Script) {
				for at := range 256 {
					s.whole(s.partial(packet{payload: 200}, func(h *header) { h.l4Offset = uint8(at) }))
				}
			}},
		{Name: "every L4 offset over IPv6", Class: class, Source: both, Accepted: 1, Reasons: []reason.Reason{reason.L4OffsetMismatch},
			Expects: "Only the right one leaves.", Send: func(s *Script) {
				for at := range 256 {
					s.whole(s.partial(packet{payload: 200, v6: true}, func(h *header) { h.l4Offset = uint8(at) }))
				}
			}},
		{Name: "every L4 offset where it means nothing", Class: class, Source: stt, Accepted: 2, Reasons: []reason.Reason{reason.L4OffsetMismatch},
			Expects: "A lie is dropped all the same; what leaves has none.", Send: func(s *Script) {
				for at := range 256 {
					s.whole(s.frame(header{l4Offset: uint8(at)}, packet{payload: 200}))
				}
			}},
		part("the L4 offset points at a port", both, "It is dropped: the receiver would write over the destination port.", reason.L4OffsetMismatch,
			packet{payload: 100, tcpOptions: make([]byte, 40)}, func(h *header) { h.flags, h.l4Offset = 0x0e, 34-14 }),
		part("IPv4 flag on IPv6", both, "It is dropped.", reason.PartialFlags, packet{payload: 100, v6: true}, func(h *header) { h.flags |= 4 }),
		part("no IPv4 flag on IPv4", both, "It is dropped.", reason.PartialFlags, packet{payload: 100}, func(h *header) { h.flags &^= 4 }),
		part("no TCP flag on TCP", both, "It is dropped: the receiver would write to another place.", reason.PartialFlags, packet{payload: 100}, func(h *header) { h.flags &^= 8 }),
		part("TCP flag on UDP", both, "It is dropped.", reason.PartialFlags, packet{payload: 100, protocol: protocolUDP}, func(h *header) { h.flags |= 8 }),
		part("checksum partial behind a tag in the frame", both, "It is dropped: receivers look for IP at a fixed place.", reason.PartialFlags,
			packet{payload: 100, tags: []uint16{42}}, func(h *header) { h.l4Offset += 4 }),
		part("checksum partial on a fragment", both, "It is dropped.", reason.PartialFlags, packet{payload: 200, fragment: &fragment{id: 1, more: true}}, nil),
		part("checksum partial and bytes behind the packet", both, "It is dropped: receivers would sum them up.", reason.PartialLength, packet{payload: 100, trailer: 8}, nil),
		part("checksum partial without the pseudo-header sum", both, "It is dropped.", reason.PartialChecksum, packet{payload: 100, badSum: true}, nil),
		part("MSS 1", both, "It is dropped: thousands of packets would come of it.", reason.MSSInvalid, big, func(h *header) { h.mss = 1 }),
		part("MSS below the floor", both, "It is dropped.", reason.MSSInvalid, big, func(h *header) { h.mss = 535 }),
		part("MSS at the floor", both, "It leaves.", reason.None, big, func(h *header) { h.mss = 536 }),
		part("MSS above the payload", both, "It leaves as 0.", reason.None, packet{payload: 100}, func(h *header) { h.mss = 1000 }),
		part("MSS on UDP", linux, "It is dropped: a receiver would cut it into fragments.", reason.MSSInvalid, packet{payload: 3000, protocol: protocolUDP}, func(h *header) { h.mss = 1000 }),
	}
}

func tagCases() []Case {
	const class = "VLAN tags"
	one := func(name, source, expects string, why reason.Reason, tci uint16, p packet) Case {
		p.payload = 100
		c := Case{Name: name, Class: class, Source: source, Expects: expects, On: OnStateless, Send: func(s *Script) { s.whole(s.frame(header{tci: tci}, p)) }}
		if why == reason.None {
			c.Accepted = 1
		} else {
			c.Reasons = []reason.Reason{why}
		}
		return c
	}
	// in is one for a tenant whose frames must have a VLAN (300), or must have none (301).
	in := func(context uint64, name, source, expects string, why reason.Reason, tci uint16, p packet) Case {
		c := one(name, source, expects, why, tci, p)
		p.payload = 100
		c.Send = func(s *Script) { s.whole(s.frame(header{context: context, tci: tci}, p)) }
		return c
	}
	const (
		dot1q     = "IEEE 802.1Q"
		noneHere  = "It is dropped: a tag with VLAN ID 0 is no VLAN."
		noneThere = "It leaves: a tag with VLAN ID 0 is no VLAN."
	)
	inFlow := func(name string, tci uint16, p packet) Case {
		c := one(name, dot1q, "It leaves: it is of the same flow.", reason.None, tci, p)
		c.On = OnFlows
		return c
	}
	return []Case{
		in(300, "no tag where there must be one", dot1q, "It is dropped.", reason.RuleDrop, 0, packet{}),
		in(300, "a VLAN where there must be one", dot1q, "It leaves.", reason.None, 0x102a, packet{}),
		in(300, "V alone where there must be a VLAN", windows, noneHere, reason.RuleDrop, 0x1000, packet{}),
		in(300, "a priority without V where there must be a VLAN", both, noneHere, reason.RuleDrop, 0x2000, packet{}),
		in(300, "a priority where there must be a VLAN", dot1q, noneHere, reason.RuleDrop, 0x3000, packet{}),
		in(300, "a tag of zeros in the frame where there must be a VLAN", dot1q, noneHere, reason.RuleDrop, 0, packet{tags: []uint16{0}}),
		in(300, "a priority in the frame where there must be a VLAN", dot1q, noneHere, reason.RuleDrop, 0, packet{tags: []uint16{0x2000}}),
		in(300, "a service tag with a priority where there must be a VLAN", "IEEE 802.1ad", noneHere, reason.RuleDrop, 0, packet{tags: []uint16{0x2000}, tagType: 0x88a8}),
		in(301, "no tag where there must be none", dot1q, "It leaves.", reason.None, 0, packet{}),
		in(301, "a VLAN where there must be none", dot1q, "It is dropped.", reason.TenantDefault, 0x102a, packet{}),
		in(301, "V alone where there must be no VLAN", windows, noneThere, reason.None, 0x1000, packet{}),
		in(301, "a priority without V where there must be no VLAN", both, noneThere, reason.None, 0x2000, packet{}),
		in(301, "a priority in the frame where there must be no VLAN", dot1q, noneThere, reason.None, 0, packet{tags: []uint16{0x2000}}),
		inFlow("V alone in a flow without tags", 0x1000, packet{}),
		inFlow("a priority in a flow without tags", 0x3000, packet{}),
		inFlow("a priority without V in a flow without tags", 0x2000, packet{}),
		inFlow("a priority in the frame in a flow without tags", 0, packet{tags: []uint16{0x2000}}),
		one("an accepted VLAN in the frame header", stt, "It leaves.", reason.None, 0x102a, packet{}),
		one("an accepted VLAN without V", both, "It leaves with V: Windows would not see the tag.", reason.None, 0x002a, packet{}),
		one("a denied VLAN in the frame header", stt, "It is dropped.", reason.TenantDefault, 0x102b, packet{}),
		one("a denied VLAN without V", both, "It is dropped: Linux sees the tag.", reason.TenantDefault, 0x002b, packet{}),
		one("a denied VLAN in the frame", stt, "It is dropped.", reason.TenantDefault, 0, packet{tags: []uint16{43}}),
		one("an accepted VLAN in the frame", stt, "It leaves.", reason.None, 0, packet{tags: []uint16{42}}),
		one("a denied VLAN in the frame header, an accepted one in the frame", stt, "The outermost tag counts.", reason.TenantDefault, 0x102b, packet{tags: []uint16{42}}),
		one("a denied VLAN without V, an accepted one in the frame", both, "It is dropped: Linux sees two tags.", reason.TenantDefault, 0x002b, packet{tags: []uint16{42}}),
		one("V alone", both, "It leaves: a tag of zeros is no VLAN.", reason.None, 0x1000, packet{}),
		one("V alone before a denied VLAN in the frame", windows, "It is dropped: V alone is no tag, and the tag in the frame the outermost.", reason.TenantDefault, 0x1000, packet{tags: []uint16{43}}),
		one("a priority in the frame header before a denied VLAN in the frame", "IEEE 802.1Q", "It is dropped: a host passes over a tag without a VLAN ID.", reason.InnerVLANDepth, 0x3000, packet{tags: []uint16{43}}),
		one("a priority without V before a denied VLAN in the frame", both, "It is dropped.", reason.InnerVLANDepth, 0x2000, packet{tags: []uint16{43}}),
		one("a tag without a VLAN ID before a denied one, both in the frame", "IEEE 802.1Q", "It is dropped.", reason.InnerVLANDepth, 0, packet{tags: []uint16{0x2000, 43}}),
		one("two tags in the frame", stt, "It leaves.", reason.None, 0, packet{tags: []uint16{42, 7}}),
		one("a service tag", "IEEE 802.1ad", "It leaves.", reason.None, 0, packet{tags: []uint16{42}, tagType: 0x88a8}),
		one("a denied service tag", "IEEE 802.1ad", "It is dropped.", reason.TenantDefault, 0, packet{tags: []uint16{43}, tagType: 0x88a8}),
		one("three tags in the frame", stt, "It is dropped.", reason.InnerVLANDepth, 0, packet{tags: []uint16{42, 7, 8}}),
		one("one tag in the frame header, two in the frame", stt, "It is dropped.", reason.InnerVLANDepth, 0x102a, packet{tags: []uint16{7, 8}}),
	}
}
