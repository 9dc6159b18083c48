package flood

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"sttwall/stt"
)

// Attack is one that endpoint C makes.
type Attack struct {
	Name, What string
	// Rate is in packets a second; 0 is as many as can be sent.
	Rate int
	// Last is how long it takes, if it needs longer than others.
	Last time.Duration
	// Flags are for the firewall, behind the usual ones; Settings lines of the rules'
	// settings.
	Flags, Settings []string

	next func(*maker) // sends one packet or some
}

// The addresses of the four, and what is in their tunnels.
var (
	outerA, outerB = netip.AddrFrom4([4]byte{10, 48, 1, 1}), netip.AddrFrom4([4]byte{10, 48, 2, 1})
	outerC, outerD = netip.AddrFrom4([4]byte{10, 48, 3, 1}), netip.AddrFrom4([4]byte{10, 48, 4, 1})
	innerClient    = netip.AddrFrom4([4]byte{10, 10, 0, 1})
	innerServer    = netip.AddrFrom4([4]byte{10, 20, 0, 1})
)

const (
	contextGood = 100
	// The attacker's tenant has 2^16 Context IDs.
	contextBad = 0x10000

	portDenied = 9 // UDP, to the attacker's tenant, with a line in the log
	usualRate  = 20_000
	mtu        = 1500
)

// maker makes packets of one endpoint.
type maker struct {
	path stt.Path
	r    *rand.Rand
	n    uint32 // how often next was called before
	send func(packet []byte)

	frame, out []byte
	large      []byte // see cached
	trickled   []trickle
	at         int
}

// inner says what is in a frame.
type inner struct {
	context      uint64
	mac          uint32 // of the source
	src, dst     netip.Addr
	sport, dport uint16
	tcp          bool
	payload      int
	fragment     bool   // a first fragment, of two
	id           uint16 // of the packet
}

// usual is a datagram of a flow of the attacker's tenant.
func (m *maker) usual() inner {
	return inner{context: contextBad, mac: 1, src: innerClient, dst: innerServer, sport: 40000, dport: 443, payload: 40}
}

// build makes the STT frame, with right checksums.
func (m *maker) build(i inner) []byte {
	h := stt.FrameHeader{ContextID: i.context}
	b := stt.AppendFrameHeader(m.frame[:0], &h)
	b = append(b, 2, 0, 0, 0, 1, 1, 2, 0)
	b = binary.BigEndian.AppendUint32(b, i.mac)
	b = append(b, 8, 0)
	l4, protocol := 8, byte(17)
	if i.tcp {
		l4, protocol = 20, 6
	}
	ip := len(b)
	b = append(b, make([]byte, 20+l4+i.payload)...)
	p := b[ip:]
	p[0], p[8], p[9] = 0x45, 64, protocol
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	binary.BigEndian.PutUint16(p[4:], i.id)
	if i.fragment {
		p[6] = 0x20
	}
	src, dst := i.src.As4(), i.dst.As4()
	copy(p[12:], src[:])
	copy(p[16:], dst[:])
	binary.BigEndian.PutUint16(p[10:], stt.Checksum(p[:20]))
	t := p[20:]
	binary.BigEndian.PutUint16(t, i.sport)
	binary.BigEndian.PutUint16(t[2:], i.dport)
	at := 6
	if i.tcp {
		at = 16
		binary.BigEndian.PutUint32(t[4:], m.n)
		t[12], t[13] = 5<<4, stt.FlagSYN
	} else {
		binary.BigEndian.PutUint16(t[4:], uint16(len(t)))
		if i.fragment {
			binary.BigEndian.PutUint16(t[4:], uint16(2*len(t)-8))
		}
	}
	binary.BigEndian.PutUint16(t[at:], stt.PseudoSum(i.src, i.dst, protocol, len(t)))
	sum := stt.Checksum(t)
	if sum == 0 && !i.tcp {
		sum = 0xffff
	}
	binary.BigEndian.PutUint16(t[at:], sum)
	m.frame = b
	return b
}

