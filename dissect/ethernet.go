package dissect

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

const (
	etherTypeIPv4 = 0x0800
	etherTypeARP  = 0x0806
	etherTypeVLAN = 0x8100
	etherTypeIPv6 = 0x86dd
	etherTypeQinQ = 0x88a8
	// leastEtherType is where ethertypes begin; below are lengths (IEEE 802.3 clause
	// 3.2.6).
	leastEtherType = 0x0600
)

var etherTypes = map[uint64]string{
	etherTypeIPv4: "IPv4", etherTypeARP: "ARP", etherTypeVLAN: "802.1Q", etherTypeIPv6: "IPv6", etherTypeQinQ: "802.1ad",
	0x8035: "RARP", 0x8847: "MPLS", 0x8848: "MPLS multicast", 0x8863: "PPPoE discovery", 0x8864: "PPPoE session",
	0x888e: "802.1X", 0x88cc: "LLDP", 0x88f7: "PTP", 0x8902: "CFM",
}

func mac(b []byte) string { return net.HardwareAddr(b).String() }

// ethernet names the frame from its first byte on.
func (d *dissector) ethernet() {
	if d.length == 0 {
		return
	}
	r := d.begin("Ethernet")
	dst := r.text("destination", "eth.dst", 6, mac)
	if dst != nil && dst[0]&1 != 0 {
		r.say(multicastWord(dst))
	}
	src := r.text("source", "eth.src", 6, mac)
	if src != nil && src[0]&1 != 0 {
		r.note("a multicast address as source")
	}
	kind := etherType(r, "ethertype", "eth.type", "eth.len")
	if !d.done(r, "%s > %s", mac(src), mac(dst)) {
		return
	}
	d.behind(kind)
	d.trailer()
}

func multicastWord(b []byte) string {
	for _, c := range b {
		if c != 0xff {
			return "(multicast)"
		}
	}
	return "(broadcast)"
}

// etherType reads an ethertype, or an 802.3 length in its place.
func etherType(r *reader, name, filter, lengthFilter string) uint64 {
	v := r.number(name, filter, 2, hexadecimal)
	if f := r.last(); v < leastEtherType && !r.cut {
		*f = Field{Name: "length", Filter: lengthFilter, Offset: f.Offset, Length: 2, Value: fmt.Sprint(v)}
		if present := r.end - r.at; int(v) > present {
			r.note("only %s follow", plural(present, "byte"))
		}
		return v
	}
	r.say(etherTypes[v])
	return v
}

// behind goes on with what an ethertype announces.
func (d *dissector) behind(kind uint64) {
	for tags := 0; tags < maxTags && (kind == etherTypeVLAN || kind == etherTypeQinQ); tags++ {
		d.inner.tagged = true
		r := d.begin([2]string{"802.1Q tag", "802.1ad tag"}[btoi(kind == etherTypeQinQ)])
		prefix := [2]string{"vlan", "ieee8021ad"}[btoi(kind == etherTypeQinQ)]
		if tags > 1 {
			r.notice("more than two tags: such frames are dropped")
		}
		r.bits("priority", prefix+".priority", 3, decimal)
		r.bits("drop eligible", prefix+".dei", 1, decimal)
		id := r.bits("VLAN ID", prefix+".id", 12, decimal)
		// That of an 802.1ad tag has the name of another standard in Wireshark.
		filter := [2]string{"vlan.etype", "ieee8021ah.etype"}[btoi(kind == etherTypeQinQ)]
		kind = etherType(r, "ethertype", filter, "vlan.len")
		if !d.done(r, "VLAN %d", id) {
			return
		}
	}
	if kind < leastEtherType {
		d.inner.tagged = true
		d.end = min(d.end, d.at+int(kind))
		if kind = d.llc(); kind == 0 {
			return
		}
	}
	switch kind {
	case etherTypeIPv4:
		d.ipv4()
	case etherTypeIPv6:
		d.ipv6()
	case etherTypeARP:
		d.arp()
	default:
		d.payload("payload")
	}
}

// llc names an 802.2 header, and the SNAP header behind it; it returns the ethertype
// there, or 0 if there is none.
func (d *dissector) llc() uint64 {
	const snap, unnumbered = 0xaa, 0x03
	r := d.begin("LLC")
	dsap := r.number("DSAP", "llc.dsap", 1, hexadecimal)
	ssap := r.number("SSAP", "llc.ssap", 1, hexadecimal)
	control := r.number("control", "llc.control", 1, hexadecimal)
	if dsap != snap || ssap != snap || control != unnumbered {
		if d.done(r, "DSAP %#02x", dsap) {
			d.payload("payload")
		}
		return 0
	}
	oui := r.number("organization", "llc.oui", 3, hexadecimal)
	kind := r.number("ethertype", "llc.type", 2, hexadecimal)
	if oui == 0 {
		r.say(etherTypes[kind])
	}
	if !d.done(r, "SNAP") {
		return 0
	}
	if oui != 0 || kind < leastEtherType {
		d.payload("payload")
		return 0
	}
	return kind
}

var arpOperations = map[uint64]string{1: "request", 2: "reply", 3: "RARP request", 4: "RARP reply"}

func (d *dissector) arp() {
	r := d.begin("ARP")
	hardware := r.number("hardware type", "arp.hw.type", 2, decimal)
	protocol := r.number("protocol type", "arp.proto.type", 2, hexadecimal)
	hardwareLen := int(r.number("hardware size", "arp.hw.size", 1, decimal))
	protocolLen := int(r.number("protocol size", "arp.proto.size", 1, decimal))
	operation := r.number("operation", "arp.opcode", 2, decimal)
	r.say(arpOperations[operation])
	if hardware != 1 || protocol != etherTypeIPv4 || hardwareLen != 6 || protocolLen != 4 {
		if !r.cut {
			r.notice("not Ethernet and IPv4")
		}
		if d.done(r, "") {
			d.payload("payload")
		}
		return
	}
	sender := r.text("sender MAC", "arp.src.hw_mac", 6, mac)
	from := r.text("sender address", "arp.src.proto_ipv4", 4, address)
	r.text("target MAC", "arp.dst.hw_mac", 6, mac)
	to := r.text("target address", "arp.dst.proto_ipv4", 4, address)
	var words string
	switch {
	case operation == 1 && string(from) == string(to):
		words = address(from) + " announces itself"
	case operation == 1:
		words = "who has " + address(to) + "? tell " + address(from)
	case operation == 2:
		words = address(from) + " is at " + mac(sender)
	}
	if d.done(r, "%s", words) && d.at < d.end {
		// The frame is at least 60 bytes long on most links.
		d.end = d.at
	}
}

func address(b []byte) string {
	a, _ := netip.AddrFromSlice(b)
	return a.String()
}

// hexBytes shows bytes as they are.
func hexBytes(b []byte) string {
	const most = 32
	if len(b) > most {
		return fmt.Sprintf("%x...", b[:most])
	}
	return strings.TrimSpace(fmt.Sprintf("%x", b))
}
