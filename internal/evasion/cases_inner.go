package evasion

import (
	"bytes"

	"sttwall/reason"
)

// innerCase is a case of one frame whose inner packet is odd.
func innerCase(class, name, source, expects string, why reason.Reason, p packet) Case {
	c := Case{Name: name, Class: class, Source: source, Expects: expects, On: OnStateless, Send: func(s *Script) { s.whole(s.frame(header{}, p)) }}
	if why == reason.None {
		c.Accepted = 1
	} else {
		c.Reasons = []reason.Reason{why}
	}
	return c
}

func ipCases() []Case {
	const class = "Inner IP"
	one := func(name, source, expects string, why reason.Reason, p packet) Case {
		p.payload = or(p.payload, 100)
		return innerCase(class, name, source, expects, why, p)
	}
	option := func(n int) extension { return extension{number: 60, data: make([]byte, 8*n-2)} }
	v6 := func(list ...extension) packet { return packet{v6: true, extensions: list} }
	const dropped, leaves = "It is dropped.", "It leaves."
	return []Case{
		one("IPv4 options", handley, leaves, reason.None, packet{options: []byte{1, 1, 1, 0}}),
		one("IPv4 options that look like the web port, before a denied one", handley, "The rules see the port behind the options.", reason.TenantDefault,
			packet{options: []byte{1, 1, 0, 80}, dstPort: 22}),
		one("loose source route", handley, "It is dropped: it goes elsewhere than its header says.", reason.InnerSourceRoute, packet{options: []byte{131, 7, 4, 10, 1, 0, 99, 0}}),
		one("strict source route", handley, dropped, reason.InnerSourceRoute, packet{options: []byte{137, 7, 4, 10, 1, 0, 99, 0}}),
		one("an option that ends behind the header", handley, dropped, reason.InnerSourceRoute, packet{options: []byte{7, 40, 4, 0}}),
		one("header length 4", ptacek, dropped, reason.InnerIPHeader, packet{ihl: 4}),
		one("header length behind the packet", ptacek, dropped, reason.InnerTruncated, packet{ihl: 15, body: []byte("short")}),
		one("version 5", ptacek, dropped, reason.InnerIPHeader, packet{ipVersion: 5}),
		one("IPv6 behind the ethertype of IPv4", ptacek, dropped, reason.InnerIPHeader, packet{v6: true, ether: 0x0800}),
		one("IP length beyond the frame", handley, dropped, reason.InnerLength, packet{ipLength: 1}),
		one("IP length inside of the header", handley, dropped, reason.InnerLength, packet{ipLength: -130}),
		one("IP length inside of the TCP header", handley, dropped, reason.InnerTruncated, packet{ipLength: -105}),
		one("bytes behind the IP packet", handley, leaves, reason.None, packet{trailer: 20}),
		one("IPv6 length beyond the frame", handley, dropped, reason.InnerLength, packet{v6: true, ipLength: 1}),
		one("a jumbogram", "RFC 2675", dropped, reason.InnerLength,
			packet{v6: true, extensions: []extension{{number: 0, data: []byte{0xc2, 4, 0, 0, 0, 100}}}, ipLength: -128}),
		one("one destination option", "RFC 8200", leaves, reason.None, v6(option(1))),
		one("repeated destination options", "RFC 7112", leaves, reason.None, v6(option(1), option(2), option(1))),
		one("a long chain of extension headers", "RFC 7112", dropped, reason.InnerExtension, v6(option(1), option(1), option(1), option(1), option(1), option(1), option(1), option(1), option(1))),
		on(OnStateless&OnPackets, one("an extension header of 2,048 bytes", "RFC 7112", "The rules see the port behind it.", reason.None, v6(option(255)))),
		on(OnStateless&^OnPackets, one("an extension header of 2,048 bytes in a super-segment", "RFC 7112",
			"It is dropped: the first piece that the kernel cuts may not hold the port.", reason.SegmentTooSmall, v6(option(255)))),
		one("an extension header of 2,048 bytes before a denied port", "RFC 7112", "The rules see the port behind it.", reason.TenantDefault,
			packet{v6: true, extensions: []extension{option(255)}, dstPort: 22}),
		one("an unknown extension header", "RFC 7045", "What it hides is not TCP to anybody: denied.", reason.TenantDefault, v6(extension{number: 200, data: make([]byte, 6)})),
		one("an extension header that ends behind the packet", "RFC 7112", dropped, reason.InnerExtension, v6(extension{number: 60, data: make([]byte, 6), length: 60})),
		one("hop-by-hop options that are not the first", "RFC 8200", dropped, reason.InnerExtension, v6(option(1), extension{number: 0, data: []byte{1, 4, 0, 0, 0, 0}})),
		one("a routing header with segments left", "RFC 5095", dropped, reason.InnerSourceRoute, v6(extension{number: 43, data: []byte{0, 1, 0, 0, 0, 0}})),
		one("a routing header with none left", "RFC 8200", leaves, reason.None, v6(extension{number: 43, data: []byte{0, 0, 0, 0, 0, 0}})),
		one("an authentication header", "RFC 4302", leaves, reason.None, v6(extension{number: 51, data: make([]byte, 14)})),
		one("ESP", "RFC 4303", "Nobody sees what it holds: denied.", reason.TenantDefault, packet{protocol: 50}),
		one("no next header", "RFC 8200", "Denied: it has no ports.", reason.TenantDefault, packet{v6: true, protocol: 59}),
		one("an IPv4-mapped destination", "RFC 4942", "It is no address of the server: denied.", reason.TenantDefault, packet{v6: true, mapped: true}),
		one("IPv6 in IPv4", "RFC 6169", "Denied: protocol 41 is not TCP.", reason.TenantDefault, packet{protocol: 41, body: packet{v6: true, payload: 50}.bytes()[14:]}),
	}
}