// whole sends a frame in as many packets as it needs.
func (m *maker) whole(frame []byte) {
	m.out, _ = stt.AppendSegments(m.out[:0], &m.path, m.r.Uint32(), frame, mtu, stt.ChecksumFull, m.send)
}

// piece sends one segment of a frame of length bytes, the bytes from to to.
func (m *maker) piece(id uint32, frame []byte, length, from, to int) {
	m.out = stt.AppendSegment(m.out[:0], &m.path, &stt.Piece{
		FrameID: id, FrameLength: length, Offset: from, Payload: frame[from:to], Checksum: stt.ChecksumFull,
	})
	m.send(m.out)
}

const segment = mtu - 40 // bytes of a frame in a packet

// largest is the length of a frame that takes the largest buffer.
const largest = 60_000

// trickle is a large frame of which a segment comes now and then.
type trickle struct {
	id   uint32
	sent int
}

// Attacks are all of them.
func Attacks() []Attack {
	return []Attack{
		{
			Name: "incomplete", What: "the first segment of large frames whose rest never comes", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.payload = largest - 18 - 14 - 28
				m.piece(m.r.Uint32(), m.cached(i), largest, 0, segment)
			},
		},
		{
			Name: "incomplete-small", What: "the first segment of frames of two whose second never comes", Rate: usualRate,
			next: func(m *maker) {
				m.piece(m.r.Uint32(), m.build(m.usual()), 100, 0, 80)
			},
		},
		{
			Name: "trickle", What: "250 large frames at once, a segment of each at a time, each for 30 s", Rate: 350, Last: 30 * time.Second,
			Flags: []string{"--reassembly-timeout", "30s"},
			next: func(m *maker) {
				if m.trickled == nil {
					m.trickled = make([]trickle, 250)
				}
				t := &m.trickled[m.at%len(m.trickled)]
				m.at++
				if t.sent == 0 {
					t.id = m.r.Uint32()
				}
				i := m.usual()
				i.payload = largest - 18 - 14 - 28
				end := min(t.sent+segment, largest-1) // the last byte never comes
				m.piece(t.id, m.cached(i), largest, t.sent, end)
				if t.sent = end; end == largest-1 {
					t.sent = 0
				}
			},
		},
		{
			Name: "flows", What: "a new flow with each packet, which the rules accept", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.src, i.sport = netip.AddrFrom4([4]byte{10, 11, byte(m.n >> 24), 1}), uint16(m.n)
				i.dport = uint16(1000 + m.n>>16)
				m.whole(m.build(i))
			},
		},
		{
			Name: "half-open", What: "a SYN of a new TCP connection with each packet", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.tcp, i.payload, i.sport, i.dport = true, 0, uint16(m.n), uint16(1000+m.n>>16)
				m.whole(m.build(i))
			},
		},
		{
			Name: "drop-log", What: "packets that a rule drops and logs, each of another flow", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.sport, i.dport = uint16(m.n), portDenied
				m.whole(m.build(i))
			},
		},
		{
			Name: "unknown-contexts", What: "random Context IDs that no tenant has", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.context = m.r.Uint64() | 1<<63
				m.whole(m.build(i))
			},
		},
		{
			Name: "contexts", What: "a new flow with each packet, over all 65,536 Context IDs of a tenant", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.context, i.sport = contextBad+uint64(m.n&0xffff), uint16(m.n>>16)
				m.whole(m.build(i))
			},
		},
		{
			Name: "addresses", What: "another inner MAC and address with each packet, which are learned", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.mac, i.src = m.n+2, netip.AddrFrom4([4]byte{10, byte(128 | m.n>>16), byte(m.n >> 8), byte(m.n)})
				m.whole(m.build(i))
			},
		},
		{
			Name: "inner-fragments", What: "first fragments of inner packets, and later ones that wait for theirs", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.fragment, i.id, i.sport = m.n&1 == 0, uint16(m.n>>1), uint16(m.n)
				i.src = netip.AddrFrom4([4]byte{10, 12, byte(m.n >> 17), 1})
				frame := m.build(i)
				if m.n&1 == 1 { // a later one, of the packet with the next ID
					ip := frame[18+14:]
					binary.BigEndian.PutUint16(ip[4:], uint16(m.n>>1)+30000)
					ip[6], ip[7], ip[10], ip[11] = 0, 6, 0, 0
					binary.BigEndian.PutUint16(ip[10:], stt.Checksum(ip[:20]))
				}
				m.whole(frame)
			},
		},
		{
			Name: "patterns", What: "flows, frame IDs, addresses and Context IDs that differ in steps of powers of two, as for tables without a secret", Rate: usualRate,
			next: func(m *maker) {
				i := m.usual()
				i.context = contextBad + uint64(m.n&0xff)<<8
				i.src = netip.AddrFrom4([4]byte{10, byte(128 | m.n>>8&0x3f), 0, 0})
				i.sport, i.mac = uint16(m.n&0xff)<<8, m.n<<16
				frame := m.build(i)
				if m.n&3 == 0 {
					m.piece(m.n<<14, frame, 200, 0, 80)
					return
				}
				m.whole(frame)
			},
		},
		{
			Name: "all-tables", What: "incomplete frames, flows, addresses, Context IDs, fragments and logged drops in turn, from 16 endpoints", Rate: 2 * usualRate, Last: 24 * time.Second,
			next: allTables,
		},
		{
			Name: "line-rate", What: "frames in two packets whose IDs repeat, so that they leave encoded anew, as many as the endpoint can send; one queue",
			Flags: []string{"--queues", "1"},
			next:  costly,
		},
		{
			Name: "line-rate-limited", What: "the same, with endpoint_rate at 30,000 a second", Settings: []string{`endpoint_rate = "30000/s"`}, Flags: []string{"--queues", "1"},
			next: costly,
		},
	}
}

