package replay

import (
	"encoding/binary"
	"fmt"

	"sttwall/capture"
	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/stt"
)

// packet is one that waits for its verdict.
type packet struct {
	// time is its own, clock that at which the firewall saw it. Both in ns.
	time, clock int64
	link        capture.LinkType
	// data is the whole packet, the first header bytes of it the link
	// header. It aliases the capture's until the packet is kept.
	data    []byte
	header  int
	missing int // bytes that the capture left away
	number  int // in the capture, from 1; of several in all of them together
	// unfinished: the outer checksum is the pseudo-header sum alone.
	unfinished bool

	own []byte // backing of data once it is kept; reused
}

// packets holds the packets whose verdict is not known. Their number is
// bounded by the reassembler: it decides at once what it does not hold.
type packets struct {
	last      uint64
	undecided map[uint64]*packet
	// times maps clock to time where the two differ.
	times map[int64]int64
	idle  []*packet
}

func newPackets() packets {
	return packets{undecided: make(map[uint64]*packet), times: make(map[int64]int64)}
}

// arrive takes up a packet, without a copy, and names it.
func (s *packets) arrive(p *capture.Packet, number int, clock int64, unfinished bool) uint64 {
	var h *packet
	if n := len(s.idle); n > 0 {
		h, s.idle = s.idle[n-1], s.idle[:n-1]
	} else {
		h = new(packet)
	}
	own := h.own
	*h = packet{
		time: p.Time, clock: clock, link: p.Link, data: p.Data, header: p.HeaderLen,
		missing: p.WireLen - len(p.Data), number: number, unfinished: unfinished, own: own,
	}
	s.last++
	s.undecided[s.last] = h
	if clock != p.Time {
		s.times[clock] = p.Time
	}
	return s.last
}

// keep copies what is needed of a packet that is still undecided when the
// capture takes its memory back.
func (s *packets) keep(id uint64, bytes bool) {
	h := s.undecided[id]
	if h == nil {
		return
	}
	h.own = h.own[:0]
	if bytes {
		h.own = append(h.own, h.data...)
	}
	h.data = h.own
}

// take hands out a packet whose verdict is known; release takes it back.
func (s *packets) take(id uint64) *packet {
	h := s.undecided[id]
	delete(s.undecided, id)
	delete(s.times, h.clock)
	return h
}

func (s *packets) release(h *packet) {
	h.data = nil
	s.idle = append(s.idle, h)
}

// timeOf returns the time of the packet that came at clock.
func (s *packets) timeOf(clock int64) int64 {
	if t, ok := s.times[clock]; ok {
		return t
	}
	return clock
}

// settle carries out the verdicts that are known and forgets them.
func (r *run) settle() {
	for i := range r.verdicts.List {
		v := &r.verdicts.List[i]
		h := r.held.take(v.ID)
		if v.Action == firewall.Accept {
			r.leave(h, v.Payload)
		}
		r.held.release(h)
	}
	r.verdicts.Reset()
	r.told = 0
}

// leave writes a packet as it would have left: behind the link header with
// which it came, at the time of its verdict. payload, if not nil, takes the
// place of the IP packet.
func (r *run) leave(h *packet, payload []byte) {
	r.summary.Left++
	if r.written == nil || r.err != nil {
		return
	}
	record := capture.Record{
		Time: max(r.time, 0), Link: h.link, Header: h.data[:h.header],
		Packet: h.data[h.header:], Missing: h.missing, Comment: r.comment(),
	}
	if payload != nil {
		record.Packet, record.Missing = payload, 0
	}
	if h.unfinished || payload != nil {
		r.completeChecksum(record.Packet)
	}
	if err := r.written.Write(&record); err != nil {
		r.err = fmt.Errorf("capture of what left: %w", err)
	}
}

// completeChecksum does what an offload would have done on the way out: where
// the outer TCP checksum is the pseudo-header sum, it adds the rest. packet is
// changed in place. A packet that is cut short stays as it is.
func (r *run) completeChecksum(packet []byte) {
	s := &r.leaving
	if s.Decode(packet, len(packet), r.ports) != reason.None || !s.Whole() || !s.ChecksumIsPseudo() {
		return
	}
	segment := packet[s.HeaderLen:s.TotalLen]
	// The field is part of the sum: it brings the pseudo-header in.
	binary.BigEndian.PutUint16(segment[checksumAt:], stt.Checksum(segment))
}

// checksumAt is the offset of the checksum in the segment header (RFC 9293
// section 3.1).
const checksumAt = 16

// comment says beside a written packet who let it out, and whether as it came.
func (r *run) comment() string {
	comment := "accepted by default"
	if r.decided.Rule != "" {
		comment = "accepted by " + r.decided.Rule
	}
	if r.rewritten {
		comment += ", encoded anew"
	}
	return comment
}
