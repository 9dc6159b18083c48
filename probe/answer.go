package probe

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"

	"sttwall/endpoint"
	"sttwall/limit"
	"sttwall/stt"
)

// Limits of the answering side: of each remote, and of all together.
var (
	rateOfOne = limit.Rate{Events: 500, Per: time.Second, Burst: 500}
	rateOfAll = limit.Rate{Events: 2000, Per: time.Second, Burst: 1000}
	// bytesOfOne are bytes of STT frames.
	bytesOfOne = limit.Rate{Events: 16 << 20, Per: time.Second, Burst: 8 << 20}
)

// Answerer answers questions. The zero value is not ready.
type Answerer struct {
	context uint64
	all     *limit.Bucket

	mu    sync.Mutex
	peers map[netip.Addr]*peer
}

// peer is what is kept of a remote.
type peer struct {
	rate, bytes *limit.Bucket

	session                      uint64
	begun                        bool
	arrival, duplicates, limited uint32
	refused                      endpoint.Refused // when the session began
	window                       window
}

// NewAnswerer makes one for questions of a Context ID that come from remotes.
func NewAnswerer(context uint64, remotes []netip.Addr) *Answerer {
	a := &Answerer{context: context, all: limit.NewBucket(rateOfAll), peers: map[netip.Addr]*peer{}}
	for _, r := range remotes {
		a.peers[r] = &peer{rate: limit.NewBucket(rateOfOne), bytes: limit.NewBucket(bytesOfOne)}
	}
	return a
}

