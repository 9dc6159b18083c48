package dissect

import (
	"fmt"
	"strings"
)

var (
	tcpFlags = [12]string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ae"}

	tcpOptions = map[byte]optionKind{
		2: {"maximum segment size", decimalOf(2)}, 3: {"window scale", decimalOf(1)}, 4: {"SACK permitted", nil},
		5: {"SACK", showSACK}, 8: {"timestamps", showTimestamps}, 19: {"MD5", nil}, 28: {"user timeout", nil},
		29: {"TCP-AO", nil}, 30: {"MPTCP", nil}, 34: {"fast open cookie", nil},
	}
)

// decimalOf shows data of n bytes as a number.
func decimalOf(n int) func([]byte) string {
	return func(b []byte) string {
		if len(b) != n {
			return hexBytes(b)
		}
		return fmt.Sprint(bigEndian(b))
	}
}

func showTimestamps(b []byte) string {
	if len(b) != 8 {
		return hexBytes(b)
	}
	return fmt.Sprintf("%d, echo %d", bigEndian(b[:4]), bigEndian(b[4:]))
}

func showSACK(b []byte) string {
	if len(b)%8 != 0 {
		return hexBytes(b)
	}
	var blocks []string
	for ; len(b) >= 8; b = b[8:] {
		blocks = append(blocks, fmt.Sprintf("%d-%d", bigEndian(b[:4]), bigEndian(b[4:8])))
	}
	return strings.Join(blocks, " ")
}

func (d *dissector) tcp(p *ipPacket) {
	start := d.at
	r := d.begin("TCP")
	src := r.number("source port", "tcp.srcport", 2, decimal)
	dst := r.number("destination port", "tcp.dstport", 2, decimal)
	seq := r.number("sequence number", "tcp.seq_raw", 4, decimal)
	r.number("acknowledgment", "tcp.ack_raw", 4, decimal)
	words := int(r.bits("header length", "tcp.hdr_len", 4, decimal))
	r.value("%d bytes", 4*words)
	switch {
	case words < 5:
		r.note("less than 20: no such packet passes")
	case start+4*words > d.end && !d.quoted:
		r.note("more than the packet has")
	}
	flags := r.bits("flags", "tcp.flags", 12, hexadecimal)
	names := flagNames(flags, tcpFlags[:])
	r.say(names)
	if why := oddFlags(flags); why != "" && !r.cut {
		r.note("%s", why)
	}
	r.number("window", "tcp.window_size_value", 2, decimal)
	sum := r.number("checksum", "tcp.checksum", 2, hexadecimal)
	d.checkSum(r, p, protocolTCP, start, uint16(sum))
	r.number("urgent pointer", "tcp.urgent_pointer", 2, decimal)
	if !r.cut && words > 5 {
		d.options(r, start+4*words, "option", tcpOptions)
	}
	if r.cut && r.at >= start+4 {
		r.layer.Summary = fmt.Sprintf("%d > %d", src, dst)
	}
	if names == "" {
		names = "no flags"
	}
	if !d.done(r, "%d > %d, %s, seq %d", src, dst, names, seq) {
		return
	}
	if !d.quoted {
		d.inner.tcpPayload = d.end - d.at
	}
	d.payload("payload")
}

// oddFlags says what is wrong with a combination of flags that no TCP sends.
func oddFlags(flags uint64) string {
	const fin, syn, rst, ack = 1, 2, 4, 16
	switch {
	case flags&0x1ff == 0:
		return "no TCP sends none"
	case flags&syn != 0 && flags&(fin|rst) != 0, flags&fin != 0 && flags&(ack|rst) == 0:
		return "no TCP sends these together"
	}
	return ""
}

// checkSum compares the checksum of TCP or UDP, if all that it covers is there.
func (d *dissector) checkSum(r *reader, p *ipPacket, protocol, start int, got uint16) {
	if r.cut || d.quoted || p.fragment || d.end > len(d.data) {
		return
	}
	length := d.end - start
	pseudo := p.pseudoSum(protocol, length)
	switch {
	case protocol == protocolUDP && got == 0 && p.version == 4 && !d.partial:
		r.say("none")
	case d.partial:
		if got != pseudo {
			r.note("not the sum of the pseudo-header, %#04x, to which the receiver adds", pseudo)
		} else {
			r.say("partial: the receiver finishes it")
		}
	case d.verified:
		r.say("not looked at: the sender says that it is good")
	case onesSum(pseudo, d.data[start:d.end]) != 0xffff:
		r.note("wrong")
	default:
		r.say("correct")
	}
}

func (d *dissector) udp(p *ipPacket) {
	start := d.at
	r := d.begin("UDP")
	src := r.number("source port", "udp.srcport", 2, decimal)
	dst := r.number("destination port", "udp.dstport", 2, decimal)
	length := int(r.number("length", "udp.length", 2, decimal))
	if whole := !p.fragment && !d.quoted && !r.cut; whole && (length < 8 || start+length > d.end) {
		r.note("the packet has %d", d.end-start)
	} else if whole && start+length < d.end {
		r.note("the packet goes on behind it for %s", plural(d.end-start-length, "byte"))
	}
	sum := r.number("checksum", "udp.checksum", 2, hexadecimal)
	if length == d.end-start {
		d.checkSum(r, p, protocolUDP, start, uint16(sum))
	}
	if d.done(r, "%d > %d", src, dst) {
		d.payload("payload")
	}
}

func (d *dissector) sctp() {
	r := d.begin("SCTP")
	src := r.number("source port", "sctp.srcport", 2, decimal)
	dst := r.number("destination port", "sctp.dstport", 2, decimal)
	r.number("verification tag", "sctp.verification_tag", 4, hexadecimal)
	r.number("checksum", "sctp.checksum", 4, hexadecimal)
	if d.done(r, "%d > %d", src, dst) {
		d.payload("chunks")
	}
}
