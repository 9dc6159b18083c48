package inspect

import (
	"encoding/binary"
	"net/netip"

	"sttwall/reason"
)

const (
	ipv4Len = 20 // without options
	ipv6Len = 40 // without extension headers

	// maxExtensions bounds the walk. RFC 8200 section 4.1 has a use for seven.
	maxExtensions = 8

	maxIPLength = 65535
)

// IPv6 extension headers that the walk passes over, RFC 8200 section 4 and
// RFC 4302: those that Linux knows (ipv6_ext_hdr in net/ipv6/exthdrs_core.c).
// ESP and "no next header" end the walk, and so does any number not known.
const (
	headerHopByHop    = 0
	headerRouting     = 43
	headerFragment    = 44
	headerAH          = 51
	headerDestination = 60
)

// decodeIPv4 reads an IPv4 header (RFC 791) and what follows. Options other
// than source routes are passed over. The reserved flag is ignored, as receivers ignore it, and
// fragments may carry DF, as Linux sends them at times.
func (f *Frame) decodeIPv4(data []byte, l3, end int) reason.Reason {
	if end-l3 < ipv4Len {
		return reason.InnerTruncated
	}
	if len(data) < l3+ipv4Len {
		return reason.CopyTooShort
	}
	b := (*[ipv4Len]byte)(data[l3:])
	headerLen := int(b[0]&0x0f) * 4
	if b[0]>>4 != 4 || headerLen < ipv4Len {
		return reason.InnerIPHeader
	}
	if end-l3 < headerLen {
		return reason.InnerTruncated
	}
	total := int(binary.BigEndian.Uint16(b[2:]))
	if total < headerLen || total > end-l3 {
		return reason.InnerLength
	}
	if len(data) < l3+headerLen {
		return reason.CopyTooShort
	}
	if headerLen > ipv4Len && sourceRouted(data[l3+ipv4Len:l3+headerLen]) {
		return reason.InnerSourceRoute
	}
	protocol := b[9]
	f.IP, f.TOS, f.Protocol = 4, b[1], protocol
	f.Src, f.Dst = netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
	f.IPEnd = l3 + total
	f.PayloadOffset = l3 + headerLen
	f.HeaderBytes = l3 + headerLen

	// The flags are the top three bits: reserved, don't fragment, more.
	place := binary.BigEndian.Uint16(b[6:])
	if place&0x3fff != 0 {
		f.Fragmented = true
		f.Fragment = Fragment{
			ID:     uint32(binary.BigEndian.Uint16(b[4:])),
			Offset: place << 3,
			More:   place&0x2000 != 0,
			Bytes:  total - headerLen,
		}
		if r := f.checkFragment(headerLen); r != reason.None || f.Fragment.Offset != 0 {
			return r
		}
	}
	if protocol == ProtocolTCP {
		return f.decodeTCP(data, l3+headerLen, l3+total)
	}
	return f.decodeL4(data, protocol, l3+headerLen, l3+total)
}

// sourceRouted reports whether IPv4 options hold a loose or strict source route
// (RFC 791 section 3.1) with addresses to go, or cannot be read to their end:
// the packet may then go to another destination than its header names.
func sourceRouted(options []byte) bool {
	const end, noOperation, loose, strict = 0, 1, 131, 137
	for len(options) > 0 {
		switch options[0] {
		case end:
			return false
		case noOperation:
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return true
		}
		size := int(options[1])
		// The pointer counts from 1; behind the end nothing is left to go.
		if kind := options[0]; (kind == loose || kind == strict) && (size < 3 || int(options[2]) <= size) {
			return true
		}
		options = options[size:]
	}
	return false
}

