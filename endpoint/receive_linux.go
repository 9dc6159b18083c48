package endpoint

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"sttwall/reason"
	"sttwall/reassembly"
	"sttwall/stt"
)

const underlayBatch = 16

// receiver takes packets from the underlay to the tenants. One goroutine at a
// time; the reassembler is its own.
type receiver struct {
	reader   *reader
	networks map[uint64]*network
	remotes  map[netip.Addr]*remote
	counters *counters
	ports    []uint16
	now      func() int64 // ns

	reassembler *reassembly.Reassembler
	armed       bool // a read deadline is set for the oldest frame
	segment     stt.Segment
	piece       reassembly.Segment
	delivery    delivery
	writer      writer
	services    *services // nil: none
	local       netip.Addr
}

func newReceiver(cfg *Config, underlay *channel, networks map[uint64]*network, remotes []*remote, c *counters, now func() int64) (*receiver, error) {
	r := &receiver{
		reader: newReader(underlay, underlayBatch, headerLen6, maxRead), local: cfg.Local,
		networks: networks, remotes: map[netip.Addr]*remote{}, counters: c,
		ports: []uint16{cfg.STTPort}, now: now,
	}
	for _, other := range remotes {
		r.remotes[other.addr] = other
	}
	r.writer.init()
	var err error
	r.reassembler, err = reassembly.New(reassembly.Config{
		Memory: cfg.ReassemblyMemory, Timeout: cfg.ReassemblyTimeout,
	}, r)
	if err != nil {
		return nil, fmt.Errorf("reassembly: %w", err)
	}
	return r, nil
}

// run receives until the socket is closed.
func (r *receiver) run() error {
	for {
		n, err := r.reader.receive()
		now := r.now()
		switch {
		case err == nil:
			for i := range n {
				r.packet(i, now)
			}
		case errors.Is(err, os.ErrDeadlineExceeded):
			r.reassembler.Expire(now)
			r.armed = false
			if err := r.reader.file.SetReadDeadline(time.Time{}); err != nil {
				return fmt.Errorf("receive from underlay: %w", err)
			}
		case !transient(err):
			return fmt.Errorf("receive from underlay: %w", err)
		}
		if err := r.arm(now); err != nil {
			return err
		}
	}
}

// arm makes the next receive end when the oldest incomplete frame is to be
// given up. A deadline that is set stays until its time, though the frame may
// be whole by then: setting it is dearer than looking in vain now and then.
func (r *receiver) arm(now int64) error {
	deadline, waiting := r.reassembler.NextDeadline()
	if r.armed || !waiting {
		return nil
	}
	r.armed = true
	if err := r.reader.file.SetReadDeadline(time.Now().Add(time.Duration(deadline - now))); err != nil {
		return fmt.Errorf("receive from underlay: %w", err)
	}
	return nil
}

// packet takes in the i-th packet of a batch.
func (r *receiver) packet(i int, now int64) {
	r.counters.packetsIn.Add(1)
	packet, v, ok := r.received(i)
	if !ok {
		r.counters.drop(DropTruncated)
		return
	}
	s := &r.segment
	if why := s.Decode(packet, len(packet), r.ports); why != reason.None && !taken(why, s) {
		r.refuse(why)
		if from := r.remotes[s.Src]; from != nil {
			from.refused.Other++
		}
		return
	}
	from := r.remotes[s.Src]
	if from == nil {
		r.counters.drop(DropUnknownRemote)
		return
	}
	// With a partial checksum the packet never met a wire.
	if v.flags&(vnetNeedsChecksum|vnetDataValid) == 0 && !s.ChecksumGood(packet) {
		r.refuse(reason.SegmentChecksum)
		from.refused.Checksum++
		return
	}
	r.piece = reassembly.Segment{
		Src: s.Src, Dst: s.Dst, SrcPort: s.SrcPort, DstPort: s.DstPort, FrameID: s.FrameID,
		FrameLength: int(s.FrameLength), Offset: int(s.Offset), Payload: s.Payload,
	}
	r.piece.Packet.TOS = s.TOS
	if r.services != nil {
		r.piece.Packet.ID = r.services.note(s, packet, &v)
		r.services.torn(s, from, r.piece.Packet.ID)
	}
	if f := r.reassembler.Add(now, &r.piece); f != nil {
		r.frame(f, from, now)
	}
}