// respond takes a frame and fills in the answer to it. False: there is none. now is in
// ns. The caller gives the answer its frame ID and TTL, and bounds its MTU by that of the path.
func (a *Answerer) respond(now int64, f *endpoint.Arrival, m *message, r *report) bool {
	var q message
	var none report
	if open(f.Data, &q, &none) != nil || q.Kind != question || int(q.Length) != len(f.Data) || len(f.Data) < LeastFrame {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	p := a.peers[f.From]
	if p == nil {
		return false
	}
	if !p.begun || p.session != q.Session {
		*p = peer{rate: p.rate, bytes: p.bytes, session: q.Session, begun: true, refused: f.Refused}
	}
	p.arrival++
	if p.window.again(q.Sequence) {
		p.duplicates++
	}
	most := (len(f.Data) - headersLen - messageLen - reportLen) / packetLen
	*r = report{seen: look(f, a.context, &q, &none, min(most, mostPackets))}
	*m = message{
		Kind: answer, Full: q.Full, Session: q.Session, Sequence: q.Sequence, SrcPort: q.SrcPort, TOS: q.TOS, TCI: q.TCI,
		Length: uint16(headersLen + messageLen + reportLen + len(r.Packets)*packetLen),
	}
	if q.Full {
		m.Length = q.Length
	}
	// No smaller than the packets of the question: else there would be more of them.
	m.MTU = max(q.MTU, largestPacket(f))
	if !p.rate.Take(now, 1) || !p.bytes.Take(now, uint64(m.Length)) || !a.all.Take(now, 1) {
		p.limited++
		return false
	}
	r.Arrival, r.Duplicates, r.Limited = p.arrival, p.duplicates, p.limited
	r.BadChecksum, r.Refused = f.Refused.Checksum-p.refused.Checksum, f.Refused.Other-p.refused.Other
	return true
}

// Handle is the [endpoint.Service.Handle] of the answering side. An answer that cannot
// be sent is one that is lost: the other side counts it.
func (a *Answerer) Handle(e endpoint.Outlet, f *endpoint.Arrival) {
	var m message
	var r report
	if !a.respond(time.Now().UnixNano(), f, &m, &r) {
		return
	}
	mtu, err := e.PathMTU(f.From)
	if err != nil {
		return
	}
	m.FrameID, m.TTL, m.MTU = e.NextFrameID(), ttl, uint16(min(int(m.MTU), mtu))
	_ = ship(e, f.From, a.context, &m, &r)
}

// largestPacket is the length of the largest packet of a frame as it was on the wire.
func largestPacket(f *endpoint.Arrival) (most uint16) {
	headers := outerHeaders(f.From)
	for i := range f.Carriers {
		length := f.Carriers[i].Length
		if size := int(f.Carriers[i].GSOSize); size != 0 {
			length = size
		}
		most = max(most, uint16(min(length+headers, 65535)))
	}
	return most
}

// outerHeaders is the length of the outer headers of a packet in bytes.
func outerHeaders(a netip.Addr) int {
	path := stt.Path{Src: a}
	return path.HeaderLen()
}

// ttl is that of all packets of the probe, so that hops can be counted.
const ttl = 64

// ship sends a message as it describes itself.
func ship(s endpoint.Outlet, to netip.Addr, context uint64, m *message, r *report) error {
	return s.Send(&endpoint.Shipment{
		To: to, Frame: appendFrame(nil, context, m, r), FrameID: m.FrameID, SrcPort: m.SrcPort, TTL: m.TTL, TOS: m.TOS, MTU: int(m.MTU),
	})
}

// look says what has come of a frame whose message is m.
func look(f *endpoint.Arrival, context uint64, m *message, r *report, most int) seen {
	s := seen{FrameID: f.FrameID, Count: uint16(len(f.Carriers))}
	s.Header.Decode(f.Data)
	s.Changed = changedEther | changedIP | changedUDP | changedRest
	if len(f.Data) == int(m.Length) {
		s.Changed = differences(f.Data, context, m, r)
	}
	for i := range f.Carriers[:min(len(f.Carriers), most)] {
		c := &f.Carriers[i]
		s.Packets = append(s.Packets, outerPacket{
			Offset: uint16(c.Offset), Length: uint16(c.Length), FrameLength: c.FrameLength, GSOSize: c.GSOSize, TTL: c.TTL, TOS: c.TOS, SrcPort: c.SrcPort,
			Window: c.Window, Urgent: c.Urgent, Flags: c.Flags, Data: c.DataOffset<<4 | c.Reserved, DF: c.DontFragment,
		})
	}
	return s
}

// ServiceOf makes the answering side of an endpoint. The Context ID must belong to no
// port; at least one remote is needed.
func ServiceOf(context uint64, remotes []endpoint.Remote) (endpoint.Service, error) {
	var list []netip.Addr
	for i := range remotes {
		r := &remotes[i]
		if len(r.Contexts) == 0 || contains(r.Contexts, context) {
			list = append(list, r.Addr)
		}
	}
	if len(list) == 0 {
		return endpoint.Service{}, fmt.Errorf("answers to probes of Context ID %d: %w", context, errNobody)
	}
	return endpoint.Service{ContextID: context, Handle: NewAnswerer(context, list).Handle, Torn: true}, nil
}

var errNobody = errors.New("no remote has it")

func contains(list []uint64, context uint64) bool {
	for _, c := range list {
		if c == context {
			return true
		}
	}
	return false
}

// window remembers which sequences have come, of the last 1,024 (RFC 6479 does it so).
// An older one counts as new.
type window struct {
	bits [16]uint64
	top  uint32 // the highest one, plus 1
}

// again reports whether a sequence has come before, and notes it.
func (w *window) again(sequence uint32) bool {
	const size = uint32(len(window{}.bits) * 64)
	if sequence >= w.top {
		for s := max(w.top, sequence-min(sequence, size)); s < sequence; s++ {
			w.bits[s/64%16] &^= 1 << (s % 64)
		}
		w.top = sequence + 1
		w.bits[sequence/64%16] &^= 1 << (sequence % 64)
	} else if w.top-sequence > size {
		return false
	}
	bit := uint64(1) << (sequence % 64)
	before := w.bits[sequence/64%16]&bit != 0
	w.bits[sequence/64%16] |= bit
	return before
}