func fragmentCases() []Case {
	const class = "Inner fragments"
	// pieces sends fragments of a TCP segment of 620 bytes in frames of their own.
	pieces := func(name, source, expects string, accepted int, reasons []reason.Reason, list ...packet) Case {
		return Case{Name: name, Class: class, Source: source, Expects: expects, Accepted: accepted, Reasons: reasons, On: OnStateless, Send: func(s *Script) {
			for _, p := range list {
				s.whole(s.frame(header{}, p))
			}
		}}
	}
	first := func(n int) packet {
		return packet{payload: n, fragment: &fragment{id: 7, more: true}}
	}
	later := func(offset, n int) packet {
		return packet{payload: n, fragment: &fragment{id: 7, offset: offset, more: n > 0}}
	}
	change := func(p packet, edit func(*packet)) packet { edit(&p); return p }
	ssh := func(p packet) packet { return change(p, func(p *packet) { p.dstPort = 22; p.fill = 0x55 }) }
	six := func(p packet) packet { return change(p, func(p *packet) { p.v6 = true }) }
	why := func(list ...reason.Reason) []reason.Reason { return list }
	return []Case{
		pieces("two fragments", "RFC 791", "They leave.", 2, nil, first(400), later(400, 0)),
		pieces("two fragments over IPv6", "RFC 8200", "They leave.", 2, nil, six(first(400)), six(later(400, 0))),
		pieces("the first fragment last", "RFC 791", "The later one waits for it.", 2, nil, later(400, 0), first(400)),
		pieces("fragments for a denied port", "RFC 791", "The later one follows the first.", 0, why(reason.TenantDefault), ssh(first(400)), ssh(later(400, 0))),
		pieces("a later fragment alone", "RFC 1858", "It is dropped in time.", 0, why(reason.FragmentFirstMissing), later(400, 0)),
		pieces("a tiny first fragment", "RFC 1858", "It is dropped: it does not hold the TCP header.", 0, why(reason.InnerFragment), first(8)),
		pieces("a fragment that ends inside the TCP header", "RFC 1858", "It is dropped.", 0, why(reason.InnerFragment), first(16)),
		pieces("a fragment at offset 1", "RFC 3128", "It is dropped: it would write over the TCP flags.", 1, why(reason.InnerFragment), first(400), later(8, 0)),
		pieces("a fragment over the ports of the first", "RFC 1858", "It is dropped.", 1, why(reason.FragmentOverlap), first(400), later(16, 0)),
		pieces("a fragment over the payload of the first", "RFC 5722", "It leaves: hosts may disagree about bytes that no rule looks at.", 2, nil, first(400), later(200, 0)),
		pieces("two first fragments, the second for a denied port", "RFC 5722", "The second has other headers: it is dropped, and nothing follows.", 1, why(reason.FragmentConflict), first(400), ssh(first(400)), later(400, 0)),
		pieces("two first fragments, the first for a denied port", "RFC 5722", "The later one follows the first that left.", 2, why(reason.TenantDefault), ssh(first(400)), first(400), later(400, 0)),
		pieces("a fragment that is no multiple of eight bytes", "RFC 791", "It is dropped.", 0, why(reason.InnerFragment), first(403)),
		pieces("fragments beyond 65,535 bytes", "ping of death", "They are dropped.", 1, why(reason.InnerFragment), first(400), packet{payload: 8, fragment: &fragment{id: 7, offset: 65528}, body: bytes.Repeat([]byte{1}, 65600)}),
		pieces("an empty fragment", "RFC 791", "It is dropped.", 1, why(reason.InnerFragment), first(400), change(later(400, 0), func(p *packet) { p.body = make([]byte, 400) })),
		pieces("an atomic fragment", "RFC 6946", "It leaves.", 1, nil, packet{v6: true, payload: 600, fragment: &fragment{id: 7}}),
		pieces("an atomic fragment for a denied port", "RFC 6946", "It is denied.", 0, why(reason.TenantDefault), ssh(packet{v6: true, payload: 600, fragment: &fragment{id: 7}})),
		pieces("a first fragment that ends inside the extension headers", "RFC 7112", "It is dropped.", 0, why(reason.InnerFragment), packet{v6: true, protocol: 60, payload: 16,
			fragment: &fragment{id: 7, more: true}, body: append([]byte{6, 1}, make([]byte, 100)...)}),
		pieces("two fragment headers", "RFC 8200", "It is dropped.", 0, why(reason.InnerExtension), change(six(first(400)), func(p *packet) {
			p.protocol, p.body = 44, append([]byte{6, 0, 0, 1, 0, 0, 0, 9}, packet{v6: true, payload: 600}.l4()...)
		})),
	}
}