func allTables(m *maker) {
	m.path.Src = netip.AddrFrom4([4]byte{10, 48, 3, byte(1 + m.r.IntN(16))})
	m.path.SrcPort = uint16(m.r.Uint32()) | 0x8000 // both queues
	i := m.usual()
	switch i.sport = uint16(m.r.Uint32()); m.n % 6 {
	case 0, 1:
		i.payload = largest - 18 - 14 - 28
		m.piece(m.r.Uint32(), m.cached(i), largest, 0, segment)
		return
	case 2:
		i.mac, i.src = m.r.Uint32(), netip.AddrFrom4([4]byte{10, 128, byte(m.n >> 8), byte(m.n)})
	case 3:
		i.context += uint64(m.r.IntN(1 << 16))
	case 4:
		i.fragment, i.id = true, uint16(m.r.Uint32())
	case 5:
		i.dport = portDenied
	}
	m.whole(m.build(i))
}

// costly is what costs a worker more than the one who sends it.
func costly(m *maker) {
	i := m.usual()
	i.payload = 1500
	m.path.SrcPort = uint16(m.r.Uint32()) | 0x8000 // both queues
	m.whole(m.cached(i))
}

// cached is build for what is the same each time.
func (m *maker) cached(i inner) []byte {
	if m.large == nil {
		m.large = slices.Clone(m.build(i))
	}
	return m.large
}

// good sends what the rules accept: nine datagrams in a packet each, of 64 flows; one of
// a flow that begins; and one in three packets.
func good(m *maker) {
	i := inner{context: contextGood, mac: 1, src: innerClient, dst: innerServer, sport: uint16(1000 + m.n%64), dport: 443, payload: 40}
	switch m.n % 12 {
	case 3:
		i.sport = uint16(10_000 + m.n/12%50_000)
	case 7:
		i.payload = 4000
	}
	m.path.SrcPort = 0x8000 + i.sport%64
	m.whole(m.build(i))
}
