package conntrack

import (
	"encoding/binary"

	"sttwall/inspect"
	"sttwall/reason"
)

// segment is what the state machine reads of a TCP packet. Sequence numbers
// compare modulo 2^32 (RFC 9293 section 3.4).
type segment struct {
	seq, ack, sack uint32 // sack: the highest acknowledged in a SACK block, else ack
	end            uint32 // seq + payload + SYN + FIN
	window         uint32 // as in the header
	flags          uint16
	scale          uint8
	hasScale       bool
	cut            bool // a first fragment: end is not the segment's
}

// begins reports whether the packet may begin a flow.
func (s *segment) begins(loose bool) bool {
	return s.has(inspect.SYN) && !s.has(inspect.ACK|inspect.RST|inspect.FIN) ||
		loose && !s.has(inspect.SYN|inspect.RST) && s.has(inspect.ACK)
}

func before(a, b uint32) bool { return int32(a-b) < 0 }
func after(a, b uint32) bool  { return int32(a-b) > 0 }

func (s *segment) has(flag uint16) bool { return s.flags&flag != 0 }

// Options that matter here: RFC 7323 section 2, RFC 2018 section 3.
const (
	optionEnd, optionNothing    = 0, 1
	optionScale, optionScaleLen = 3, 3
	optionSACK                  = 5
	maxScale                    = 14
)

// read reads a whole TCP header of a packet with these flags and so many bytes of
// payload.
func (s *segment) read(h []byte, flags uint16, payload int) {
	// One by one, in place: a value would be copied in larger parts than it was
	// written, and processors wait for that.
	s.seq, s.ack = binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint32(h[8:])
	s.window, s.flags = uint32(binary.BigEndian.Uint16(h[14:])), flags
	s.scale, s.hasScale, s.cut = 0, false, false
	s.end = s.seq + uint32(payload)
	if s.has(inspect.SYN) {
		s.end++
	}
	if s.has(inspect.FIN) {
		s.end++
	}
	s.sack = s.ack
	for o := h[20:]; len(o) > 0 && o[0] != optionEnd; {
		if o[0] == optionNothing {
			o = o[1:]
			continue
		}
		if len(o) < 2 || o[1] < 2 || int(o[1]) > len(o) {
			break // cut off: what follows cannot be read by the receiver either
		}
		n := int(o[1])
		switch {
		case o[0] == optionScale && n == optionScaleLen:
			s.scale, s.hasScale = min(o[2], maxScale), true
		case o[0] == optionSACK:
			for b := o[2:n]; len(b) >= 8; b = b[8:] {
				if right := binary.BigEndian.Uint32(b[4:]); after(right, s.sack) {
					s.sack = right
				}
			}
		}
		o = o[n:]
	}
}

// maxAckWindow is how far behind the other side's data an acknowledgment may be:
// what was in flight in one window, and no less than Rooij's constant.
func maxAckWindow(h *half) uint32 { return max(h.maxWin, 66000) }

// connection is a TCP flow as the state machine sees it.
type connection struct {
	halves [2]half
	status status
	flags  entryFlags
}

// begin sets up a flow from its first packet.
func (c *connection) begin(s *segment) {
	h := &c.halves[0]
	h.end, h.maxEnd = s.end, s.end
	h.maxWin = max(s.window, 1)
	if s.has(inspect.SYN) {
		h.setScale(s)
		h.maxAck = s.seq
		c.status = statusSynSent
		return
	}
	// Picked up in the middle: the scales are not known, so windows are taken as
	// large as they can be.
	h.flags |= halfLiberal
	h.maxWin = max(s.window<<maxScale, 1)
	h.maxEnd = s.end
	c.halves[1] = half{
		end: s.ack, maxEnd: s.ack + h.maxWin, maxWin: maxWindow, flags: halfLiberal,
	}
	h.maxEnd = s.end + c.halves[1].maxWin
	if s.has(inspect.ACK) {
		h.maxAck, h.flags = s.ack, h.flags|halfAck
	}
	c.status = statusEstablished
}

func (h *half) setScale(s *segment) {
	h.flags &^= halfScale
	h.scale = 0
	if s.hasScale {
		h.scale, h.flags = s.scale, h.flags|halfScale
	}
}

// weighTCP says what judgeTCP says, and moves nothing.
func (e *entry) weighTCP(s *segment, dir int) (why reason.Reason, reuse bool) {
	next := connection{e.halves, e.status, e.flags}
	return next.stepTCP(s, dir)
}

