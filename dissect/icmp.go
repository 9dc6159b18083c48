package dissect

import "fmt"

var (
	icmpTypes = map[uint64]string{
		0: "echo-reply", 3: "destination-unreachable", 4: "source-quench", 5: "redirect", 8: "echo-request", 9: "router-advertisement",
		10: "router-solicitation", 11: "time-exceeded", 12: "parameter-problem", 13: "timestamp-request", 14: "timestamp-reply",
	}
	icmpCodes = map[uint64][]string{
		3: {"network-unreachable", "host-unreachable", "protocol-unreachable", "port-unreachable", "fragmentation-needed",
			"source-route-failed", "network-unknown", "host-unknown", "", "network-prohibited", "host-prohibited", "", "",
			"communication-prohibited"},
		5:  {"network", "host", "tos-network", "tos-host"},
		11: {"ttl-exceeded", "reassembly-exceeded"},
	}
	icmpv6Types = map[uint64]string{
		1: "destination-unreachable", 2: "packet-too-big", 3: "time-exceeded", 4: "parameter-problem", 128: "echo-request", 129: "echo-reply",
		130: "mld-listener-query", 131: "mld-listener-report", 132: "mld-listener-done", 133: "router-solicitation",
		134: "router-advertisement", 135: "neighbour-solicitation", 136: "neighbour-advertisement", 137: "redirect", 143: "mld2-listener-report",
	}
	icmpv6Codes = map[uint64][]string{
		1: {"no-route", "communication-prohibited", "beyond-scope", "address-unreachable", "port-unreachable", "source-policy", "reject-route"},
		3: {"hop-limit-exceeded", "reassembly-exceeded"},
		4: {"header-field", "next-header", "option"},
	}
)

// icmpHead reads type, code and checksum.
func (d *dissector) icmpHead(r *reader, prefix string, types map[uint64]string, codes map[uint64][]string) (kind uint64, words string) {
	kind = r.number("type", prefix+".type", 1, decimal)
	r.say(types[kind])
	words = types[kind]
	if words == "" {
		words = fmt.Sprintf("type %d", kind)
	}
	code := r.number("code", prefix+".code", 1, decimal)
	if of := codes[kind]; code < uint64(len(of)) && of[code] != "" {
		r.say(of[code])
		words += ", " + of[code]
	} else if code != 0 {
		words += fmt.Sprintf(", code %d", code)
	}
	r.number("checksum", prefix+".checksum", 2, hexadecimal)
	return kind, words
}

// icmpSum checks the checksum that was read last, if all that it covers is there.
func (d *dissector) icmpSum(r *reader, start int, pseudo uint16, p *ipPacket) {
	if r.cut || d.quoted || p.fragment || d.end > len(d.data) {
		return
	}
	if onesSum(pseudo, d.data[start:d.end]) != 0xffff {
		r.note("wrong")
	} else {
		r.say("correct")
	}
}

func (d *dissector) icmp(p *ipPacket) {
	start := d.at
	r := d.begin("ICMP")
	kind, words := d.icmpHead(r, "icmp", icmpTypes, icmpCodes)
	d.icmpSum(r, start, 0, p)
	quotes := false
	switch kind {
	case 0, 8, 13, 14:
		id := r.number("identifier", "icmp.ident", 2, decimal)
		seq := r.number("sequence", "icmp.seq", 2, decimal)
		words += fmt.Sprintf(", ID %d, number %d", id, seq)
	case 3, 4, 5, 11, 12:
		quotes = true
		d.icmpErrorWord(r, kind)
	default:
		if r.end-r.at >= 4 {
			r.text("rest of the header", "", 4, hexBytes)
		}
	}
	if !d.done(r, "%s", words) {
		return
	}
	d.quote(quotes, (*dissector).ipv4)
}

func (d *dissector) icmpErrorWord(r *reader, kind uint64) {
	switch kind {
	case 5:
		r.text("gateway", "icmp.redir_gw", 4, address)
	case 3:
		r.number("unused", "", 2, hexadecimal)
		r.number("next-hop MTU", "", 2, decimal)
	default:
		r.text("rest of the header", "", 4, hexBytes)
	}
}