func l4Cases() []Case {
	const class = "Inner TCP and what looks like it"
	one := func(name, source, expects string, why reason.Reason, p packet) Case {
		p.payload = or(p.payload, 100)
		return innerCase(class, name, source, expects, why, p)
	}
	const dropped = "It is dropped."
	return []Case{
		one("data offset 4", handley, dropped, reason.InnerTCPOffset, packet{dataOffset: 4}),
		one("data offset behind the packet", handley, dropped, reason.InnerTCPOffset, packet{dataOffset: 15, body: packet{dataOffset: 15, payload: 10}.l4()}),
		one("SYN and FIN", handley, dropped, reason.InnerTCPFlags, packet{flags: 0x03}),
		one("SYN and RST", handley, dropped, reason.InnerTCPFlags, packet{flags: 0x06}),
		one("FIN and RST", handley, dropped, reason.InnerTCPFlags, packet{flags: 0x15}),
		one("no flags", handley, dropped, reason.InnerTCPFlags, packet{noFlags: true}),
		one("FIN, PSH and URG alone", handley, dropped, reason.InnerTCPFlags, packet{flags: 0x29}),
		one("data on a SYN", ptacek, "It leaves: hosts may take it (RFC 7413).", reason.None, packet{flags: 0x02}),
		one("wrong TCP checksum", ptacek, "It leaves, and moves no state: its receiver drops it.", reason.None, packet{badSum: true}),
		one("a denied port", ptacek, "It is denied.", reason.TenantDefault, packet{dstPort: 22}),
		one("the ports exchanged", ptacek, "Without a flow it is no answer: denied.", reason.TenantDefault, packet{srcPort: 80, dstPort: 40000}),
		one("another host", ptacek, "It is denied.", reason.TenantDefault, packet{dst: 11}),
		one("UDP to the web port", ptacek, "It is denied.", reason.TenantDefault, packet{protocol: protocolUDP}),
		one("UDP length beyond the packet", handley, dropped, reason.InnerLength, packet{protocol: protocolUDP, udpLength: 1}),
		one("STT in STT", "RFC 7588", "It is denied: the inner packet is not for the web port.", reason.TenantDefault, packet{dstPort: 7471, body: wholeOf(1, frameOf(header{context: 100}, packet{payload: 50}.bytes())).bytes(false)[20:]}),
		one("VXLAN in STT", "RFC 6169", "It is denied.", reason.TenantDefault, packet{protocol: protocolUDP, dstPort: 4789}),
		one("GRE in STT", "RFC 7588", "It is denied.", reason.TenantDefault, packet{protocol: 47}),
		one("ping", ptacek, "It is denied.", reason.TenantDefault, packet{protocol: protocolICMP}),
		one("ICMPv6 over IPv4", ptacek, "It is denied.", reason.TenantDefault, packet{protocol: protocolICMPv6}),
		one("an unknown ethertype", stt, "It is denied.", reason.TenantDefault, packet{ether: 0x88b5}),
		one("transparent Ethernet bridging", "RFC 7637", "It is denied.", reason.TenantDefault, packet{ether: 0x6558}),
		one("SNAP", "RFC 1042", "It leaves: the rules see the packet in it.", reason.None, packet{snap: true}),
		one("SNAP before a denied port", "RFC 1042", "It is denied.", reason.TenantDefault, packet{snap: true, dstPort: 22}),
		one("LLC without SNAP", "IEEE 802.2", dropped, reason.InnerLLC, packet{llc: []byte{0x42, 0x42, 3, 0, 0, 0, 8, 0}}),
		one("SNAP with another organisation", "IEEE 802.2", dropped, reason.InnerLLC, packet{llc: []byte{0xaa, 0xaa, 3, 0, 0, 0xf8, 8, 0}}),
		one("a tag inside of SNAP", "IEEE 802.1Q", dropped, reason.InnerLLC, packet{llc: []byte{0xaa, 0xaa, 3, 0, 0, 0, 0x81, 0, 0, 43, 8, 0}}),
		one("a length of 802.3 beyond the frame", "IEEE 802.3", dropped, reason.InnerLength, packet{ether: 0x0100, body: make([]byte, 100)}),
	}
}

