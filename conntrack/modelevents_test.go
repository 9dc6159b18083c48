package conntrack_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

// source gives numbers to a sequence: random, or the bytes of a fuzzer.
type source func(n int) int

func one[T any](next source, of ...T) T { return of[next(len(of))] }

func (next source) oneIn(n int) bool { return next(n) == n-1 }

func (next source) uint32() uint32 { return uint32(next(1<<16))<<16 | uint32(next(1<<16)) }

var (
	modelHosts4 = []netip.Addr{clientV4, serverV4, mustAddr("10.1.0.7")}
	modelHosts6 = []netip.Addr{mustAddr("2001:db8::9"), mustAddr("2001:db8::1")}
	modelGroups = []netip.Addr{mustAddr("224.0.0.5"), mustAddr("255.255.255.255")}
	modelEnds   = []netip.Addr{endpointA, endpointB, endpointC}
)

const ovnTenant = 2 // the others have the plain layout

// fresh is a packet out of nothing.
func (next source) fresh() (e event) {
	e = event{
		tenant: int32(next(3)), protocol: one[uint8](next, 6, 6, 6, 6, 17, 17, 1, 1, 47, 132),
		from: modelEnds[next(3)], to: modelEnds[next(3)], trusted: !next.oneIn(8), anyEndpoint: next.oneIn(16), loose: next.oneIn(8),
		mayMove: next.oneIn(6),
	}
	hosts := modelHosts4
	if next.oneIn(5) {
		hosts = modelHosts6
		if e.protocol == 1 {
			e.protocol = 58
		}
	}
	e.src, e.dst = hosts[next(len(hosts))], hosts[next(len(hosts))]
	e.ovn = e.tenant == ovnTenant
	e.context = one[uint64](next, 100, 100, 101, 0)
	for range one(next, 0, 0, 0, 1, 2) {
		e.vlans = append(e.vlans, one[uint16](next, 7, 7|5<<13, 8, 5<<13))
	}
	e.vlans = readable(e.vlans)
	if next.oneIn(12) {
		e.to = mustAddr("239.0.0.1")
	}
	if next.oneIn(40) && e.src.Is4() {
		e.dst = modelGroups[next(2)]
	}
	switch {
	case e.protocol == 6:
		e.srcPort, e.dstPort = uint16(1+next(2)), uint16(1+next(2))
		e.tcp = modelSegment{seq: next.uint32(), ack: next.uint32(), flags: inspect.SYN, scale: one(next, -1, 0, 7, 14, 15), window: next.window()}
		if next.oneIn(6) {
			e.tcp.flags = next.flags()
		}
	case e.hasPorts():
		e.srcPort, e.dstPort = uint16(1+next(2)), uint16(1+next(2))
	case e.protocol == 58:
		e.srcPort, e.dstPort = uint16(next(2)), one[uint16](next, 128, 128, 129, 135)
	case e.isICMP():
		e.srcPort, e.dstPort = uint16(next(2)), one[uint16](next, 8, 8, 0, 13, 14, 15, 16, 17, 18, 4, 5)
	}
	return e
}

func (next source) window() uint16 { return one[uint16](next, 65535, 500, 1, 0, 64240) }

func (next source) flags() uint16 {
	const ack = inspect.ACK
	return one[uint16](next, ack, ack|inspect.PSH, inspect.SYN, inspect.SYN|ack, inspect.FIN|ack, inspect.RST, inspect.RST|ack, ack|inspect.URG,
		0, inspect.FIN, inspect.SYN|inspect.FIN, inspect.SYN|inspect.RST)
}