// quote goes on with the packet that an error quotes, once.
func (d *dissector) quote(quotes bool, ip func(*dissector)) {
	if !quotes || d.quoted {
		d.payload("payload")
		return
	}
	end := d.end
	d.quoted = true
	if d.at < d.end {
		ip(d)
	}
	d.quoted = false
	// A quoted packet may have ended before: extensions of RFC 4884 follow.
	if d.end < end && max(d.at, d.end) <= len(d.data) {
		d.at, d.end = max(d.at, d.end), end
		d.payload("behind the quoted packet")
	}
	d.end = end
}

func (d *dissector) icmpv6(p *ipPacket) {
	start := d.at
	r := d.begin("ICMPv6")
	kind, words := d.icmpHead(r, "icmpv6", icmpv6Types, icmpv6Codes)
	d.icmpSum(r, start, p.pseudoSum(protocolICMPv6, d.end-start), p)
	switch kind {
	case 128, 129:
		id := r.number("identifier", "icmpv6.echo.identifier", 2, decimal)
		seq := r.number("sequence", "icmpv6.echo.sequence_number", 2, decimal)
		words += fmt.Sprintf(", ID %d, number %d", id, seq)
	case 2:
		mtu := r.number("MTU", "icmpv6.mtu", 4, decimal)
		words += fmt.Sprintf(", MTU %d", mtu)
	case 135, 136, 137:
		r.text("flags and reserved", "", 4, hexBytes)
		if target := r.text("target", neighbourTarget(kind), 16, address); target != nil {
			words += ", " + address(target)
		}
		if kind == 137 {
			r.text("destination", "icmpv6.rd.na.destination_address", 16, address)
		}
		d.neighbourOptions(r)
	case 133:
		r.number("reserved", "", 4, hexadecimal)
		d.neighbourOptions(r)
	case 134:
		r.number("hop limit", "icmpv6.nd.ra.cur_hop_limit", 1, decimal)
		r.number("flags", "icmpv6.nd.ra.flag", 1, hexadecimal)
		r.number("router lifetime", "icmpv6.nd.ra.router_lifetime", 2, decimal)
		r.number("reachable time", "icmpv6.nd.ra.reachable_time", 4, decimal)
		r.number("retransmit timer", "icmpv6.nd.ra.retrans_timer", 4, decimal)
		d.neighbourOptions(r)
	default:
		if r.end-r.at >= 4 {
			r.text("rest of the header", "", 4, hexBytes)
		}
	}
	if !d.done(r, "%s", words) {
		return
	}
	d.quote(kind >= 1 && kind <= 4, (*dissector).ipv6)
}

func neighbourTarget(kind uint64) string {
	switch kind {
	case 135:
		return "icmpv6.nd.ns.target_address"
	case 136:
		return "icmpv6.nd.na.target_address"
	}
	return "icmpv6.rd.na.target_address"
}

var neighbourOptionNames = map[byte]string{
	1: "source link-layer address", 2: "target link-layer address", 3: "prefix", 4: "redirected header", 5: "MTU", 14: "nonce",
	24: "route", 25: "DNS servers", 31: "DNS search list",
}

// neighbourOptions reads options of neighbour discovery (RFC 4861 section 4.6) to the
// end of the packet.
func (d *dissector) neighbourOptions(r *reader) {
	for n := 0; !r.cut && r.at < r.end; n++ {
		rest := r.left()
		if rest < 2 {
			r.lacks(2)
			return
		}
		b := r.data[r.at : r.at+rest]
		size := 8 * int(b[1])
		name := neighbourOptionNames[b[0]]
		if name == "" {
			name = fmt.Sprintf("type %d", b[0])
		}
		switch {
		case n == maxOptions:
			r.text("more options", "", rest, hexBytes)
		case size == 0 || size > r.end-r.at:
			r.text("option", "", rest, hexBytes)
			r.note("its length is wrong")
		default:
			r.text("option", "", size, func(b []byte) string {
				if (b[0] == 1 || b[0] == 2) && len(b) == 8 {
					return name + " " + mac(b[2:])
				}
				return name + " " + hexBytes(b[2:])
			})
		}
	}
}
