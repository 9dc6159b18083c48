package dissect

import "fmt"

// ipv6 names an IPv6 packet (RFC 8200) with its extension headers.
func (d *dissector) ipv6() {
	start := d.at
	r := d.begin("IPv6")
	version := r.bits("version", "ipv6.version", 4, decimal)
	if version != 6 {
		r.note("not 6")
	}
	dscp := r.bits("DSCP", "ipv6.tclass.dscp", 6, decimal)
	r.say(dscpNames[dscp])
	ecn := r.bits("ECN", "ipv6.tclass.ecn", 2, decimal)
	r.say(ecnNames[ecn])
	r.bits("flow label", "ipv6.flow", 20, hexadecimal)
	size := int(r.number("payload length", "ipv6.plen", 2, decimal))
	if !r.cut {
		d.ipEnd(r, start, 40+size, 40)
	}
	next := protocol(r, "next header", "ipv6.nxt")
	ttl := r.number("hop limit", "ipv6.hlim", 1, decimal)
	src := r.text("source", "ipv6.src", 16, address)
	dst := r.text("destination", "ipv6.dst", 16, address)
	if !d.done(r, "%s > %s, hop limit %d", address(src), address(dst), ttl) {
		return
	}
	if version != 6 {
		d.payload("payload")
		return
	}
	p := &ipPacket{version: 6, src: src, dst: dst}
	offset := 0
	for n := 0; n < maxExtensions && isExtension(next); n++ {
		var ok bool
		before := next
		if next, ok = d.extension(next, p, &offset); !ok {
			return
		}
		if before == protocolFragment && offset != 0 {
			break
		}
	}
	if offset == 0 && isExtension(next) {
		d.payload("more extension headers")
		return
	}
	d.upper(next, offset, p)
}

func isExtension(n int) bool {
	switch n {
	case protocolHopByHop, protocolRouting, protocolFragment, protocolAH, protocolDestination:
		return true
	}
	return false
}

// extension names one extension header and returns what follows it.
func (d *dissector) extension(kind int, p *ipPacket, offset *int) (next int, ok bool) {
	start := d.at
	r := d.begin(protocolName(kind))
	switch kind {
	case protocolFragment:
		return d.fragmentHeader(r, p, offset)
	case protocolAH:
		next = protocol(r, "next header", "ah.next_header")
		size := 4 * (int(r.number("length", "", 1, decimal)) + 2)
		r.value("%d bytes", size)
		r.number("reserved", "ah.reserved", 2, hexadecimal)
		r.number("SPI", "ah.spi", 4, hexadecimal)
		r.number("sequence number", "ah.sequence", 4, decimal)
		if size < 12 {
			r.notice("its length is wrong")
		} else if size > 12 {
			r.text("integrity check", "ah.icv", size-12, hexBytes)
		}
		return next, d.done(r, "")
	}
	next = protocol(r, "next header", extensionFilter(kind, "nxt"))
	size := 8 * (int(r.number("length", "", 1, decimal)) + 1)
	r.value("%d bytes", size)
	if kind == protocolRouting {
		r.number("type", "ipv6.routing.type", 1, decimal)
		if r.number("segments left", "ipv6.routing.segleft", 1, decimal) != 0 {
			r.note("a source route: the destination is only the next one")
		}
		r.text("data", "", size-4, hexBytes)
	} else {
		d.ipv6Options(r, start+size)
	}
	return next, d.done(r, "")
}

func extensionFilter(kind int, field string) string {
	switch kind {
	case protocolHopByHop:
		return "ipv6.hopopts." + field
	case protocolDestination:
		return "ipv6.dstopts." + field
	}
	return "ipv6.routing." + field
}

func (d *dissector) fragmentHeader(r *reader, p *ipPacket, offset *int) (next int, ok bool) {
	next = protocol(r, "next header", "ipv6.fraghdr.nxt")
	r.number("reserved", "ipv6.fraghdr.reserved_octet", 1, hexadecimal)
	*offset = 8 * int(r.bits("fragment offset", "ipv6.fraghdr.offset", 13, decimal))
	r.value("%d", *offset)
	r.bits("reserved", "ipv6.fraghdr.reserved_bits", 2, decimal)
	more := r.bits("more fragments", "ipv6.fraghdr.more", 1, decimal)
	r.number("identification", "ipv6.fraghdr.ident", 4, hexadecimal)
	p.fragment = p.fragment || *offset != 0 || more == 1
	return next, d.done(r, "fragment at %d", *offset)
}

var ipv6OptionNames = map[byte]string{
	0: "Pad1", 1: "PadN", 0x05: "router alert", 0x26: "quick start", 0xc2: "jumbo payload", 0xc9: "home address",
}

// ipv6Options reads options up to end; unlike those of IPv4, the length of one is that
// of its data alone.
func (d *dissector) ipv6Options(r *reader, end int) {
	for n := 0; r.at < end && !r.cut; n++ {
		rest := min(end-r.at, r.left())
		if rest == 0 {
			r.lacks(end - r.at)
			return
		}
		b := r.data[r.at : r.at+rest]
		name := ipv6OptionNames[b[0]]
		if name == "" {
			name = fmt.Sprintf("type %d", b[0])
		}
		switch {
		case n == maxOptions:
			r.text("more options", "", rest, hexBytes)
		case b[0] == 0:
			r.text("option", "", 1, func([]byte) string { return name })
		case len(b) < 2 || 2+int(b[1]) > end-r.at:
			r.text("option", "", rest, hexBytes)
			r.note("its length is wrong")
		default:
			r.text("option", "", 2+int(b[1]), func(b []byte) string {
				if len(b) == 2 || b[0] == 1 {
					return name
				}
				return name + " " + hexBytes(b[2:])
			})
		}
	}
}
