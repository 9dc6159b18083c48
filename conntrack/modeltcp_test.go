package conntrack_test

import (
	"sttwall/inspect"
	"sttwall/reason"
)

// The model of TCP: what docs/conntrack.md and Rooij's paper say, with sequence
// numbers that do not wrap. A number from a packet is taken for the one of its
// residue that is nearest to what is known of its side.

type modelSegment struct {
	seq, ack uint32
	flags    uint16
	window   uint16
	scale    int    // -1: no option
	sack     uint32 // end of the only block, if hasSACK
	hasSACK  bool
	payload  int
	first    bool // of an inner packet in fragments
}

func (s *modelSegment) has(flag uint16) bool { return s.flags&flag != 0 }

// length is how many sequence numbers the segment takes.
func (s *modelSegment) length() int64 {
	n := int64(s.payload)
	if s.has(inspect.SYN) {
		n++
	}
	if s.has(inspect.FIN) {
		n++
	}
	return n
}

// modelSide is one side of a connection, as a sender.
type modelSide struct {
	sent   int64 // behind the last that it has sent
	room   int64 // behind the last that the other side has room for
	window int64 // largest that it has announced
	shift  uint  // of its windows
	asks   bool  // for scaled windows
	anyScale, unknown,
	acks bool // it has acknowledged something: up to acked
	acked int64
	first int64 // number of its SYN
	fin   int64 // behind its FIN, if it has sent one
	done  bool  // it has sent its FIN,
	heard bool  // which is acknowledged
}

const (
	largestWindow = 65535 << 14
	rooij         = 66000
)

// near returns the number that a packet means.
func near(known int64, number uint32) int64 { return known + int64(int32(number-uint32(known))) }

func (s *modelSide) syn(g *modelSegment, at int64) {
	s.first, s.sent, s.room = at, at+g.length(), at+g.length()
	s.window = max(int64(g.window), 1)
	s.shift, s.asks = 0, g.scale >= 0
	if s.asks {
		s.shift = uint(min(g.scale, 14))
	}
}

// begin is the first packet of a connection.
func (f *modelFlow) begin(g *modelSegment) {
	c, s := &f.sides[0], &f.sides[1]
	if g.has(inspect.SYN) {
		c.syn(g, int64(g.seq))
		f.status = "syn_sent"
		return
	}
	c.sent = int64(g.seq) + g.length()
	c.window = max(int64(g.window)<<14, 1)
	s.sent, s.window = int64(g.ack), largestWindow
	s.room, c.room = s.sent+c.window, c.sent+s.window
	c.anyScale, s.anyScale = true, true
	c.acks, c.acked = true, s.sent
	f.status = "established"
}

// agree: windows are scaled if both ask for it.
func (f *modelFlow) agree() {
	if !f.sides[0].asks || !f.sides[1].asks {
		f.sides[0].shift, f.sides[1].shift = 0, 0
	}
}

// tcp says whether the packet may pass, and moves the flow if it is believed.
func (f *modelFlow) tcp(g *modelSegment, dir int, believed bool) (why reason.Reason, another bool) {
	next := *f
	switch {
	case g.has(inspect.RST):
		why = next.reset(g, dir)
	case g.has(inspect.SYN) && !g.has(inspect.ACK):
		why, another = next.synchronize(g, dir)
	case f.refused():
		why = reason.StateInvalid
	case f.status == "syn_sent":
		why = next.answer(g, dir)
	default:
		why = next.data(g, dir)
	}
	if why != reason.None || another {
		return why, another
	}
	if believed {
		*f = next
	}
	if s := &f.sides[dir]; (!believed || g.first) && g.length() > 0 && !s.done {
		s.unknown = true
	}
	return why, false
}

// refused: a RST was the answer to the SYN.
func (f *modelFlow) refused() bool { return f.status == "close" && f.sides[1].window == 0 }

func (f *modelFlow) answers(g *modelSegment) bool {
	c := &f.sides[0]
	ack := near(c.sent, g.ack)
	return g.has(inspect.ACK) && c.first < ack && ack <= c.sent
}

func (f *modelFlow) reset(g *modelSegment, dir int) reason.Reason {
	s, r := &f.sides[dir], &f.sides[1-dir]
	seq := near(s.sent, g.seq)
	ok := seq == s.sent || r.acks && seq == r.acked
	switch {
	case dir == 1 && (f.status == "syn_sent" || f.refused()):
		ok = f.answers(g)
	case f.refused():
		ok = false
	case f.status == "syn_sent" && f.challenged && g.seq == f.challenge:
		return reason.None // what was asked about is over, not this
	}
	if !ok {
		return reason.TCPReset
	}
	f.status = "close"
	return reason.None
}