// follow is a packet of a flow, or nearly.
func (next source) follow(f *modelFlow) event {
	e := f.first
	dir := next(2)
	if dir == 1 {
		e = e.turned()
	}
	e.context = f.contexts[dir]
	if e.ovn && (dir == 1 && !f.replied || next.oneIn(6)) {
		e.context = uint64(200 + next(3))
	}
	if f.ends[dir].IsValid() {
		e.from = f.ends[dir]
	} else {
		e.from = modelEnds[next(3)]
	}
	if e.to = f.ends[1-dir]; !e.to.IsValid() {
		e.to = modelEnds[next(3)]
	}
	e.trusted, e.anyEndpoint, e.loose, e.later = !next.oneIn(10), next.oneIn(20), next.oneIn(10), false
	e.mayMove = next.oneIn(6)
	if e.protocol == 6 {
		e.tcp = next.segment(f, dir)
		e.tcp.first = e.tcp.first && e.src.Is4()
	}
	switch next(32) { // an impostor, or a neighbour
	case 1, 2, 3:
		e.from = modelEnds[next(3)]
	case 4:
		e.tenant = int32(next(3))
		e.ovn = e.tenant == ovnTenant
	case 5:
		e.context++
	case 6:
		e.vlans = append(slices.Clone(e.vlans), one[uint16](next, 9, 1<<13))[next(2):]
		e.vlans = readable(e.vlans[:min(len(e.vlans), inspect.MaxTags)])
	case 7:
		e.srcPort++
	case 8:
		e.later = e.src.Is4()
	case 9:
		for i := range e.vlans {
			e.vlans = slices.Clone(e.vlans)
			e.vlans[i] ^= 3 << 13 // another priority is no other network
		}
	case 10, 11:
		if kind, reply, _ := e.request(); e.isICMP() && reply {
			e.dstPort = kind // a question from the one who was asked
		} else if e.isICMP() {
			e.dstPort = e.turned().dstPort // an answer from the one who asks
		}
	}
	return e
}

// turned is a packet the other way.
func (e event) turned() event {
	e.src, e.dst, e.from, e.to = e.dst, e.src, e.to, e.from
	switch {
	case e.protocol == 58:
		e.dstPort = 129
	case e.isICMP():
		kind, _, _ := e.request()
		if e.dstPort = kind + 1; kind == 8 {
			e.dstPort = 0
		}
	default:
		e.srcPort, e.dstPort = e.dstPort, e.srcPort
	}
	return e
}

// segment is what the side would send next, or something at an edge.
func (next source) segment(f *modelFlow, dir int) modelSegment {
	s, r := &f.sides[dir], &f.sides[1-dir]
	const ack = inspect.ACK
	g := modelSegment{seq: uint32(s.sent), ack: uint32(r.sent), flags: ack, window: next.window(), scale: -1, payload: one(next, 0, 0, 1, 100, 500)}
	switch {
	case f.status == "syn_sent" && dir == 1:
		g = modelSegment{seq: next.uint32(), ack: uint32(r.sent), flags: inspect.SYN | ack, window: next.window(), scale: one(next, -1, 0, 7, 14)}
		switch next(12) {
		case 1:
			g.flags = inspect.RST | ack
		case 2:
			g.flags = inspect.SYN
		case 3:
			g.flags = ack
		}
	case f.status == "syn_sent" || f.status == "syn_received" && next.oneIn(5):
		g.flags, g.scale, g.payload = inspect.SYN, one(next, -1, 7), 0
		if g.seq = uint32(s.first); next.oneIn(4) {
			g.seq, g.payload = g.seq+uint32(next(3))-1, next(2)*10
		}
		if f.challenged && next.oneIn(2) {
			g.flags, g.seq = inspect.RST, f.challenge+uint32(next(6)/5)
		}
	case f.status == "close" || f.status == "time_wait":
		if next.oneIn(3) {
			g.flags, g.seq, g.scale = inspect.SYN, next.uint32(), 7
		}
	case r.done && next(2) == 0 || next.oneIn(6):
		g.flags |= inspect.FIN
		if s.done { // again
			g.seq, g.payload = g.seq-1, 0
		}
	case next.oneIn(30):
		g.flags, g.payload = inspect.RST, 0
	}
	if next(3) == 0 {
		next.edge(&g, s, r)
	}
	if next.oneIn(20) {
		// The first of several fragments, whole words of eight bytes behind the
		// IP header.
		g.first = true
		g.payload = g.payload/8*8 + (8-g.headerLen()%8)%8
	}
	return g
}

// edge moves a segment to where rules change.
func (next source) edge(g *modelSegment, s, r *modelSide) {
	at := func(numbers ...int64) uint32 { return uint32(one(next, numbers...)) + uint32(next(3)) - 1 }
	if next(2) == 0 {
		g.seq = at(s.sent, s.room, s.room+1, s.sent-r.window, s.sent-r.window-int64(g.payload), s.sent-r.window-1, r.acked, s.first, s.fin)
	}
	if next(2) == 0 {
		g.ack = at(r.sent, r.room, r.sent-rooij, r.sent-rooij-1, r.sent-s.window, r.sent-s.window-1, s.acked, r.fin, r.first, r.first+1)
	}
	switch next(8) {
	case 1:
		g.flags = next.flags()
	case 2:
		g.hasSACK, g.sack = true, at(r.sent, r.room, r.sent+1, int64(g.ack)+10)
	case 3:
		g.seq = next.uint32()
	case 4:
		g.ack = next.uint32()
	case 5:
		g.payload = 1400
	}
}