func contextCases() []Case {
	const class = "Tenants, flows and endpoints"
	context := func(name string, id uint64, why reason.Reason) Case {
		c := Case{Name: name, Class: class, Source: stt, Expects: "All 64 bits name the tenant.", On: OnStateless,
			Send: func(s *Script) { s.whole(s.frame(header{context: id}, packet{payload: 100})) }}
		if why == reason.None {
			c.Accepted = 1
		} else {
			c.Reasons = []reason.Reason{why}
		}
		return c
	}
	flow := func(name, source, expects string, why reason.Reason, p packet, edit func(*segment)) Case {
		c := Case{Name: name, Class: class, Source: source, Expects: expects, On: OnFlows, Send: func(s *Script) {
			g := wholeOf(1, s.frame(header{}, p))
			if edit != nil {
				g = with(g, edit)
			}
			s.send(g)
		}}
		if why == reason.None {
			c.Accepted = 1
		} else {
			c.Reasons = []reason.Reason{why}
		}
		return c
	}
	return []Case{
		context("the Context ID before a range", 0xfff, reason.ContextUnknown),
		context("the first of a range", 0x1000, reason.None),
		context("the last of a range", 0x1fff, reason.None),
		context("the one behind a range", 0x2000, reason.ContextUnknown),
		context("a known one with a high bit more", 1<<63|100, reason.ContextUnknown),
		context("a known one in the high half", 100<<32, reason.ContextUnknown),
		context("the largest", 1<<64-1, reason.ContextUnknown),
		flow("an answer of the server", "RFC 9293", "It leaves.", reason.None, packet{payload: 100, reverse: true}, func(p *segment) { p.src, p.dst = 2, 1 }),
		flow("an answer from another endpoint", "RFC 6169", "It is dropped: the server lives elsewhere.", reason.FlowEndpoint, packet{payload: 100, reverse: true}, func(p *segment) { p.src, p.dst = 3, 1 }),
		flow("the client's data from another endpoint", "RFC 6169", "It is dropped.", reason.FlowEndpoint, packet{payload: 100}, func(p *segment) { p.src = 3 }),
		flow("data far outside of the window", "Rooij 2001", "It is dropped.", reason.TCPWindow, packet{payload: 100, seq: 1 << 30}, nil),
		flow("a blind RST", "RFC 5961", "It is dropped.", reason.TCPReset, packet{flags: 0x04, seq: 5000}, nil),
		flow("a SYN in an open flow", "RFC 5961", "It is dropped.", reason.TCPSyn, packet{flags: 0x02, seq: 5000}, nil),
		flow("a flow that nobody opened", "RFC 9293", "It is dropped: it can begin none.", reason.StateInvalid, packet{payload: 100, srcPort: 41000}, nil),
		flow("a SYN for a denied port", ptacek, "It is denied.", reason.TenantDefault, packet{flags: 0x02, dstPort: 22}, nil),
		flow("a RST with a wrong checksum, then data", ptacek, "The RST ends nothing: its receiver drops it.", reason.None, packet{flags: 0x14, badSum: true}, nil),
	}
}

// Cases returns the table.
func Cases() []Case {
	var list []Case
	for _, group := range [][]Case{
		overlapCases(), contradictionCases(), splitCases(), reuseCases(), outerCases(), headerCases(),
		tagCases(), ipCases(), fragmentCases(), l4Cases(), contextCases(),
		priorityCases(), linuxCases(), setCases(), answerCases(), errorCases(), reloadCases(), networkCases(),
	} {
		list = append(list, group...)
	}
	for i := range list {
		list[i].On = or(list[i].On, OnAll)
	}
	return list
}

// on has a case sent on some ways only.
func on(w Ways, c Case) Case {
	c.On = w
	return c
}