// received returns the i-th packet of a batch, from its IP header on.
func (r *receiver) received(i int) (packet []byte, v vnetHeader, ok bool) {
	if r.reader.medium == ipMedium {
		return r.reader.ipPacket(i, r.local)
	}
	buf, end, v, ok := r.reader.frame(i)
	if !ok || end-r.reader.front < etherHeaderLen {
		return nil, v, false
	}
	return buf[r.reader.front+etherHeaderLen : end], v, true
}

// taken reports whether receivers take a segment that a firewall refuses: the
// Linux one looks at no TCP flag and not at the data offset.
func taken(why reason.Reason, s *stt.Segment) bool {
	return (why == reason.SegmentFlags || why == reason.SegmentMalformed) && s.Payload != nil
}

func (r *receiver) refuse(why reason.Reason) { r.counters.refused[why].Add(1) }

// Dropped counts what reassembly gave up. It is for the reassembler alone.
func (r *receiver) Dropped(d *reassembly.Dropped) {
	r.counters.refused[d.Reason].Add(uint64(len(d.Packets)))
}

// frame hands a whole frame to the tenant that it is for.
func (r *receiver) frame(f *reassembly.Frame, from *remote, now int64) {
	r.counters.framesIn.Add(1)
	if r.services != nil && r.services.handle(f, from) {
		return
	}
	d := &r.delivery
	if drop := d.decapsulate(f.Data, congested(f.Packets)); drop != DropNone {
		r.counters.drop(drop)
		return
	}
	n := r.networks[d.header.ContextID]
	if n == nil {
		r.counters.drop(DropUnknownContext)
		return
	}
	if !from.has(d.header.ContextID) {
		r.counters.drop(DropUnknownRemote)
		return
	}
	p := n.portFor(d.header.TCI)
	if p == nil {
		r.counters.drop(DropUnknownContext)
		return
	}
	n.macs.learn(macKey{mac: [6]byte(d.frame[6:]), vlan: d.vlan()}, from, now)
	if p.TCI == 0 && d.header.TCI != 0 {
		d.tag()
	}
	if !r.writer.write(p, d) {
		r.counters.drop(DropDeliver)
		return
	}
	r.counters.bytesIn.Add(uint64(len(d.frame)))
}

// congested reports whether any of the packets was marked CE (RFC 3168).
func congested(packets []reassembly.Packet) congestion {
	for i := range packets {
		if packets[i].TOS&3 == 3 {
			return true
		}
	}
	return false
}

// writer writes frames to tenants' interfaces without copying them.
type writer struct {
	vnet    [vnetHeaderLen]byte
	tag     [vlanTagLen]byte
	vectors [4]unix.Iovec
	count   int
	ok      bool
	try     func(fd uintptr)
}

func (w *writer) init() { w.try = w.writeNow }

// write returns false if the interface does not take the frame at once. It
// does not wait: a tenant that does not keep up holds up nobody else.
func (w *writer) write(p *port, d *delivery) bool {
	d.vnet.put(w.vnet[:])
	w.vectors[0].Base = &w.vnet[0]
	w.vectors[0].SetLen(vnetHeaderLen)
	w.count = 1
	rest := d.frame
	if d.tagged {
		binary.BigEndian.PutUint16(w.tag[:], etherTypeVLAN)
		// The V bit is STT's; at its place a VLAN tag has DEI.
		binary.BigEndian.PutUint16(w.tag[2:], d.header.TCI&^stt.TagPresent)
		w.add(rest[:12])
		w.add(w.tag[:])
		rest = rest[12:]
	}
	w.add(rest)
	w.ok = false
	return p.raw.Control(w.try) == nil && w.ok
}

func (w *writer) add(b []byte) {
	w.vectors[w.count].Base = &b[0]
	w.vectors[w.count].SetLen(len(b))
	w.count++
}

func (w *writer) writeNow(fd uintptr) {
	for {
		_, _, errno := unix.Syscall(unix.SYS_WRITEV, fd, uintptr(unsafe.Pointer(&w.vectors[0])), uintptr(w.count))
		if errno != unix.EINTR {
			w.ok = errno == 0
			return
		}
	}
}
