package dissect

import (
	"fmt"
	"strings"

	"sttwall/stt"
)

// minMSS is the floor below which no MSS passes in the standard settings.
const minMSS = 536

// frameHeader names the STT frame header, and compares it with the inner frame.
func (d *dissector) frameHeader(b []byte, ovn bool) Layer {
	r := &reader{
		layer: Layer{Name: "STT frame header", InHeader: true},
		data:  b, end: stt.FrameHeaderLen, whole: stt.FrameHeaderLen,
	}
	if r.number("version", "stt.version", 1, decimal) != 0 {
		r.note("not 0: such frames are dropped")
	}
	flags := r.number("flags", "stt.flags", 1, hexadecimal)
	r.say(flagNames(flags, sttFlags[:]))
	d.checkFlags(r, flags)
	offset := r.number("L4 offset", "stt.l4offset", 1, decimal)
	d.checkOffset(r, int(offset))
	if r.number("reserved", "stt.reserved", 1, hexadecimal) != 0 {
		r.note("not 0; receivers do not look")
	}
	mss := r.number("MSS", "stt.mss", 2, decimal)
	d.checkMSS(r, int(mss))
	priority := r.bits("priority", "stt.vlan.pcp", 3, decimal)
	present := r.bits("V", "stt.vlan.v", 1, decimal)
	r.say([2]string{"no tag", "a tag is present"}[present])
	if present == 0 && priority|r.peek12() != 0 {
		r.value("0")
		r.note("clear beside a VLAN tag that is not 0: Open vSwitch on Linux takes the tag, the Windows one does not")
	}
	vlan := r.bits("VLAN ID", "stt.vlan.id", 12, decimal)
	id := d.contextID(r, ovn)
	if r.number("padding", "stt.padding", 2, hexadecimal) != 0 {
		r.note("not 0; receivers do not look")
	}
	r.finish()
	if !r.cut {
		r.layer.Summary = "context ID " + id
		if names := flagNames(flags, sttFlags[:]); names != "" {
			r.layer.Summary += ", " + names
		}
		if priority|present|vlan != 0 {
			r.layer.Summary += fmt.Sprintf(", VLAN %d", vlan)
		}
	}
	return r.layer
}

// peek12 is the next twelve bits, without reading them.
func (r *reader) peek12() uint64 {
	if r.cut || r.left() < 2 {
		return 0
	}
	return bigEndian(r.data[r.at:r.at+2]) & 0xfff
}

// contextID names the 64 bits, in the layout in which the tenant has them.
func (d *dissector) contextID(r *reader, ovn bool) (words string) {
	if !ovn {
		v := r.number("context ID", "stt.context_id", 8, hexadecimal)
		r.say(fmt.Sprintf("(%d)", v))
		return fmt.Sprintf("%#x", v)
	}
	if r.bits("reserved", "", 9, hexadecimal) != 0 {
		r.note("not 0: such frames are dropped in the ovn layout")
	}
	in := r.bits("ingress port", "", 15, decimal)
	out := r.bits("egress port", "", 16, decimal)
	datapath := r.bits("datapath", "", 24, decimal)
	return fmt.Sprintf("datapath %d, port %d to %d", datapath, in, out)
}

var sttFlags = [8]string{"checksum verified", "checksum partial", "IPv4", "TCP"}

// flagNames names the bits that are set, from the lowest one up.
func flagNames(v uint64, names []string) string {
	var set []string
	for i, name := range names {
		if name != "" && v>>i&1 != 0 {
			set = append(set, name)
		}
	}
	return strings.Join(set, ", ")
}

func (d *dissector) checkFlags(r *reader, flags uint64) {
	const kind = stt.FlagIPv4 | stt.FlagTCP
	if flags&0xf0 != 0 {
		r.note("reserved bits are set")
	}
	if flags&stt.FlagChecksumPartial == 0 {
		if flags&kind != 0 {
			r.note("IPv4 and TCP mean nothing without checksum partial")
		}
		return
	}
	if flags&stt.FlagChecksumVerified != 0 {
		r.note("verified and partial at once: receivers differ about it")
	}
	f := &d.inner
	if says4 := flags&stt.FlagIPv4 != 0; f.ip != 0 && says4 != (f.ip == 4) {
		r.note("says %s, the inner packet is IPv%d", [2]string{"IPv6", "IPv4"}[btoi(says4)], f.ip)
	}
	if saysTCP := flags&stt.FlagTCP != 0; f.l4 != 0 && saysTCP != (f.protocol == protocolTCP) {
		r.note("says %s, the inner packet is %s", [2]string{"UDP", "TCP"}[btoi(saysTCP)], protocolName(f.protocol))
	}
	switch {
	case f.fragment:
		r.note("checksum partial on a fragment")
	case f.tagged:
		r.note("checksum partial on a frame with a tag inside: receivers do not look for the packet behind it")
	}
}

func (d *dissector) checkOffset(r *reader, says int) {
	f := &d.inner
	switch {
	case says == 0 && d.partial:
		r.note("0 with checksum partial")
	case says == 0:
	case f.l4 == 0:
		r.note("L4 offset says %d, there is no TCP or UDP header", says)
	case says != f.l4:
		r.note("L4 offset says %d, the %s header is at %d", says, protocolName(f.protocol), f.l4)
	}
}

func (d *dissector) checkMSS(r *reader, mss int) {
	f := &d.inner
	switch {
	case mss == 0:
	case !d.partial:
		r.note("means nothing without checksum partial")
	case f.l4 != 0 && f.protocol != protocolTCP:
		r.note("an MSS for %s", protocolName(f.protocol))
	case mss < minMSS:
		r.note("below %d: the receiver would cut the frame into very many packets", minMSS)
	case f.l4 != 0 && f.tcpPayload >= 0 && mss >= f.tcpPayload:
		r.note("means nothing: the TCP payload has %s", plural(f.tcpPayload, "byte"))
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