// decodeIPv6 reads an IPv6 header (RFC 8200), its extension headers and what
// follows.
func (f *Frame) decodeIPv6(data []byte, l3, end int) reason.Reason {
	if end-l3 < ipv6Len {
		return reason.InnerTruncated
	}
	if len(data) < l3+ipv6Len {
		return reason.CopyTooShort
	}
	b := (*[ipv6Len]byte)(data[l3:])
	if b[0]>>4 != 6 {
		return reason.InnerIPHeader
	}
	size, next := int(binary.BigEndian.Uint16(b[4:])), b[6]
	// A length of 0 before a hop-by-hop header announces a jumbogram (RFC
	// 2675), which no frame of a tunnel can hold.
	if size > end-l3-ipv6Len || size == 0 && next == headerHopByHop {
		return reason.InnerLength
	}
	f.IP = 6
	f.TOS = b[0]<<4 | b[1]>>4
	f.Src = netip.AddrFrom16([16]byte(b[8:24]))
	f.Dst = netip.AddrFrom16([16]byte(b[24:40]))
	f.Protocol = next
	f.IPEnd = l3 + ipv6Len + size
	f.PayloadOffset = l3 + ipv6Len
	f.HeaderBytes = l3 + ipv6Len
	if isExtension(next) {
		if r := f.walkExtensions(data); r != reason.None {
			return r
		}
		if f.Fragmented && f.Fragment.Offset != 0 {
			return reason.None
		}
		return f.decodeL4(data, f.Protocol, f.PayloadOffset, f.IPEnd)
	}
	if next == ProtocolTCP {
		return f.decodeTCP(data, l3+ipv6Len, l3+ipv6Len+size)
	}
	return f.decodeL4(data, next, l3+ipv6Len, l3+ipv6Len+size)
}

func isExtension(header uint8) bool {
	switch header {
	case headerHopByHop, headerRouting, headerFragment, headerAH, headerDestination:
		return true
	}
	return false
}

// walkExtensions moves PayloadOffset over the extension headers, up to the
// upper-layer header or behind the fragment header of a later fragment.
// Protocol ends as the last next-header value.
func (f *Frame) walkExtensions(data []byte) reason.Reason {
	start := f.PayloadOffset
	off := start
	// A chain that is cut off by a fragment's end is the fragment's fault: the
	// first one has to hold all of it (RFC 7112).
	cut := reason.InnerExtension
	for n := 0; isExtension(f.Protocol); n++ {
		if n == maxExtensions || f.Protocol == headerHopByHop && off != start {
			return reason.InnerExtension
		}
		if f.IPEnd-off < 8 {
			return cut
		}
		if len(data) < off+8 {
			return reason.CopyTooShort
		}
		b := data[off : off+8]
		size := (int(b[1]) + 1) * 8
		switch f.Protocol {
		case headerFragment:
			if f.Fragmented || f.Atomic {
				return reason.InnerExtension
			}
			off += 8
			f.Protocol, f.PayloadOffset, f.HeaderBytes = b[0], off, off
			if r := f.decodeFragmentHeader(b, off-8-start); r != reason.None {
				return r
			}
			if f.Fragmented {
				if f.Fragment.Offset != 0 {
					return reason.None
				}
				cut = reason.InnerFragment
			}
			continue
		case headerRouting:
			// Segments left: the header's destination is only the next one.
			if b[3] != 0 {
				return reason.InnerSourceRoute
			}
		case headerAH:
			// Counted in words of four bytes; twelve are fixed (RFC 4302).
			size = (int(b[1]) + 2) * 4
			if size < 12 {
				return reason.InnerExtension
			}
		}
		if f.IPEnd-off < size {
			return cut
		}
		if len(data) < off+size {
			return reason.CopyTooShort
		}
		off += size
		f.Protocol, f.PayloadOffset, f.HeaderBytes = b[0], off, off
	}
	return reason.None
}

// decodeFragmentHeader reads an IPv6 fragment header that stands behind before
// bytes of other extension headers; PayloadOffset is already behind it.
func (f *Frame) decodeFragmentHeader(b []byte, before int) reason.Reason {
	place := binary.BigEndian.Uint16(b[2:])
	if place&0xfff9 == 0 {
		f.Atomic = true
		return reason.None
	}
	f.Fragmented = true
	f.Fragment = Fragment{
		ID:     binary.BigEndian.Uint32(b[4:]),
		Offset: place & 0xfff8,
		More:   place&1 != 0,
		Bytes:  f.IPEnd - f.PayloadOffset,
	}
	return f.checkFragment(before)
}

// checkFragment refuses fragments of which no packet can come. before is how
// many bytes of the whole packet's IP length stand before the payload.
func (f *Frame) checkFragment(before int) reason.Reason {
	g := &f.Fragment
	switch {
	case g.Bytes == 0,
		g.More && g.Bytes%8 != 0,
		before+int(g.Offset)+g.Bytes > maxIPLength:
		return reason.InnerFragment
	case g.Offset == 8 && f.Protocol == ProtocolTCP:
		// It would write over the flags of the first one (RFC 1858, RFC 3128).
		return reason.InnerFragment
	}
	return reason.None
}
