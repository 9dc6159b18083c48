package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"

	"sttwall/stt"
)

// Packet says what the packets of a [Traffic] look like.
type Packet uint8

const (
	// Small150: outer IP packets of 150 bytes, each a whole frame.
	Small150 Packet = iota
	// Full1500: outer IP packets of 1,500 bytes, each a whole frame.
	Full1500
	// Segments45: frames of 65,520 bytes in 45 packets of 1,496 bytes each, in order.
	Segments45
	// Shuffled45: the same, the packets of each frame in random order.
	Shuffled45
	// GSO64K: super-segments, each a whole frame of 64,000 bytes in one packet, as a
	// sender with segmentation offload hands them over.
	GSO64K
)

// String returns the name that stands in the rows of the benchmark.
func (p Packet) String() string {
	if int(p) < len(packets) {
		return packets[p].name
	}
	return fmt.Sprintf("packet(%d)", uint8(p))
}

// ParsePacket is the reverse of String.
func ParsePacket(name string) (Packet, error) {
	for p, s := range packets {
		if s.name == name {
			return Packet(p), nil
		}
	}
	return 0, fmt.Errorf("packet %q: not one of 150, 1500, 45, 45-shuffled, gso64k", name)
}

// shape is how the packets of one kind are cut.
type shape struct {
	name string
	// segments is how many packets carry a frame, payload how many bytes of it
	// each of them.
	segments, payload int
	// partial: the inner checksum is left to the receiver. So it is with large inner
	// packets, which the sender's own stack has not cut (frame flags 0x0e). Others have
	// a whole one (flags 0).
	partial bool
}

var packets = [...]shape{
	Small150:   {"150", 1, 150 - outerLen, false},
	Full1500:   {"1500", 1, 1500 - outerLen, false},
	Segments45: {"45", 45, 1456, true},
	Shuffled45: {"45-shuffled", 45, 1456, true},
	GSO64K:     {"gso64k", 1, 64000, true},
}

// Inner is the protocol inside the tunnel.
type Inner uint8

const (
	// TCP: flows are established with SYN, SYN+ACK and ACK; then data is repeated.
	TCP Inner = iota
	// UDP: one packet in each direction, then data.
	UDP
)

// MaxFlows is the largest [Traffic.Flows].
const MaxFlows = 1 << 20

// Traffic is what the source sends.
type Traffic struct {
	Packet Packet
	// Flows is how many inner flows the frames belong to in turn, up to
	// [MaxFlows]; 0 means 1. Each outer source port carries the flows that are
	// 16,384 apart.
	Flows int
	Inner Inner
}

func (t Traffic) validate() error {
	if int(t.Packet) >= len(packets) {
		return fmt.Errorf("traffic: %v is no kind of packet", t.Packet)
	}
	if t.Flows < 0 || t.Flows > MaxFlows {
		return fmt.Errorf("traffic: %d flows: 1 to %d", t.Flows, MaxFlows)
	}
	if t.Inner > UDP {
		return errors.New("traffic: inner protocol is neither TCP nor UDP")
	}
	return nil
}

// partial reports whether the inner checksum of a step's packets is the pseudo-header sum.
func (t Traffic) partial(s step) bool { return s == stepData && packets[t.Packet].partial }

// super reports whether a step's packets are super-segments.
func (t Traffic) super(s step) bool { return s == stepData && t.Packet == GSO64K }

// stampAt is where the time stands in the first packet of a frame; 0 is at the end of each
// packet. The end of a super-segment is shared.
func (t Traffic) stampAt() int {
	if t.Packet == GSO64K {
		return headLen
	}
	return 0
}

// header is the frame header of a step.
func (t Traffic) header(e *Ends, s step) stt.FrameHeader {
	h := stt.FrameHeader{ContextID: e.ContextID}
	if s.back() {
		h.ContextID = e.Back
	}
	if t.partial(s) {
		h.Flags, h.L4Offset = stt.FlagChecksumPartial|stt.FlagIPv4, etherLen+ipLen
		if t.Inner == TCP {
			h.Flags |= stt.FlagTCP
			h.MSS = innerMSS
		}
	}
	return h
}

// PacketLen is the length of the outer IP packets in bytes.
func (t Traffic) PacketLen() int { return outerLen + packets[t.Packet].payload }

// Lengths in bytes, and where what varies stands in an Ethernet frame.
const (
	etherLen    = 14
	ipLen       = 20
	outerLen    = ipLen + stt.SegmentHeaderLen
	innerOffset = etherLen + outerLen + stt.FrameHeaderLen // the inner Ethernet header

	// headLen is what the source writes anew into each packet: all headers down
	// to the inner TCP header.
	headLen = innerOffset + etherLen + ipLen + 20
	// stampLen is the length of a time and its complement, which leave each checksum
	// over both as it is.
	stampLen = 16

	atSourcePort = etherLen + ipLen
	atSequence   = atSourcePort + 4
	atFrameID    = atSourcePort + 8
	atOuterSum   = atSourcePort + 16
	atInnerIP    = innerOffset + etherLen
	atInnerL4    = atInnerIP + ipLen
)

// step is one phase of the life of a flow.
type step uint8

const (
	stepSYN step = iota
	stepSYNACK
	stepACK
	stepData
	stepRequest // UDP
	stepReply
)

// back reports whether the step goes from right to left.
func (s step) back() bool { return s == stepSYNACK || s == stepReply }

// opening lists what establishes a flow.
func opening(i Inner) []step {
	if i == UDP {
		return []step{stepRequest, stepReply}
	}
	return []step{stepSYN, stepSYNACK, stepACK}
}

