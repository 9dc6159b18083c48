package rewrite

import (
	"encoding/binary"

	"sttwall/inspect"
)

// Set is what a rule changes in the packets that it accepts. The zero value
// changes nothing.
type Set struct {
	HasDSCP bool
	DSCP    uint8  // 6 bits
	MSSMax  uint16 // bytes; larger MSS options of TCP SYNs are lowered to it; 0: left alone
}

// Changes reports whether [Set.Apply] would change a byte. data is the frame
// that f was decoded from, or at least its first f.HeaderBytes.
func (s Set) Changes(data []byte, f *inspect.Frame) bool {
	if s.HasDSCP && f.IP != 0 && f.TOS>>2 != s.DSCP {
		return true
	}
	return s.mssOption(data, f) >= 0
}

// Apply writes the changed frame over data, which f was decoded from and which
// stays the caller's, and brings f.TOS up to date. The length stays the same. It
// reports whether a byte changed. partial says that the L4 checksum field holds
// the sum of the pseudo-header alone, in which neither DSCP nor options count.
func (s Set) Apply(data []byte, f *inspect.Frame, partial bool) (changed bool) {
	if s.HasDSCP && f.IP != 0 && f.TOS>>2 != s.DSCP {
		setTOS(data[f.L3Offset:], f, s.DSCP<<2|f.TOS&3)
		changed = true
	}
	for at := s.mssOption(data, f); at >= 0; at = s.mssOption(data, f) {
		s.lower(data, f, at, partial)
		changed = true
	}
	return changed
}

// lower writes the MSS at a place, and mends the checksum.
func (s Set) lower(data []byte, f *inspect.Frame, at int, partial bool) {
	was := binary.BigEndian.Uint16(data[at:])
	binary.BigEndian.PutUint16(data[at:], s.MSSMax)
	if !partial {
		field := data[f.ChecksumOffset():]
		if (at-f.L4Offset)%2 == 0 {
			update(field, was, s.MSSMax)
		} else {
			// An option at an odd offset: its bytes are in two words, and a sum
			// does not mind in which half of which.
			update(field, was<<8|was>>8, s.MSSMax<<8|s.MSSMax>>8)
		}
	}
}

func setTOS(ip []byte, f *inspect.Frame, tos uint8) {
	f.TOS = tos
	if f.IP == 4 {
		was := binary.BigEndian.Uint16(ip)
		ip[1] = tos
		update(ip[10:], was, binary.BigEndian.Uint16(ip))
		return
	}
	// The traffic class lies across the first two bytes (RFC 8200 section 3), in
	// no checksum.
	ip[0] = ip[0]&0xf0 | tos>>4
	ip[1] = ip[1]&0x0f | tos<<4
}

const (
	optionEnd     = 0
	optionNothing = 1
	optionMSS     = 2
	mssOptionLen  = 4
	tcpHeaderLen  = 20
)

// mssOption returns where in data the value of the first MSS option is that has to
// be lowered (of several, receivers may take any), or -1 if there is nothing to
// lower: no SYN, no such option, or options that cannot be walked (RFC 9293 section
// 3.2).
func (s Set) mssOption(data []byte, f *inspect.Frame) int {
	if s.MSSMax == 0 || !f.HasTCP || f.TCPFlags&inspect.SYN == 0 {
		return -1
	}
	at, end := f.L4Offset+tcpHeaderLen, min(f.PayloadOffset, len(data))
	for at < end {
		switch data[at] {
		case optionEnd:
			return -1
		case optionNothing:
			at++
			continue
		}
		if at+1 >= end {
			return -1
		}
		length := int(data[at+1])
		if length < 2 || at+length > end {
			return -1
		}
		if data[at] == optionMSS && length == mssOptionLen && binary.BigEndian.Uint16(data[at+2:]) > s.MSSMax {
			return at + 2
		}
		at += length
	}
	return -1
}