func (g *modelSegment) options() (o []byte) {
	if g.scale >= 0 {
		o = append(o, 1, 3, 3, byte(g.scale))
	}
	if g.hasSACK {
		o = append(o, 1, 1, 5, 10)
		o = binary.BigEndian.AppendUint32(o, g.sack-1)
		o = binary.BigEndian.AppendUint32(o, g.sack)
	}
	return o
}

func (g *modelSegment) headerLen() int { return 20 + len(g.options()) }

// complain is an ICMP error about a packet of a flow.
func (next source) complain(f *modelFlow) event {
	q := next.follow(f)
	q.quoted = nil
	e := event{
		tenant: q.tenant, ovn: q.ovn, context: f.first.context, vlans: q.vlans, protocol: 1, src: q.dst, dst: q.src,
		dstPort: one[uint16](next, 3, 11, 12), from: q.to, to: q.from, trusted: true, anyEndpoint: next.oneIn(16), quoted: &q,
	}
	if q.src.Is6() {
		e.protocol, e.dstPort = 58, one[uint16](next, 1, 2, 3, 4)
	}
	switch next(10) {
	case 1:
		e.dst = q.dst
	case 2:
		e.from = modelEnds[next(3)]
	case 3:
		if e.src.Is4() {
			e.src = mustAddr("10.1.0.254") // a router on the way
		}
	case 4:
		e.context++
	}
	return e
}

// layer4 returns the bytes behind the IP header.
func (e *event) layer4() []byte {
	switch {
	case e.protocol == 6:
		g := &e.tcp
		return tcpBytes(e.srcPort, e.dstPort, g.seq, g.ack, inspect.ACK, g.window, g.options(), g.payload)
	case e.protocol == 17:
		return udpBytes(e.srcPort, e.dstPort, 0)
	case e.protocol == 132:
		b := make([]byte, 12)
		binary.BigEndian.PutUint16(b[0:], e.srcPort)
		binary.BigEndian.PutUint16(b[2:], e.dstPort)
		return b
	case e.quoted != nil:
		b := icmpBytes(byte(e.dstPort), 0, 0, e.quoted.ip()...)
		clear(b[4:8])
		return b
	case e.isICMP():
		return icmpBytes(byte(e.dstPort), 0, e.srcPort, make([]byte, 16)...) // as long as neighbour discovery wants it
	}
	return make([]byte, 4)
}

func (e *event) ip() []byte {
	b := ipBytes(e.src, e.dst, e.protocol, e.layer4())
	switch {
	case e.later:
		b[6], b[7] = 0, 100
	case e.protocol == 6 && e.tcp.first && e.src.Is4():
		b[6] = 0x20 // more fragments
	}
	return b
}

func (e *event) packet(tb testing.TB) *conntrack.Packet {
	data := []byte{2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1}
	tci, tagged := uint16(0), inspect.NoTag
	for i, tag := range e.vlans {
		if i == 0 {
			tci, tagged = tag, inspect.Tagged(true) // in the tunnel's header
			continue
		}
		data = append(data, 0x81, 0, byte(tag>>8), byte(tag))
	}
	if e.src.Is6() {
		data = append(data, 0x86, 0xdd)
	} else {
		data = append(data, 8, 0)
	}
	data = append(data, e.ip()...)
	p := &conntrack.Packet{
		Tenant: e.tenant, OVN: e.ovn, Context: e.context, From: e.from, To: e.to, Frame: new(inspect.Frame),
		Data: data, Bytes: len(data), Trusted: e.trusted, AnyEndpoint: e.anyEndpoint, Loose: e.loose, MayMove: e.mayMove,
	}
	if why := p.Frame.Decode(data, len(data), tci, tagged); why != reason.None {
		tb.Fatalf("the test's frame of %+v: %v: %x", e, why, data)
	}
	if p.Frame.HasTCP {
		p.Frame.TCPFlags = e.tcp.flags // also those that Decode refuses
	}
	return p
}

// readable leaves a tag without a VLAN ID out where another one is behind it: package
// inspect reads no such frame.
func readable(tags []uint16) []uint16 {
	for len(tags) > 1 && tags[0]&0xfff == 0 {
		tags = tags[1:]
	}
	return tags
}
