package dissect

import "fmt"

const (
	protocolHopByHop    = 0
	protocolICMP        = 1
	protocolTCP         = 6
	protocolUDP         = 17
	protocolRouting     = 43
	protocolFragment    = 44
	protocolESP         = 50
	protocolAH          = 51
	protocolICMPv6      = 58
	protocolNone        = 59
	protocolDestination = 60
	protocolSCTP        = 132
)

var protocolNames = map[int]string{
	protocolHopByHop: "hop-by-hop options", protocolICMP: "ICMP", 2: "IGMP", 4: "IPIP", protocolTCP: "TCP", protocolUDP: "UDP",
	41: "IPv6", protocolRouting: "routing header", protocolFragment: "fragment header", 47: "GRE", protocolESP: "ESP", protocolAH: "AH",
	protocolICMPv6: "ICMPv6", protocolNone: "nothing", protocolDestination: "destination options", 89: "OSPF", 103: "PIM", 112: "VRRP",
	protocolSCTP: "SCTP",
}

func protocolName(n int) string {
	if name, ok := protocolNames[n]; ok {
		return name
	}
	return fmt.Sprintf("protocol %d", n)
}

// protocol reads a protocol number, or next header.
func protocol(r *reader, name, filter string) int {
	v := int(r.number(name, filter, 1, decimal))
	r.say(protocolNames[v])
	return v
}

var (
	dscpNames = map[uint64]string{
		1: "lephb", 8: "cs1", 10: "af11", 12: "af12", 14: "af13", 16: "cs2", 18: "af21", 20: "af22", 22: "af23", 24: "cs3", 26: "af31",
		28: "af32", 30: "af33", 32: "cs4", 34: "af41", 36: "af42", 38: "af43", 40: "cs5", 44: "va", 46: "ef", 48: "cs6", 56: "cs7",
	}
	ecnNames = [4]string{"not ECT", "ECT(1)", "ECT(0)", "congestion experienced"}
)

// ipv4 names an IPv4 packet (RFC 791).
func (d *dissector) ipv4() {
	start := d.at
	r := d.begin("IPv4")
	version := r.bits("version", "ip.version", 4, decimal)
	if version != 4 {
		r.note("not 4")
	}
	words := int(r.bits("header length", "ip.hdr_len", 4, decimal))
	r.value("%d bytes", 4*words)
	if words < 5 {
		r.note("less than 20: no such packet passes")
	}
	dscp := r.bits("DSCP", "ip.dsfield.dscp", 6, decimal)
	r.say(dscpNames[dscp])
	ecn := r.bits("ECN", "ip.dsfield.ecn", 2, decimal)
	r.say(ecnNames[ecn])
	size := int(r.number("total length", "ip.len", 2, decimal))
	if !r.cut {
		d.ipEnd(r, start, size, max(20, 4*words))
	}
	r.number("identification", "ip.id", 2, hexadecimal)
	if r.bits("reserved", "ip.flags.rb", 1, decimal) != 0 {
		r.note("not 0")
	}
	dontFragment := r.bits("do not fragment", "ip.flags.df", 1, decimal)
	more := r.bits("more fragments", "ip.flags.mf", 1, decimal)
	offset := 8 * int(r.bits("fragment offset", "ip.frag_offset", 13, decimal))
	r.value("%d", offset)
	if dontFragment == 1 && (more == 1 || offset != 0) {
		r.note("a fragment of what must not be fragmented")
	}
	ttl := r.number("TTL", "ip.ttl", 1, decimal)
	next := protocol(r, "protocol", "ip.proto")
	r.number("header checksum", "ip.checksum", 2, hexadecimal)
	if n := 4 * words; !r.cut && n >= 20 && start+n <= len(d.data) && onesSum(0, d.data[start:start+n]) != 0xffff {
		r.note("wrong")
	}
	src := r.text("source", "ip.src", 4, address)
	dst := r.text("destination", "ip.dst", 4, address)
	if !r.cut && words > 5 {
		d.options(r, start+4*words, "option", ipv4Options)
	}
	summary := fmt.Sprintf("%s > %s, TTL %d", address(src), address(dst), ttl)
	fragment := more == 1 || offset != 0
	if fragment {
		summary += fmt.Sprintf(", fragment at %d", offset)
	}
	if !d.done(r, "%s", summary) {
		return
	}
	if words < 5 || version != 4 {
		d.payload("payload")
		return
	}
	d.upper(next, offset, &ipPacket{version: 4, src: src, dst: dst, fragment: fragment})
}

