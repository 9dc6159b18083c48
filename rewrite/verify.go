package rewrite

import (
	"encoding/binary"

	"sttwall/inspect"
)

// ChecksumGood reports whether the L4 checksum of the packet is right, so that
// its receiver will take it. data is the whole frame that f was decoded from. A
// packet without an L4 checksum that can be verified here (a fragment, a
// protocol without one) counts as good; one of which only a part is there does
// not.
func ChecksumGood(data []byte, f *inspect.Frame) bool {
	if f.IP == 0 || f.Fragmented || f.L4Offset < 0 {
		return true
	}
	if f.IPEnd > len(data) {
		return false
	}
	l4 := data[f.L4Offset:f.IPEnd]
	var s uint32
	switch f.Protocol {
	case inspect.ProtocolTCP, inspect.ProtocolICMPv6:
	case inspect.ProtocolUDP:
		if f.IP == 4 && binary.BigEndian.Uint16(l4[6:]) == 0 {
			return true // none: RFC 768
		}
		if n := int(binary.BigEndian.Uint16(l4[4:])); n >= 8 && n <= len(l4) {
			l4 = l4[:n]
		}
	case inspect.ProtocolICMP:
		return fold(sum(0, l4)) == 0xffff
	default:
		return true
	}
	if f.IP == 4 {
		s = pseudo(data[f.L3Offset+12:f.L3Offset+20], f.Protocol, len(l4))
	} else {
		s = pseudo(data[f.L3Offset+8:f.L3Offset+40], f.Protocol, len(l4))
	}
	return fold(sum(s, l4)) == 0xffff
}