const (
	// ContextID is the tenant of all traffic, unless [Ends] say otherwise.
	ContextID = 100
	// ServerPort is the inner destination port of the clients, TCP or UDP, likewise.
	ServerPort = 443

	// FirstPort is the inner source port of flow 0.
	FirstPort = clientPort

	// innerMSS is what the receiver of a large frame cuts the inner packet by.
	innerMSS = 1400

	clientPort = 0x8000 // and the low 14 bits of the flow
	tunnelPort = 0x8000 // likewise
	portBits   = 14
)

// Endpoints returns the addresses of the two tunnel endpoints, as prefixes. Clients are
// behind the first. [Ends] can name others.
func Endpoints() []netip.Prefix {
	e := DefaultEnds()
	return []netip.Prefix{netip.PrefixFrom(e.Left, 32), netip.PrefixFrom(e.Right, 32)}
}

// frames returns the Ethernet frames that the source sends in turn for flow 0 with
// frame ID 0: those of one STT frame, or of several with their segments shuffled.
// destination and source are the outer MAC addresses.
func frames(e *Ends, t Traffic, s step, destination, source [6]byte) ([][]byte, error) {
	sh := packets[t.Packet]
	inner := innerFrame(e, t, s, sh)
	path := stt.Path{
		Src: e.Left, Dst: e.Right, SrcPort: tunnelPort, DstPort: e.Port, TTL: 64, DontFragment: true,
	}
	header := t.header(e, s)
	if s.back() {
		path.Src, path.Dst = path.Dst, path.Src
	}
	frame := append(stt.AppendFrameHeader(nil, &header), inner...)
	sum, mtu := stt.ChecksumFull, outerLen+sh.payload
	if t.super(s) {
		sum = stt.ChecksumPartial
	}
	var list [][]byte
	ether := append(append(append([]byte(nil), destination[:]...), source[:]...), 0x08, 0x00)
	if _, err := stt.AppendSegments(nil, &path, 0, frame, mtu, sum, func(packet []byte) {
		list = append(list, append(append([]byte(nil), ether...), packet...))
	}); err != nil {
		return nil, err
	}
	if t.Packet == Shuffled45 && s == stepData {
		list = shuffled(list)
	}
	return list, nil
}

// shuffles is how many orders of the segments of a frame take turns.
const shuffles = 16

func shuffled(list [][]byte) [][]byte {
	random := rand.New(rand.NewPCG(1, 45)) // the same in each run
	var all [][]byte
	for range shuffles {
		for _, i := range random.Perm(len(list)) {
			all = append(all, list[i])
		}
	}
	return all
}

// innerFrame returns the inner Ethernet frame of flow 0.
func innerFrame(e *Ends, t Traffic, s step, sh shape) []byte {
	length := headLen - innerOffset // what opens a TCP flow has no payload
	if s == stepData {
		length = sh.segments*sh.payload - stt.FrameHeaderLen
	}
	source, destination := e.Client, e.Server
	sourcePort, destinationPort := uint16(clientPort), e.ServerPort
	b := append(append([]byte(nil), e.ServerMAC[:]...), e.ClientMAC[:]...)
	if s.back() {
		source, destination = destination, source
		sourcePort, destinationPort = destinationPort, sourcePort
		b = append(append([]byte(nil), e.ClientMAC[:]...), e.ServerMAC[:]...)
	}
	b = append(b, 0x08, 0x00)
	protocol := uint8(6)
	if t.Inner == UDP {
		protocol = 17
	}
	ip := make([]byte, ipLen)
	ip[0], ip[8], ip[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(ip[2:], uint16(length-etherLen))
	ip[6] = 0x40 // DF
	copy(ip[12:], source.AsSlice())
	copy(ip[16:], destination.AsSlice())
	binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip))
	b = append(b, ip...)

	l4 := make([]byte, length-etherLen-ipLen)
	binary.BigEndian.PutUint16(l4, sourcePort)
	binary.BigEndian.PutUint16(l4[2:], destinationPort)
	at := 16
	if t.Inner == UDP {
		at = 6
		binary.BigEndian.PutUint16(l4[4:], uint16(len(l4)))
	} else {
		l4 = tcpHeader(l4, s)
	}
	if s == stepData {
		end := len(l4)
		if at := t.stampAt(); at != 0 {
			end = at + stampLen - atInnerL4
		}
		for i := range stampLen / 2 {
			l4[end-1-i] = 0xff // the complement of time 0
		}
	}
	seal(l4, at, source, destination, protocol, t.partial(s))
	return append(b, l4...)
}

// tcpHeader fills in what depends on the step. Only data has a payload.
func tcpHeader(l4 []byte, s step) []byte {
	const clientISN, serverISN = 1000, 5000
	seq, ack, flags := uint32(clientISN+1), uint32(serverISN+1), uint8(stt.FlagACK)
	switch s {
	case stepSYN:
		seq, ack, flags = clientISN, 0, stt.FlagSYN
	case stepSYNACK:
		seq, ack, flags = serverISN, clientISN+1, stt.FlagSYN|stt.FlagACK
	}
	binary.BigEndian.PutUint32(l4[4:], seq)
	binary.BigEndian.PutUint32(l4[8:], ack)
	l4[12], l4[13] = 5<<4, flags
	binary.BigEndian.PutUint16(l4[14:], 65535)
	return l4
}

// seal writes the checksum of l4, which stands at, or what it begins with.
func seal(l4 []byte, at int, source, destination netip.Addr, protocol uint8, partial bool) {
	binary.BigEndian.PutUint16(l4[at:], stt.PseudoSum(source, destination, protocol, len(l4)))
	if partial {
		return
	}
	sum := stt.Checksum(l4)
	if protocol == 17 && sum == 0 {
		sum = 0xffff // RFC 768: 0 would say that there is none
	}
	binary.BigEndian.PutUint16(l4[at:], sum)
}
