package evasion

import (
	"bytes"
	"fmt"

	"sttwall/internal/receiver"
)

// reading is what a tenant's stack reads in a frame. It is written without the
// firewall's own parser, and reads on where a lenient stack would.
type reading struct {
	context  uint64
	tagged   bool   // with a VLAN ID: a tag without one puts a frame into no VLAN
	vlan     uint16 // of the outermost tag that the receiver sees
	priority int    // likewise; -1: there is no tag
	ether    uint16
	src, dst []byte
	protocol uint8
	// l3 is where the IP header begins, l4 where that of TCP or UDP does; -1: none,
	// or a later fragment.
	l3, l4           int
	srcPort, dstPort uint16
	tcpFlags         uint8
	fragment         *fragment
	payload          []byte // of the IP packet, behind its headers
}

// read reads a frame as it reaches the tenant. The error says what a stack would not
// take.
func read(d *receiver.Delivered, frame []byte) (*reading, error) {
	r := &reading{context: d.Context, tagged: d.Tagged, vlan: d.TCI & 0xfff, priority: -1, l3: -1, l4: -1}
	if d.Tagged {
		r.priority = int(d.TCI >> 13)
	}
	if len(frame) < 14 {
		return nil, fmt.Errorf("%d bytes are no Ethernet frame", len(frame))
	}
	at := 12
	r.ether = get16(frame[at:])
	for r.ether == 0x8100 || r.ether == 0x88a8 || r.ether == 0x9100 {
		if len(frame) < at+6 {
			return nil, fmt.Errorf("a tag is cut off")
		}
		if r.priority < 0 {
			r.priority = int(frame[at+2] >> 5)
		}
		// A tag without a VLAN ID is passed over.
		if !r.tagged || r.vlan == 0 {
			r.tagged, r.vlan = true, get16(frame[at+2:])&0xfff
		}
		at += 4
		r.ether = get16(frame[at:])
	}
	r.tagged = r.vlan != 0
	at += 2
	if r.ether < 0x600 {
		if len(frame) < at+8 || !bytes.Equal(frame[at:at+6], []byte{0xaa, 0xaa, 3, 0, 0, 0}) {
			return r, nil
		}
		r.ether = get16(frame[at+6:])
		at += 8
	}
	switch r.ether {
	case 0x0800:
		return r, r.ipv4(frame, at)
	case 0x86dd:
		return r, r.ipv6(frame, at)
	}
	return r, nil
}

func (r *reading) ipv4(frame []byte, at int) error {
	b := frame[at:]
	if len(b) < 20 {
		return fmt.Errorf("the IPv4 header is cut off")
	}
	size, total := int(b[0]&15)*4, int(get16(b[2:]))
	if b[0]>>4 != 4 || size < 20 || total < size || total > len(b) {
		return fmt.Errorf("an IPv4 header of %d bytes, a packet of %d, and %d are there", size, total, len(b))
	}
	r.l3, r.src, r.dst, r.protocol = at, b[12:16], b[16:20], b[9]
	if place := get16(b[6:]) & 0x3fff; place != 0 {
		r.fragment = &fragment{id: uint32(get16(b[4:])), offset: int(place&0x1fff) * 8, more: place&0x2000 != 0}
	}
	return r.upper(frame, at+size, at+total)
}

func (r *reading) ipv6(frame []byte, at int) error {
	b := frame[at:]
	if len(b) < 40 || b[0]>>4 != 6 || 40+int(get16(b[4:])) > len(b) {
		return fmt.Errorf("the IPv6 packet is cut off")
	}
	r.l3, r.src, r.dst = at, b[8:24], b[24:40]
	end, next := at+40+int(get16(b[4:])), b[6]
	at += 40
	for {
		size := 0
		switch next {
		case 0, 43, 60:
			if at+8 <= end {
				size = (int(frame[at+1]) + 1) * 8
			}
		case 51:
			if at+8 <= end {
				size = (int(frame[at+1]) + 2) * 4
			}
		case 44:
			if at+8 > end {
				break
			}
			place := get16(frame[at+2:])
			if place&0xfff9 != 0 {
				r.fragment = &fragment{id: get32(frame[at+4:]), offset: int(place &^ 7), more: place&1 != 0}
			}
			size = 8
		default:
			r.protocol = next
			return r.upper(frame, at, end)
		}
		if size == 0 || at+size > end {
			return fmt.Errorf("an IPv6 extension header is cut off")
		}
		next = frame[at]
		at += size
		if r.fragment != nil && r.fragment.offset > 0 {
			r.protocol = next
			return r.upper(frame, at, end)
		}
	}
}

// upper reads the ports.
func (r *reading) upper(frame []byte, at, end int) error {
	r.payload = frame[at:end]
	if r.fragment != nil && r.fragment.offset > 0 {
		return nil
	}
	r.l4 = at
	return r.ports(r.payload)
}