// judgeTCP decides whether a packet in direction dir belongs to the flow, and if
// so and move is true, moves the flow. reuse says that it is a SYN that begins
// another flow with the same key.
func (e *entry) judgeTCP(s *segment, dir int, move bool) (why reason.Reason, reuse bool) {
	next := connection{e.halves, e.status, e.flags} // becomes the flow's if it may
	why, reuse = next.stepTCP(s, dir)
	if why != reason.None || reuse {
		return why, reuse
	}
	if move {
		e.halves, e.status, e.flags = next.halves, next.status, next.flags
	}
	// It passes, but what it sends is not known: without a checksum nothing is
	// believed of it, and of a fragment the rest is elsewhere. The other side will
	// acknowledge it all the same.
	if h := &e.halves[dir]; (!move || s.cut) && s.seq != s.end && h.flags&halfFIN == 0 {
		h.flags |= halfGuess
	}
	return why, reuse
}

func (c *connection) stepTCP(s *segment, dir int) (reason.Reason, bool) {
	switch {
	case s.has(inspect.RST):
		return c.stepReset(s, dir), false
	case s.has(inspect.SYN) && !s.has(inspect.ACK):
		return c.stepSyn(s, dir)
	}
	switch {
	case c.refused():
		return reason.StateInvalid, false
	case c.status == statusSynSent:
		return c.stepAnswer(s, dir), false
	}
	h := &c.halves[dir]
	if s.has(inspect.SYN) && (dir == 0 && c.flags&flagSimultaneous == 0 || c.status != statusSynReceived && after(s.end, h.end)) {
		return reason.TCPSyn, false // from the side that began, or no repeat
	}
	if h.flags&halfFIN != 0 && after(s.end, h.end) {
		return reason.TCPWindow, false // behind the FIN
	}
	if why := c.stepWindow(s, dir); why != reason.None {
		return why, false
	}
	if c.status != statusClose {
		c.advance(s, dir)
	}
	return reason.None, false
}

// refused reports whether a RST was the answer to the SYN. Any other RST may not
// have come, or not be where its receiver is: that one goes on, and is answered by
// another RST.
func (c *connection) refused() bool { return c.status == statusClose && c.halves[1].maxWin == 0 }

// stepSyn takes a SYN without ACK: again, at the same time from the other side,
// for a new flow, or a blind one (RFC 5961 section 4).
func (c *connection) stepSyn(s *segment, dir int) (reason.Reason, bool) {
	h := &c.halves[dir]
	switch c.status {
	case statusTimeWait, statusClose:
		// RFC 9293 section 3.6.1 and RFC 6191: a new flow may begin.
		return reason.None, true
	case statusSynSent:
		// Sent again, perhaps with another number after a time; or simultaneous
		// open (RFC 9293 section 3.5).
		end := s.end
		if dir == 0 && s.seq == h.maxAck && after(h.end, end) {
			end = h.end // data of fast open is not sent again, but may have come
		}
		h.end, h.maxEnd, h.maxWin = end, end, max(s.window, 1)
		h.setScale(s)
		h.maxAck = s.seq
		if dir == 1 {
			c.flags |= flagSimultaneous
			c.status = statusSynReceived
			c.agreeOnScale()
		}
		return reason.None, false
	case statusSynReceived:
		if s.end == h.end || s.seq+1 == h.end || h.flags&halfAck == 0 && s.seq == h.maxAck {
			return reason.None, false // the SYN+ACK was lost behind us
		}
	}
	return reason.TCPSyn, false
}

// agreeOnScale turns window scaling off unless both sides have asked for it.
func (c *connection) agreeOnScale() {
	if c.halves[0].flags&c.halves[1].flags&halfScale == 0 {
		c.halves[0].scale, c.halves[1].scale = 0, 0
	}
}

// stepAnswer takes what follows a SYN that nobody has answered.
func (c *connection) stepAnswer(s *segment, dir int) reason.Reason {
	syn := &c.halves[0]
	switch {
	case dir == 1 && s.has(inspect.SYN):
		// It must acknowledge the SYN, and with fast open (RFC 7413) perhaps its
		// data.
		if !syn.acknowledgedBy(s.ack) {
			return reason.TCPWindow
		}
		h := &c.halves[1]
		h.end, h.maxEnd, h.maxWin = s.end, s.end, max(s.window, 1)
		h.setScale(s)
		c.agreeOnScale()
		h.maxAck, h.flags = s.ack, h.flags|halfAck
		syn.maxEnd = s.ack + max(s.window, 1)
		h.maxEnd = s.end + syn.maxWin
		c.status = statusSynReceived
		return reason.None
	case dir == 1 && s.has(inspect.ACK) && s.seq == s.end:
		// A side that still holds an old connection asks whether we mean it (RFC
		// 9293 section 3.10.7.4, challenge ACK). The answer is a RST.
		c.halves[1].maxAck = s.ack
		c.flags |= flagChallenged
		return reason.None
	case dir == 0 && s.has(inspect.ACK):
		return reason.StateInvalid
	}
	return reason.TCPWindow
}

