package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"

	"tailscale.com/net/flowtrack"
	"tailscale.com/types/ipproto"

	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/reason"
)

// flowContests: a packet of an established UDP flow, of so many flows in no order;
// it is counted in what is found. sttwall begins with the bytes of the packet, and
// also holds it against the endpoint, the context ID and the rules of its flow; the
// peers begin with addresses and ports, or, as _headers, with the same bytes: that is
// like for like. sttwall takes the packets in batches, as its worker does,
// sttwall_single one by one; sttwall_general is the way of packets that are not plain.
func flowContests(at *place) ([]*contest, error) {
	sizes := []int{1, 1000, 1_000_000}
	if at.quick {
		sizes = []int{1, 1000, 100_000}
	}
	var out []*contest
	for _, n := range sizes {
		o, err := newOurFlows(n)
		if err != nil {
			return nil, err
		}
		m, l := newMapFlows(n), newCacheFlows(n)
		out = append(out, &contest{job: fmt.Sprintf("udp/flows=%d", n), units: 1, contestants: []contestant{
			{variant: ours, run: o.batches},
			{variant: "sttwall_single", run: o.singly},
			{variant: "sttwall_general", run: o.generally},
			{variant: "go_map", run: m.run},
			{variant: "go_map_headers", run: m.headers},
			{variant: "tailscale_flowtrack", run: l.run},
			{variant: "flowtrack_headers", run: l.headers},
		}})
	}
	return out, nil
}

// order gives the numbers of flows as they come, by a generator with a period far
// longer than a cache is large (Marsaglia, Xorshift RNGs, 2003).
type order struct {
	state uint64
	flows uint64
}

func newOrder(flows int) order { return order{0x9e3779b97f4a7c15, uint64(flows)} }

func (o *order) next() int {
	o.state ^= o.state << 13
	o.state ^= o.state >> 7
	o.state ^= o.state << 17
	return int(o.state >> 32 * o.flows >> 32)
}

// ends are the inner addresses and ports of a flow.
func ends(flow int) (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 1, byte(flow >> 12), byte(flow >> 4)}), uint16(flow)),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, 2}), uint16(flow>>16))
}

const bytesOfPacket = 150

type ourFlows struct {
	table *conntrack.Table
	order order
	plain [conntrack.ExpectAtOnce]plainPacket
	// The general way has packets that were taken apart.
	packets []conntrack.Packet
	frames  []inspect.Frame
	keys    []conntrack.Key
}

// plainPacket is what the firewall knows of a packet when it asks for its flow: the
// bytes of its inner headers, and where it came from.
type plainPacket struct {
	headers [20 + 8]byte
	conntrack.Plain
}

func newOurFlows(flows int) (*ourFlows, error) {
	table, err := conntrack.New(conntrack.Config{MaxFlows: flows})
	if err != nil {
		return nil, err
	}
	o := &ourFlows{
		table: table, order: newOrder(flows),
		packets: make([]conntrack.Packet, conntrack.ExpectAtOnce), frames: make([]inspect.Frame, conntrack.ExpectAtOnce),
		keys: make([]conntrack.Key, conntrack.ExpectAtOnce),
	}
	udp := udpFrame4.bytes(bytesOfPacket)
	for i := range o.packets {
		f := &o.frames[i]
		if f.Decode(udp, len(udp), 0, inspect.NoTag) != reason.None {
			return nil, errRefused
		}
		o.packets[i] = conntrack.Packet{Context: 1, To: netip.MustParseAddr("192.0.2.99"), Frame: f, Data: udp, Bytes: bytesOfPacket, Trusted: true}
	}
	for i := range o.plain {
		p := &o.plain[i]
		copy(p.headers[:], udp[14:])
		p.Context, p.Bytes, p.Trusted = 1, bytesOfPacket, true
	}
	for i := range flows {
		p := &o.packets[0]
		aim(p, i)
		var r conntrack.Result
		if table.Create(1, 1, p, &conntrack.Creation{}, &r); r.State != conntrack.StateOriginal {
			return nil, fmt.Errorf("flow %d: %v, %v", i, r.State, r.Reason)
		}
	}
	return o, nil
}

// aim makes a packet one of that flow.
func aim(p *conntrack.Packet, flow int) {
	src, dst := ends(flow)
	f := p.Frame
	f.Src, f.Dst, f.SrcPort, f.DstPort = src.Addr(), dst.Addr(), src.Port(), dst.Port()
	p.From = netip.AddrFrom4(endpointOf(flow))
}

const endpoints = 8 // none has more than its share

// endpointOf spreads the flows over the endpoints.
func endpointOf(flow int) [4]byte { return [4]byte{192, 0, 2, byte(flow % endpoints)} }

// mappedEndpoints are the endpoints as IPv4-mapped addresses.
var mappedEndpoints = func() (out [endpoints][16]byte) {
	for i := range out {
		out[i] = netip.AddrFrom4(endpointOf(i)).As16()
	}
	return out
}()

// aim makes a packet one of that flow.
func (p *plainPacket) aim(flow int) {
	src, dst := ends(flow)
	s, d := src.Addr().As4(), dst.Addr().As4()
	copy(p.headers[12:], s[:])
	copy(p.headers[16:], d[:])
	binary.BigEndian.PutUint32(p.headers[20:], uint32(src.Port())<<16|uint32(dst.Port()))
	p.From = mappedEndpoints[flow%endpoints]
}