func (f *modelFlow) synchronize(g *modelSegment, dir int) (why reason.Reason, another bool) {
	s := &f.sides[dir]
	switch f.status {
	case "time_wait", "close":
		return reason.None, true
	case "syn_sent":
		seq, sent := near(s.sent, g.seq), s.sent
		again := dir == 0 && seq == s.first
		s.syn(g, seq)
		if again { // the first may have brought data
			s.sent = max(s.sent, sent)
			s.room = s.sent
		}
		if dir == 1 {
			f.both = true
			f.status = "syn_received"
			f.agree()
		}
		return reason.None, false
	case "syn_received":
		seq := near(s.sent, g.seq)
		if seq+g.length() == s.sent || seq+1 == s.sent || !s.acks && seq == s.first {
			return reason.None, false // again
		}
	}
	return reason.TCPSyn, false
}

// answer is what follows a SYN, other than a SYN or a RST.
func (f *modelFlow) answer(g *modelSegment, dir int) reason.Reason {
	c, s := &f.sides[0], &f.sides[1]
	switch {
	case dir == 0 && g.has(inspect.ACK):
		return reason.StateInvalid
	case dir == 0:
		return reason.TCPWindow
	case g.has(inspect.SYN):
		if !f.answers(g) {
			return reason.TCPWindow
		}
		s.syn(g, int64(g.seq))
		f.agree()
		s.acks, s.acked = true, near(c.sent, g.ack)
		c.room, s.room = s.acked+s.window, s.sent+c.window
		f.status = "syn_received"
	case g.has(inspect.ACK) && g.length() == 0:
		f.challenged, f.challenge = true, g.ack
	default:
		return reason.TCPWindow
	}
	return reason.None
}

// data is any packet of a connection of which both sides have been seen.
func (f *modelFlow) data(g *modelSegment, dir int) reason.Reason {
	s, r := &f.sides[dir], &f.sides[1-dir]
	seq := near(s.sent, g.seq)
	end := seq + g.length()
	if g.has(inspect.SYN) && (dir == 0 && !f.both || f.status != "syn_received" && end > s.sent) {
		return reason.TCPSyn
	}
	if s.done && end > s.sent {
		return reason.TCPWindow
	}
	ack, sack := r.sent, r.sent
	if g.has(inspect.ACK) {
		ack = near(r.sent, g.ack)
		sack = ack
		if g.hasSACK {
			sack = max(sack, near(ack, g.sack))
		}
	}
	if (r.unknown || r.anyScale) && r.sent < sack && sack <= r.room {
		r.sent = sack
	}
	switch {
	case seq > s.room, // I: there is room for it
		end < s.sent-r.window,              // II: it is no longer ago than a window
		sack > r.sent,                      // III: it acknowledges what was sent
		sack < r.sent-max(s.window, rooij): // IV: not long ago
		return reason.TCPWindow
	}
	window := int64(g.window)
	switch {
	case g.has(inspect.SYN):
	case s.anyScale:
		window <<= 14
	default:
		window <<= s.shift
	}
	s.window = min(max(s.window, window+sack-ack), largestWindow)
	s.sent = max(s.sent, end)
	if g.has(inspect.ACK) && (!s.acks || ack > s.acked) {
		s.acks, s.acked = true, ack
	}
	if end > s.room {
		r.window = min(r.window+end-s.room, largestWindow)
	}
	if sack+window >= r.room {
		r.room = sack + window
		if window == 0 {
			r.room++
		}
	}
	if f.status != "close" {
		f.finish(g, dir, end, ack)
	}
	return reason.None
}

// finish moves the status.
func (f *modelFlow) finish(g *modelSegment, dir int, end, ack int64) {
	s, r := &f.sides[dir], &f.sides[1-dir]
	if g.has(inspect.FIN) && !s.done && end == s.sent {
		s.done, s.fin = true, end
	}
	if g.has(inspect.ACK) && r.done && ack >= r.fin {
		r.heard = true
	}
	if f.status == "syn_received" {
		if !g.has(inspect.ACK) || g.has(inspect.SYN) || dir == 1 && !f.both {
			return
		}
		f.status = "established"
	}
	switch {
	case s.done && r.done && s.heard && r.heard:
		f.status = "time_wait"
	case s.done && r.done:
		f.status = "last_ack"
	case s.heard || r.heard:
		f.status = "close_wait"
	case s.done || r.done:
		f.status = "fin_wait"
	}
}

// canBeInFlight: an ICMP error may quote that number of the side.
func (f *modelFlow) canBeInFlight(dir int, number uint32) bool {
	s, r := &f.sides[dir], &f.sides[1-dir]
	seq := near(s.sent, number)
	return s.sent-max(r.window, rooij) <= seq && seq <= s.sent
}

// startsTCP: the segment may begin a flow.
func startsTCP(g *modelSegment, loose bool) bool {
	if g.has(inspect.SYN) {
		return !g.has(inspect.ACK | inspect.RST | inspect.FIN)
	}
	return loose && g.has(inspect.ACK) && !g.has(inspect.RST)
}

var tcpTimeouts = map[string]string{
	"syn_sent": "tcp_syn_sent", "syn_received": "tcp_syn_received", "established": "tcp_established", "fin_wait": "tcp_fin_wait",
	"close_wait": "tcp_close_wait", "last_ack": "tcp_last_ack", "time_wait": "tcp_time_wait", "close": "tcp_close",
}
