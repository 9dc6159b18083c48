package evasion

// Numbers of IP.
const (
	protocolICMP   = 1
	protocolTCP    = 6
	protocolUDP    = 17
	protocolICMPv6 = 58
)

// header is the frame header of an STT frame to be made.
type header struct {
	version, flags, l4Offset, reserved uint8
	mss, tci                           uint16
	context                            uint64 // 0: that of the script
	padding                            uint16
}

// packet is an inner packet to be made. The zero values are those of a TCP segment
// with PSH and ACK from the client to the web server.
type packet struct {
	v6       bool
	tags     []uint16 // TCIs in the frame
	tagType  uint16   // ethertype of the tags; 0: 802.1Q
	ether    uint16   // ethertype in place of IP's
	snap     bool
	llc      []byte // in place of the SNAP header
	protocol uint8  // 0: TCP
	reverse  bool   // from the server to the client
	dst      byte   // last byte of the destination; 0: the server
	mapped   bool   // IPv6: the addresses are the IPv4 ones, mapped
	src      byte
	from, to []byte  // addresses in place of these
	mac      [2]byte // first bytes of the destination and the source MAC; 0: 2

	options    []byte // IPv4
	extensions []extension
	fragment   *fragment
	ihl        uint8 // 0: right
	ipVersion  uint8 // 0: right
	ipLength   int   // added to the right one
	udpLength  int   // likewise

	srcPort, dstPort uint16 // 0: 40000 and 80
	seq              uint32 // behind the first one
	flags            uint8  // 0: ACK and PSH
	noFlags          bool
	dataOffset       uint8 // 0: right
	tcpOptions       []byte
	payload          int // bytes
	fill             byte
	body             []byte // in place of the L4 header and payload

	badSum  bool
	partial bool // the checksum field holds the pseudo-header sum alone
	trailer int  // bytes behind the IP packet
}

// extension is an IPv6 extension header; data is what follows the first two bytes, and
// fills it to a multiple of eight.
type extension struct {
	number uint8
	data   []byte
	length int // added to the right one, in units of eight bytes
}

// fragment makes an inner packet one of its fragments.
type fragment struct {
	id     uint32
	offset int // bytes
	more   bool
}

const firstSeq = 1_000_001 // of the client's data

// bytes makes the inner Ethernet frame.
func (p packet) bytes() []byte {
	b := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	if p.reverse {
		b = []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2}
	}
	b[0], b[6] = or(p.mac[0], 2), or(p.mac[1], 2)
	for _, tci := range p.tags {
		b = append(b, word(int(or(p.tagType, 0x8100)))...)
		b = append(b, word(int(tci))...)
	}
	ether := uint16(0x0800)
	if p.v6 {
		ether = 0x86dd
	}
	ether = or(p.ether, ether)
	ip := p.ip()
	switch {
	case p.llc != nil:
		b = append(b, word(len(p.llc)+len(ip))...)
		b = append(b, p.llc...)
	case p.snap:
		b = append(b, word(8+len(ip))...)
		b = append(b, 0xaa, 0xaa, 3, 0, 0, 0)
		b = append(b, word(int(ether))...)
	default:
		b = append(b, word(int(ether))...)
	}
	b = append(b, ip...)
	return append(b, make([]byte, p.trailer)...)
}

// addresses are those of the inner packet.
func (p packet) addresses() (src, dst []byte) {
	src, dst = p.usualAddresses()
	if p.from != nil {
		src = p.from
	}
	if p.to != nil {
		dst = p.to
	}
	return src, dst
}

func (p packet) usualAddresses() (src, dst []byte) {
	from, to := or(p.src, 9), or(p.dst, 10)
	if p.reverse {
		from, to = to, from
	}
	if p.v6 {
		net := []byte{0x20, 1, 0xd, 0xb8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0}
		if p.mapped {
			net = []byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1, 0}
		}
		return append(net[:15:15], from), append(net[:15:15], to)
	}
	return []byte{10, 1, 0, from}, []byte{10, 1, 0, to}
}