// ends reads the inner addresses and ports.
func (p *plainPacket) ends() (src, dst netip.AddrPort) {
	h := &p.headers
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[12:16])), binary.BigEndian.Uint16(h[20:])),
		netip.AddrPortFrom(netip.AddrFrom4([4]byte(h[16:20])), binary.BigEndian.Uint16(h[22:]))
}

// read hands the headers to the table.
func (o *ourFlows) read(p *plainPacket) {
	p.aim(o.order.next())
	o.table.ReadPlain(&p.Plain, p.headers[:20], p.headers[20:])
}

// batches does as the firewall does: it reads a batch, expects what it will need, and
// tracks it.
func (o *ourFlows) batches(n int) error {
	for n > 0 {
		batch := o.plain[:min(n, len(o.plain))]
		for i := range batch {
			o.read(&batch[i])
			o.table.ExpectSlot(&batch[i].Plain)
		}
		for i := range batch {
			o.table.ExpectEntry(&batch[i].Plain)
		}
		for i := range batch {
			if err := o.track(&batch[i]); err != nil {
				return err
			}
		}
		n -= len(batch)
	}
	return nil
}

func (o *ourFlows) singly(n int) error {
	for range n {
		o.read(&o.plain[0])
		if err := o.track(&o.plain[0]); err != nil {
			return err
		}
	}
	return nil
}

func (o *ourFlows) track(p *plainPacket) error {
	var r conntrack.Result
	if o.table.TrackPlain(1, 1, &p.Plain, &r); r.State != conntrack.StateOriginal {
		return errRefused
	}
	return nil
}

// generally is batches for packets that were taken apart by package inspect.
func (o *ourFlows) generally(n int) error {
	for n > 0 {
		batch := o.packets[:min(n, len(o.packets))]
		for i := range batch {
			aim(&batch[i], o.order.next())
		}
		if o.table.Cold() {
			for i := range batch {
				o.keys[i], _ = conntrack.KeyOf(&batch[i])
			}
			o.table.Expect(o.keys[:len(batch)])
		}
		for i := range batch {
			var r conntrack.Result
			if o.table.Track(1, 1, &batch[i], &r); r.State != conntrack.StateOriginal {
				return errRefused
			}
		}
		n -= len(batch)
	}
	return nil
}

// counted is what the peers keep of a flow.
type counted struct {
	packets, bytes uint64
	last           int64
}

// mapFlows is a map with a lock, as one writes it first.
type mapFlows struct {
	mu    sync.Mutex
	flows map[mapKey]*counted
	order order
	// packet is for those who begin with headers.
	packet plainPacket
}

type mapKey struct {
	context          uint64
	src, dst         netip.Addr
	srcPort, dstPort uint16
	protocol         uint8
}

func keyOf(src, dst netip.AddrPort) mapKey {
	return mapKey{1, src.Addr(), dst.Addr(), src.Port(), dst.Port(), uint8(ipproto.UDP)}
}

func newMapFlows(n int) *mapFlows {
	m := &mapFlows{flows: make(map[mapKey]*counted, n), order: newOrder(n)}
	for i := range n {
		m.flows[keyOf(ends(i))] = new(counted)
	}
	return m
}

func (m *mapFlows) run(n int) error {
	for range n {
		if !m.count(keyOf(ends(m.order.next()))) {
			return errRefused
		}
	}
	return nil
}

func (m *mapFlows) headers(n int) error {
	for range n {
		m.packet.aim(m.order.next())
		if !m.count(keyOf(m.packet.ends())) {
			return errRefused
		}
	}
	return nil
}

// count counts a packet; false if there is no such flow.
func (m *mapFlows) count(k mapKey) bool {
	m.mu.Lock()
	c := m.flows[k]
	if c == nil {
		m.mu.Unlock()
		return false
	}
	c.packets, c.bytes, c.last = c.packets+1, c.bytes+bytesOfPacket, 1
	m.mu.Unlock()
	return true
}

// cacheFlows is tailscale's cache behind a lock, as its filter has it, but for the
// bound of 512 flows there.
type cacheFlows struct {
	mu    sync.Mutex
	flows flowtrack.Cache[counted]
	order order
	// packet is for those who begin with headers.
	packet plainPacket
}

func newCacheFlows(n int) *cacheFlows {
	l := &cacheFlows{order: newOrder(n)}
	for i := range n {
		src, dst := ends(i)
		l.flows.Add(flowtrack.MakeTuple(ipproto.UDP, src, dst), counted{})
	}
	return l
}

func (l *cacheFlows) run(n int) error {
	for range n {
		if !l.count(ends(l.order.next())) {
			return errRefused
		}
	}
	return nil
}

func (l *cacheFlows) headers(n int) error {
	for range n {
		l.packet.aim(l.order.next())
		if !l.count(l.packet.ends()) {
			return errRefused
		}
	}
	return nil
}

// count counts a packet; false if there is no such flow.
func (l *cacheFlows) count(src, dst netip.AddrPort) bool {
	k := flowtrack.MakeTuple(ipproto.UDP, src, dst)
	l.mu.Lock()
	c, ok := l.flows.Get(k)
	if !ok {
		l.mu.Unlock()
		return false
	}
	c.packets, c.bytes, c.last = c.packets+1, c.bytes+bytesOfPacket, 1
	l.mu.Unlock()
	return true
}
