package load

import "encoding/binary"

// mark is what of a packet's head depends on its frame and flow.
type mark struct {
	frame     uint32
	flow      uint32
	clientLow uint16 // what the address of flow 0's client ends in
	inner     Inner
	back      bool // the client is the destination
	// outerPartial: the outer checksum is the pseudo-header sum alone; innerPartial: the
	// inner one is.
	outerPartial, innerPartial bool
}

// write makes the head b of flow 0 and frame 0 that of m: what the source's program does
// in the kernel (see mend), for packets that are made here.
func (m mark) write(b []byte) {
	var outer uint32 // what is added under the outer checksum
	put32 := func(at int, v uint32) {
		binary.BigEndian.PutUint32(b[at:], v)
		outer += v>>16 + v&0xffff
	}
	put32(atFrameID, m.frame)
	low := m.flow & (1<<portBits - 1)
	binary.BigEndian.PutUint16(b[atSourcePort:], uint16(tunnelPort|low))
	outer += low

	if binary.BigEndian.Uint16(b[atSequence+2:]) == 0 { // only the first segment has inner headers
		high := m.flow >> portBits
		address, port, sum := atInnerIP+12+2, atInnerL4, atInnerL4+16
		if m.back {
			address, port = address+4, port+2
		}
		if m.inner == UDP {
			sum = atInnerL4 + 6
		}
		binary.BigEndian.PutUint16(b[address:], uint16(uint32(m.clientLow)+high))
		binary.BigEndian.PutUint16(b[port:], binary.BigEndian.Uint16(b[port:])+uint16(low))
		addTo(b[atInnerIP+10:], high)
		if m.innerPartial { // see mendInner
			addTo(b[sum:], 0xffff-high)
			outer += high + low
		} else {
			addTo(b[sum:], high+low)
			outer += 0xffff - high
		}
	}
	if !m.outerPartial {
		addTo(b[atOuterSum:], outer)
	}
}

// addTo mends the checksum at the start of b after n was added to what it is over (RFC
// 1624).
func addTo(b []byte, n uint32) {
	sum := uint32(^binary.BigEndian.Uint16(b)) + n>>16 + n&0xffff
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	binary.BigEndian.PutUint16(b, ^uint16(sum))
}