func (p packet) ip() []byte {
	body := p.body
	if body == nil {
		body = p.l4()
	}
	if f := p.fragment; f != nil {
		// The body is that of the whole packet.
		body = body[min(f.offset, len(body)):]
		if f.more {
			body = body[:min(len(body), p.payload)]
		}
	}
	src, dst := p.addresses()
	if p.v6 {
		return p.ipv6(src, dst, body)
	}
	h := make([]byte, 20, 60)
	h = append(h, p.options...)
	h[0] = or(p.ipVersion, 4)<<4 | or(p.ihl, uint8(len(h)/4))
	h[8], h[9] = 64, or(p.protocol, protocolTCP)
	put16(h[2:], uint16(len(h)+len(body)+p.ipLength))
	if f := p.fragment; f != nil {
		put16(h[4:], uint16(f.id))
		put16(h[6:], uint16(f.offset/8))
		if f.more {
			h[6] |= 0x20
		}
	}
	copy(h[12:], src)
	copy(h[16:], dst)
	put16(h[10:], ^sum(h))
	return append(h, body...)
}

func (p packet) ipv6(src, dst, body []byte) []byte {
	next := or(p.protocol, protocolTCP)
	if f := p.fragment; f != nil {
		place := uint16(f.offset)
		if f.more {
			place |= 1
		}
		b := []byte{next, 0, 0, 0, 0, 0, 0, 0}
		put16(b[2:], place)
		put32(b[4:], f.id)
		body, next = append(b, body...), 44
	}
	for i := len(p.extensions) - 1; i >= 0; i-- {
		e := p.extensions[i]
		b := append([]byte{next, 0}, e.data...)
		for len(b)%8 != 0 {
			b = append(b, 0)
		}
		b[1] = uint8(len(b)/8 - 1 + e.length)
		if e.number == 51 {
			b[1] = uint8(len(b)/4 - 2 + e.length)
		}
		body, next = append(b, body...), e.number
	}
	h := make([]byte, 40)
	h[0], h[6], h[7] = or(p.ipVersion, 6)<<4, next, 64
	put16(h[4:], uint16(len(body)+p.ipLength))
	copy(h[8:], src)
	copy(h[24:], dst)
	return append(h, body...)
}

// l4 makes the TCP, UDP or ICMP part with all of the payload.
func (p packet) l4() []byte {
	payload := make([]byte, p.payload)
	if f := p.fragment; f != nil {
		payload = make([]byte, 600) // of the whole packet
	}
	for i := range payload {
		payload[i] = byte(i*7) ^ p.fill
	}
	from, to := or(p.srcPort, 40000), or(p.dstPort, 80)
	if p.reverse {
		from, to = to, from
	}
	field := 16
	var b []byte
	switch or(p.protocol, protocolTCP) {
	case protocolTCP:
		b = make([]byte, 20, 60)
		put16(b, from)
		put16(b[2:], to)
		put32(b[4:], firstSeq+p.seq)
		put32(b[8:], 2_000_001)
		put16(b[14:], 0xffff)
		b[13] = or(p.flags, 0x18)
		if p.noFlags {
			b[13] = 0
		}
		if p.reverse {
			put32(b[4:], 2_000_001)
			put32(b[8:], firstSeq)
		}
		b = append(b, p.tcpOptions...)
		b[12] = or(p.dataOffset, uint8(len(b)/4)) << 4
	case protocolUDP:
		b = make([]byte, 8)
		put16(b, from)
		put16(b[2:], to)
		put16(b[4:], uint16(8+len(payload)+p.udpLength))
		field = 6
	case protocolICMP, protocolICMPv6:
		b = []byte{8, 0, 0, 0, 0, 1, 0, 1}
		if p.protocol == protocolICMPv6 {
			b[0] = 128
		}
		field = 2
	default:
		return payload
	}
	b = append(b, payload...)
	src, dst := p.addresses()
	put16(b[field:], sum(src, dst, []byte{0, or(p.protocol, protocolTCP)}, word(len(b))))
	if p.protocol == protocolICMP {
		put16(b[field:], 0) // no pseudo-header
	}
	if !p.partial {
		c := ^sum(b)
		put16(b[field:], c)
	}
	if p.badSum {
		b[field] ^= 1
	}
	return b
}

// l4Offset is where the L4 header is, in an untagged frame.
func (p packet) l4Offset() uint8 {
	n := 14 + 20 + len(p.options)
	if p.v6 {
		n = 14 + 40
		for _, e := range p.extensions {
			n += (2 + len(e.data) + 7) / 8 * 8
		}
	}
	return uint8(n)
}

// frameOf makes the STT frame.
func frameOf(h header, inner []byte) []byte {
	b := make([]byte, 18, 18+len(inner))
	b[0], b[1], b[2], b[3] = h.version, h.flags, h.l4Offset, h.reserved
	put16(b[4:], h.mss)
	put16(b[6:], h.tci)
	put32(b[8:], uint32(h.context>>32))
	put32(b[12:], uint32(h.context))
	put16(b[16:], h.padding)
	return append(b, inner...)
}