func (r *reading) ports(b []byte) error {
	switch r.protocol {
	case protocolTCP:
		if len(b) < 20 || int(b[12]>>4)*4 < 20 || int(b[12]>>4)*4 > len(b) {
			return fmt.Errorf("the TCP header is cut off")
		}
		r.tcpFlags = b[13]
	case protocolUDP:
		if len(b) < 8 {
			return fmt.Errorf("the UDP header is cut off")
		}
	default:
		return nil
	}
	r.srcPort, r.dstPort = get16(b), get16(b[2:])
	return nil
}

// permitted says whether [Rules] accept what was read, by itself or as an answer to
// what they accept. "" is yes, all else says why not.
func (r *reading) permitted() string {
	switch {
	case r.context != 100 && r.context != 200 && r.context != 300 && r.context != 301 && r.context>>12 != 1:
		return fmt.Sprintf("Context ID %#x is nobody's", r.context)
	case r.context == 300 && !r.tagged:
		return "no VLAN"
	case r.context == 301 && r.tagged:
		return fmt.Sprintf("VLAN %d where there is to be none", r.vlan)
	case r.vlan == 43 && r.context != 300:
		return "VLAN 43"
	case r.context == 200 && r.aboutTheFlow():
		return ""
	case r.src == nil:
		return fmt.Sprintf("ethertype %#04x", r.ether)
	case r.protocol != protocolTCP:
		return fmt.Sprintf("protocol %d", r.protocol)
	}
	to, from := isServer(r.dst), isServer(r.src)
	if r.fragment != nil && r.fragment.offset > 0 {
		if !to && !from {
			return "a fragment for another host"
		}
		return "" // what it is a part of is looked at in assembly.go
	}
	if to && r.dstPort == 80 || from && r.srcPort == 80 && r.context == 200 {
		return ""
	}
	return fmt.Sprintf("TCP port %d of %x", r.dstPort, r.dst)
}

// aboutTheFlow reports whether it is an ICMP error about what the client has sent to the
// web server, for the client.
func (r *reading) aboutTheFlow() bool {
	b := r.payload
	switch {
	case r.protocol == protocolICMP && len(b) >= 36 && (b[0] == 3 || b[0] == 11 || b[0] == 12):
		b = b[8:]
		at := int(b[0]&15) * 4
		return b[0]>>4 == 4 && at >= 20 && len(b) >= at+8 && get16(b[6:])&0x1fff == 0 && b[9] == protocolTCP &&
			isServer(b[16:20]) && bytes.Equal(b[12:16], r.dst) && get16(b[at:]) == 40000 && get16(b[at+2:]) == 80
	case r.protocol == protocolICMPv6 && len(b) >= 56 && b[0] >= 1 && b[0] <= 4:
		b = b[8:]
		return b[0]>>4 == 6 && b[6] == protocolTCP && isServer(b[24:40]) && bytes.Equal(b[8:24], r.dst) &&
			get16(b[40:]) == 40000 && get16(b[42:]) == 80
	}
	return false
}

func isServer(b []byte) bool {
	return bytes.Equal(b, []byte{10, 1, 0, 10}) ||
		bytes.Equal(b, []byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 10})
}

// mayBeWritten reports whether a receiver may write there without a change to what a
// decision rests on: the TOS byte, the IPv4 header checksum, the L4 checksum.
func (r *reading) mayBeWritten(w receiver.Range) bool {
	if r.l4 >= 0 && w == (receiver.Range{From: r.l4 + 16, To: r.l4 + 18}) {
		return true
	}
	if r.ether == 0x86dd {
		return w == receiver.Range{From: r.l3, To: r.l3 + 2}
	}
	return w == receiver.Range{From: r.l3 + 1, To: r.l3 + 2} || w == receiver.Range{From: r.l3 + 10, To: r.l3 + 12}
}

// same says what two readings of a frame disagree about, as far as a decision can rest
// on it; "" if nothing. The flags that change where a large frame is cut are not in it.
func (r *reading) same(o *reading) string {
	const cutFlags = 0x89 // CWR, PSH, FIN
	switch {
	case r.context != o.context || r.tagged != o.tagged || r.priority != o.priority || r.vlan != o.vlan || r.ether != o.ether:
		return "the tenant, the tag or the ethertype"
	case !bytes.Equal(r.src, o.src) || !bytes.Equal(r.dst, o.dst) || r.protocol != o.protocol:
		return "the addresses or the protocol"
	case r.srcPort != o.srcPort || r.dstPort != o.dstPort || (r.tcpFlags^o.tcpFlags)&^cutFlags != 0:
		return "the ports or the TCP flags"
	case (r.fragment == nil) != (o.fragment == nil):
		return "whether it is a fragment"
	}
	return ""
}
