package rewrite

import (
	"encoding/binary"

	"sttwall/inspect"
	"sttwall/internal/checksum"
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
		return checksum.Sum(l4) == 0xffff
	default:
		return true
	}
	addresses := data[f.L3Offset+12 : f.L3Offset+20]
	if f.IP == 6 {
		addresses = data[f.L3Offset+8 : f.L3Offset+40]
	}
	return transport(addresses, f.Protocol, l4) == 0
}
