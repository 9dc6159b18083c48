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
	from, to, good := covered(data, f)
	if from < 0 {
		return good
	}
	return fits(data, f, to-from, checksum.Sum(data[from:to]))
}

// ChecksumGoodBySum is [ChecksumGood] for data of which the one's complement sum is
// known: all but a few bytes of it need not be read again.
func ChecksumGoodBySum(data []byte, f *inspect.Frame, sum uint16) bool {
	if f.Protocol == inspect.ProtocolICMP {
		// A message of zeros is wrong, and one's complement has two zeros.
		return ChecksumGood(data, f)
	}
	from, to, good := covered(data, f)
	if from < 0 {
		return good
	}
	sum = checksum.Without(sum, checksum.Sum(data[:from]))
	sum = checksum.Without(sum, checksum.Part(checksum.Sum(data[to:]), to))
	return fits(data, f, to-from, checksum.Part(sum, from))
}

// covered returns which bytes the L4 checksum covers; -1 where good says it all.
func covered(data []byte, f *inspect.Frame) (from, to int, good bool) {
	if f.IP == 0 || f.Fragmented || f.L4Offset < 0 {
		return -1, -1, true
	}
	if f.IPEnd > len(data) {
		return -1, -1, false
	}
	from, to = f.L4Offset, f.IPEnd
	switch f.Protocol {
	case inspect.ProtocolTCP, inspect.ProtocolICMP, inspect.ProtocolICMPv6:
	case inspect.ProtocolUDP:
		l4 := data[from:to]
		if f.IP == 4 && binary.BigEndian.Uint16(l4[6:]) == 0 {
			return -1, -1, true // none: RFC 768
		}
		if n := int(binary.BigEndian.Uint16(l4[4:])); n >= 8 && n <= len(l4) {
			to = from + n
		}
	default:
		return -1, -1, true
	}
	return from, to, false
}

// fits reports whether the sum of length bytes of L4 holds a right checksum.
func fits(data []byte, f *inspect.Frame, length int, l4 uint16) bool {
	if f.Protocol == inspect.ProtocolICMP {
		return l4 == 0xffff
	}
	addresses := data[f.L3Offset+12 : f.L3Offset+20]
	if f.IP == 6 {
		addresses = data[f.L3Offset+8 : f.L3Offset+40]
	}
	return checksum.Fold(pseudo(addresses, f.Protocol, length)+uint64(l4)) == 0xffff
}