// ipEnd notes where the packet ends that is size bytes long with its header.
func (d *dissector) ipEnd(r *reader, start, size, least int) {
	switch {
	case size < least:
		r.note("less than the header has")
		size = least
	case start+size > d.end && !d.quoted:
		r.note("the frame has %s less", plural(start+size-d.end, "byte"))
	}
	d.end = min(d.end, start+size)
	r.end = d.end
}

// ipPacket is what the layers above need of the one below.
type ipPacket struct {
	version  int
	src, dst []byte
	fragment bool
}

// pseudoSum is the ones' complement sum of the pseudo-header (RFC 9293 section 3.1, RFC
// 8200 section 8.1).
func (p *ipPacket) pseudoSum(protocol, length int) uint16 {
	sum := onesSum(uint16(protocol), p.src)
	sum = onesSum(sum, p.dst)
	return onesSum(sum, []byte{byte(length >> 24), byte(length >> 16), byte(length >> 8), byte(length)})
}

// onesSum adds the bytes as 16-bit words with the carry brought round.
func onesSum(before uint16, b []byte) uint16 {
	sum := uint64(before)
	for len(b) >= 2 {
		sum += uint64(b[0])<<8 | uint64(b[1])
		b = b[2:]
	}
	if len(b) == 1 {
		sum += uint64(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}

// upper goes on with what an IP packet carries, unless it is a later fragment.
func (d *dissector) upper(next, fragmentOffset int, p *ipPacket) {
	if !d.quoted {
		d.inner.ip, d.inner.fragment = p.version, p.fragment
	}
	if fragmentOffset != 0 {
		d.payload("fragment")
		return
	}
	if !d.quoted && (next == protocolTCP || next == protocolUDP) {
		d.inner.l4, d.inner.protocol, d.inner.tcpPayload = d.at, next, -1
	}
	switch next {
	case protocolTCP:
		d.tcp(p)
	case protocolUDP:
		d.udp(p)
	case protocolSCTP:
		d.sctp()
	case protocolICMP:
		d.icmp(p)
	case protocolICMPv6:
		d.icmpv6(p)
	case protocolNone:
		d.payload("payload")
	default:
		d.payload(protocolName(next))
	}
}

// optionKind says how an option is called, and shows its data.
type optionKind struct {
	name string
	show func(data []byte) string
}

var ipv4Options = map[byte]optionKind{
	7: {name: "record route"}, 68: {name: "timestamp"}, 130: {name: "security"}, 131: {name: "loose source route"},
	136: {name: "stream ID"}, 137: {name: "strict source route"}, 148: {name: "router alert"},
}

// options reads options of kind, length and data up to end, as IPv4 and TCP have them.
func (d *dissector) options(r *reader, end int, word string, known map[byte]optionKind) {
	const endOfList, noOperation = 0, 1
	end = min(end, r.end)
	for n := 0; r.at < end && !r.cut; n++ {
		if r.left() == 0 {
			r.lacks(end - r.at)
			return
		}
		rest := min(end-r.at, r.left())
		b := r.data[r.at : r.at+rest]
		switch {
		case n == maxOptions:
			r.text("more "+word+"s", "", rest, hexBytes)
		case b[0] == noOperation:
			r.text(word, "", 1, func([]byte) string { return "no operation" })
		case b[0] == endOfList:
			r.text(word, "", 1, func([]byte) string { return "end of list" })
			if r.at < end {
				if rest = min(end-r.at, r.left()); rest > 0 {
					r.text("behind the end of the list", "", rest, hexBytes)
				}
				if r.at < end {
					r.lacks(end - r.at)
				}
				return
			}
		case len(b) < 2 || b[1] < 2 || int(b[1]) > end-r.at:
			r.text(word, "", rest, hexBytes)
			r.note("its length is wrong")
		case int(b[1]) > rest:
			r.lacks(int(b[1]))
		default:
			kind := known[b[0]]
			r.text(word, "", int(b[1]), func(b []byte) string { return kind.words(b) })
		}
	}
}

// words shows an option.
func (k *optionKind) words(b []byte) string {
	name := k.name
	if name == "" {
		name = fmt.Sprintf("kind %d", b[0])
	}
	switch data := b[2:]; {
	case k.show != nil:
		if text := k.show(data); text != "" {
			return name + " " + text
		}
		return name
	case len(data) > 0:
		return name + " " + hexBytes(data)
	}
	return name
}