// acknowledgedBy reports whether ack acknowledges a SYN that nobody has answered
// yet, and perhaps data that it brought (fast open, RFC 7413).
func (h *half) acknowledgedBy(ack uint32) bool { return after(ack, h.maxAck) && !after(ack, h.end) }

// stepReset takes a RST: only at exactly the number that its receiver expects
// next, which is all that RFC 5961 section 3 lets end a connection. The receiver
// expects what it has acknowledged last, or, if that is still on its way to us,
// the end of what was sent to it.
func (c *connection) stepReset(s *segment, dir int) reason.Reason {
	h, other := &c.halves[dir], &c.halves[1-dir]
	switch {
	case dir == 1 && (c.status == statusSynSent || c.refused()):
		// It answers the SYN, which it must acknowledge.
		if !s.has(inspect.ACK) || !other.acknowledgedBy(s.ack) {
			return reason.TCPReset
		}
	case c.refused():
		return reason.TCPReset
	case c.status == statusSynSent && c.flags&flagChallenged != 0 && s.seq == c.halves[1].maxAck:
		return reason.None // the answer to a challenge: the SYN will come again
	case s.seq != h.end && !(other.flags&halfAck != 0 && s.seq == other.maxAck):
		return reason.TCPReset
	}
	c.status = statusClose
	return reason.None
}

// stepWindow checks a packet against the four bounds of Rooij's paper and moves
// them.
func (c *connection) stepWindow(s *segment, dir int) reason.Reason {
	h, other := &c.halves[dir], &c.halves[1-dir]
	ack, sack := s.ack, s.sack
	if !s.has(inspect.ACK) {
		ack, sack = other.end, other.end // acknowledges nothing
	}
	seq, end := s.seq, s.end
	if other.flags&(halfGuess|halfLiberal) != 0 && after(sack, other.end) && !after(sack, other.maxEnd) {
		other.end = sack // no more than this side has room for
	}
	switch {
	case after(seq, h.maxEnd), // begins behind what the other side has room for
		!after(end, h.end-other.maxWin-1),         // ends before what can be in flight
		after(sack, other.end),                    // acknowledges what was not sent,
		after(ack, other.end),                     // though a block may hide it, half of all numbers away
		!after(sack, other.end-maxAckWindow(h)-1): // or what is long gone
		return reason.TCPWindow
	}
	window := s.window
	if !s.has(inspect.SYN) {
		window <<= h.scale
		if h.flags&halfLiberal != 0 {
			window = s.window << maxScale
		}
	}
	h.widen(max(h.maxWin, window+min(sack-ack, maxWindow)))
	if after(end, h.end) {
		h.end = end
	}
	if s.has(inspect.ACK) && (h.flags&halfAck == 0 || after(ack, h.maxAck)) {
		h.maxAck, h.flags = ack, h.flags|halfAck
	}
	if after(end, h.maxEnd) {
		// More than there was room for: the window was larger than we have seen.
		other.widen(other.maxWin + (end - h.maxEnd))
	}
	if room := sack + window; !before(room, other.maxEnd) {
		other.maxEnd = room
		if window == 0 {
			other.maxEnd++ // a window probe
		}
	}
	return reason.None
}

// maxWindow is the largest window that TCP can announce: RFC 7323 section 2.3.
const maxWindow = 0xffff << maxScale

// widen notes a larger window, in bounds in which sequence numbers compare.
func (h *half) widen(window uint32) { h.maxWin = min(window, maxWindow) }

// advance moves the status by a packet that is in the windows.
func (c *connection) advance(s *segment, dir int) {
	h, other := &c.halves[dir], &c.halves[1-dir]
	// A FIN below what was sent is not the end of anything.
	if s.has(inspect.FIN) && h.flags&halfFIN == 0 && s.end == h.end {
		h.flags |= halfFIN
		h.finEnd = s.end
	}
	if s.has(inspect.ACK) && other.flags&halfFIN != 0 && !before(s.ack, other.finEnd) {
		other.flags |= halfFINAcked
	}
	if c.status == statusSynReceived {
		acknowledged := s.has(inspect.ACK) && !s.has(inspect.SYN) && (dir == 0 || c.flags&flagSimultaneous != 0)
		if !acknowledged {
			return
		}
		c.status = statusEstablished
	}
	fins := h.flags&halfFIN | other.flags&halfFIN
	switch both := h.flags & other.flags; {
	case fins == 0:
	case both&halfFIN != 0 && both&halfFINAcked != 0:
		c.status = statusTimeWait
	case both&halfFIN != 0:
		c.status = statusLastAck
	case (h.flags|other.flags)&halfFINAcked != 0:
		c.status = statusCloseWait
	default:
		c.status = statusFinWait
	}
}
