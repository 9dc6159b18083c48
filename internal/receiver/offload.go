package receiver

import "slices"

// offload finishes the checksum of the frame and cuts it, believing the frame header.
// at is where the L4 header is said to be. It returns false where the receiver would
// give the frame up.
func (d *Delivered) offload(h header, at int) bool {
	field := at + 6
	if h.flags&flagTCP != 0 {
		field = at + 16
	}
	if field+2 > len(d.Frame) {
		return false
	}
	if h.flags&flagTCP == 0 || h.mss == 0 {
		whole := slices.Clone(d.Frame)
		finish(whole, at, field, h.flags&flagTCP == 0)
		d.Packets = [][]byte{whole}
		d.Written = append(d.Written, Range{field, field + 2})
		return true
	}
	return d.cut(h, at)
}

// finish writes a checksum over all from at on into a field that is in there, and
// compares nothing with what the field held.
func finish(frame []byte, at, field int, udp bool) {
	c := ^sum(frame[at:])
	if c == 0 && udp {
		c = 0xffff
	}
	put16(frame[field:], c)
}

// cut makes packets with MSS bytes of payload each. It repeats all bytes up to the end
// of the TCP header, which it takes from the L4 offset and the data offset there, and
// writes an IP length at a fixed place: tags are not looked for.
func (d *Delivered) cut(h header, at int) bool {
	dataOffset := int(d.Frame[at+12]>>4) * 4
	headers := at + dataOffset
	if dataOffset < 20 || headers > len(d.Frame) {
		return false
	}
	payload, size := d.Frame[headers:], int(h.mss)
	field := at + 16
	d.Written = append(d.Written, Range{field, field + 2})
	if len(payload) <= size {
		whole := slices.Clone(d.Frame)
		finish(whole, at, field, false)
		d.Packets = [][]byte{whole}
		return true
	}
	length, fixed := 18, 40 // of IPv6: payload length
	if h.flags&flagIPv4 != 0 {
		length, fixed = 16, 0
		d.Written = append(d.Written, Range{24, 26})
	}
	d.Written = append(d.Written, Range{length, length + 2}, Range{at + 4, at + 8}, Range{at + 13, at + 14})
	old := len(d.Frame) - at
	for from := 0; from < len(payload); from += size {
		to := min(from+size, len(payload))
		p := slices.Concat(d.Frame[:headers], payload[from:to])
		put16(p[length:], uint16(len(p)-ethernetLen-fixed))
		if fixed == 0 {
			headerLen := max(int(p[14]&15)*4, 20)
			p[24], p[25] = 0, 0
			put16(p[24:], ^sum(p[14:min(14+headerLen, len(p))]))
		}
		put32(p[at+4:], be32(p[at+4:])+uint32(from))
		if from > 0 {
			p[at+13] &^= 0x80 // CWR
		}
		if to < len(payload) {
			p[at+13] &^= 0x09 // FIN, PSH
		}
		// The pseudo-header sum in the field changes by the length.
		put16(p[field:], sum(p[field:field+2], length16(len(p)-at), length16(int(^uint16(old)))))
		finish(p, at, field, false)
		d.Packets = append(d.Packets, p)
	}
	return true
}

func length16(n int) []byte { return []byte{byte(n >> 8), byte(n)} }
