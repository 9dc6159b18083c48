package endpoint

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"sttwall/reassembly"
	"sttwall/stt"
)

// noted is how many packets' headers are kept until their frame is whole. Of
// those that are overwritten before, the frame has no carrier.
const noted = 4096

// services hands frames to the services. It is the receiver's.
type services struct {
	endpoint *Endpoint
	handlers map[uint64]*Service
	ring     []note
	next     uint64 // number of the next packet
	header   stt.FrameHeader
	arrival  Arrival
}

// note is what is kept of a packet.
type note struct {
	number uint64
	Carrier
}

func newServices(e *Endpoint) *services {
	s := &services{endpoint: e, handlers: map[uint64]*Service{}, ring: make([]note, noted)}
	for i := range e.cfg.Services {
		c := &e.cfg.Services[i]
		s.handlers[c.ContextID] = c
	}
	return s
}

// note keeps the headers of a decoded packet, and returns its number.
func (s *services) note(seg *stt.Segment, packet []byte, v *vnetHeader) uint64 {
	s.next++
	n := &s.ring[s.next%noted]
	*n = note{number: s.next, Carrier: Carrier{
		Offset: int(seg.Offset), Length: seg.PayloadLen, FrameLength: seg.FrameLength, GSOSize: v.gsoSize, TTL: seg.TTL, TOS: seg.TOS, DontFragment: seg.DontFragment, SrcPort: seg.SrcPort,
		DataOffset: packet[seg.HeaderLen+12] >> 4, Reserved: seg.Reserved, Flags: seg.Flags, Window: seg.Window, Urgent: seg.Urgent,
	}}
	return s.next
}

// handle reports whether the frame was for a service.
func (s *services) handle(f *reassembly.Frame, from *remote) bool {
	service := s.find(f.Data, from)
	if service == nil {
		return false
	}
	a := &s.arrival
	*a = Arrival{From: from.addr, FrameID: f.FrameID, Data: f.Data, Carriers: a.Carriers[:0], Refused: from.refused}
	for i := range f.Packets {
		p := &f.Packets[i]
		if n := &s.ring[p.ID%noted]; n.number == p.ID {
			c := n.Carrier
			c.Offset, c.Length = p.Offset, p.Length
			a.Carriers = append(a.Carriers, c)
		}
	}
	service.Handle(s.endpoint, a)
	return true
}

// find returns the service that a frame of a remote is for, or nil.
func (s *services) find(frame []byte, from *remote) *Service {
	if !s.header.Decode(frame) || !from.has(s.header.ContextID) {
		return nil
	}
	return s.handlers[s.header.ContextID]
}

// torn hands a packet on that does not hold a whole frame, if a service wants it. number
// is that of its note.
func (s *services) torn(seg *stt.Segment, from *remote, number uint64) {
	if seg.WholeFrame() {
		return
	}
	service := s.find(seg.Payload, from)
	if service == nil || !service.Torn {
		return
	}
	a := &s.arrival
	*a = Arrival{
		From: from.addr, FrameID: seg.FrameID, Data: seg.Payload, Torn: true,
		Carriers: append(a.Carriers[:0], s.ring[number%noted].Carrier), Refused: from.refused,
	}
	service.Handle(s.endpoint, a)
}

// direct sends frames that did not come from a port. Any goroutine may.
type direct struct {
	mu      sync.Mutex
	t       *transmitter
	remotes map[netip.Addr]*remote
}

func newDirect(cfg *Config, underlay *channel, remotes []*remote, c *counters, s *sequence) *direct {
	d := &direct{remotes: map[netip.Addr]*remote{}, t: newTransmitter(cfg, nil, underlay, c, s)}
	d.t.arena = make([]byte, 0, 1<<18)
	for _, r := range remotes {
		d.remotes[r.addr] = r
	}
	return d
}

// NextFrameID is that of an [Outlet].
func (e *Endpoint) NextFrameID() uint32 { return e.sequence.frameID.Add(1) }

var errNoHop = errors.New("there is no way to it at the moment")

func (d *direct) hop(to netip.Addr) (*hop, error) {
	r := d.remotes[to]
	if r == nil {
		return nil, fmt.Errorf("%s is no remote of the endpoint", to)
	}
	h := r.hop.Load()
	if h == nil {
		return nil, fmt.Errorf("%s: %w", to, errNoHop)
	}
	return h, nil
}

// PathMTU is that of an [Outlet].
func (e *Endpoint) PathMTU(to netip.Addr) (int, error) {
	h, err := e.direct.hop(to)
	if err != nil {
		return 0, err
	}
	return h.mtu, nil
}

// Send is that of an [Outlet].
func (e *Endpoint) Send(s *Shipment) error {
	d := e.direct
	h, err := d.hop(s.To)
	if err != nil {
		return err
	}
	path := stt.Path{
		Src: e.cfg.Local, Dst: s.To, SrcPort: s.SrcPort, DstPort: e.cfg.STTPort, TTL: s.TTL, TOS: s.TOS, DontFragment: true,
	}
	if path.TTL == 0 {
		path.TTL = e.cfg.TTL
	}
	mtu := s.MTU
	if mtu == 0 {
		mtu = h.mtu
	}
	size := mtu - path.HeaderLen()
	if size <= 0 || len(s.Frame) > maxInner(e.cfg.Local)+stt.FrameHeaderLen {
		return fmt.Errorf("frame of %d bytes in packets of %d: does not go", len(s.Frame), mtu)
	}
	packets := uint32((len(s.Frame) + size - 1) / size)
	path.ID = uint16(e.sequence.ipID.Add(packets) - packets + 1)

	d.mu.Lock()
	defer d.mu.Unlock()
	t := d.t
	t.counters.framesOut.Add(1)
	t.counters.bytesOut.Add(uint64(len(s.Frame) - stt.FrameHeaderLen))
	t.prepare(h, s.To)
	if e.cfg.Segmentation == SegmentMTU || packets == 1 {
		t.sendSegments(&path, s.FrameID, s.Frame, mtu)
	} else {
		t.offload(&path, true, size)
		t.enqueue(stt.AppendSegment(t.arena, &path, &stt.Piece{
			FrameID: s.FrameID, FrameLength: len(s.Frame), Payload: s.Frame, Checksum: stt.ChecksumPartial,
		}))
	}
	t.flush()
	return errors.Join(t.refused, t.fatal)
}
