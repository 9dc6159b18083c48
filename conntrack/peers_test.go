package conntrack_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"sttwall/conntrack"
	"sttwall/reason"
)

// peer is an honest TCP without options: it sends what its window and the other
// one allow, acknowledges what it has whole, and sends again what is not
// acknowledged.
type peer struct {
	isn, next, una, top uint32 // top: the highest number ever sent, plus one
	rcv                 uint32 // next expected
	have                map[uint32]uint32
	peerWindow          uint32
	left                int // bytes to send before the FIN
	finSent             bool
}

const peerWindow = 20000

// wire is a packet on its way. toServer is its direction.
type wire struct {
	toServer bool
	seq, ack uint32
	flags    uint16
	n        int
}

// TestHonestPeersAreNeverRefused runs whole connections through the table with
// loss on both sides of it, reordering, repeats, and packets of a blind attacker
// at the right endpoint. Whatever an honest side sends must pass; nothing that
// the attacker sends may end the flow. Only repeats that are more than a window
// late may be dropped.
func TestHonestPeersAreNeverRefused(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	finished := 0
	for n := range 400 {
		if connection(t, n, r) {
			finished++
		}
	}
	if finished < 300 {
		t.Errorf("%d of 400 connections came to their end: the test's peers do not do their work", finished)
	}
}

func connection(t *testing.T, n int, r *rand.Rand) bool {
	t.Helper()
	table := newTable(t, conntrack.Config{})
	c := &peer{isn: r.Uint32(), left: r.IntN(40000), have: map[uint32]uint32{}, peerWindow: peerWindow}
	s := &peer{isn: r.Uint32(), left: r.IntN(40000), have: map[uint32]uint32{}, peerWindow: peerWindow}
	for _, p := range []*peer{c, s} {
		p.next, p.una, p.top = p.isn+1, p.isn+1, p.isn+1
	}
	c.rcv, s.rcv = s.isn+1, c.isn+1
	now := int64(1)
	through := func(w wire, honest bool) bool {
		now += int64(time.Millisecond)
		var p *conntrack.Packet
		if w.toServer {
			p = inner(t, clientV4, serverV4, 6, tcpBytes(40000, 80, w.seq, w.ack, w.flags, peerWindow, nil, w.n))
		} else {
			p = back(inner(t, serverV4, clientV4, 6, tcpBytes(80, 40000, w.seq, w.ack, w.flags, peerWindow, nil, w.n)))
		}
		got := offer(table, now, p, conntrack.Limits{})
		ok := got.State == conntrack.StateOriginal || got.State == conntrack.StateReply
		sender := c
		if !w.toServer {
			sender = s
		}
		// A repeat that was more than a window late: the receiver has had all of it.
		late := int32(w.seq+uint32(w.n)-(sender.top-peerWindow)) <= 0
		if honest && !ok && !late {
			t.Fatalf("connection %d: an honest %+v is refused: %v %v; client %+v server %+v", n, w, got.State, got.Reason, c, s)
		}
		return ok
	}
	through(wire{true, c.isn, 0, syn, 0}, true)
	through(wire{false, s.isn, c.isn + 1, syn | ackF, 0}, true)
	through(wire{true, c.isn + 1, s.isn + 1, ackF, 0}, true)

	var before []wire // sent, not yet at the firewall
	for range 3000 {
		p, toServer := c, true
		if r.IntN(2) == 0 {
			p, toServer = s, false
		}
		if r.IntN(10) == 0 && !p.finSent { // send again
			p.left += int(p.next - p.una)
			p.next = p.una
		} else if r.IntN(10) == 0 && p.finSent && p.una != p.next {
			before = append(before, wire{toServer, p.next - 1, p.rcv, fin | ackF, 0})
		}
		switch inFlight := int(p.next - p.una); {
		case p.left > 0 && inFlight < peerWindow:
			size := min(p.left, 1+r.IntN(1400), peerWindow-inFlight)
			before = append(before, wire{toServer, p.next, p.rcv, ackF, size})
			p.next += uint32(size)
			p.left -= size
		case p.left == 0 && !p.finSent && p.una == p.next:
			before = append(before, wire{toServer, p.next, p.rcv, fin | ackF, 0})
			p.next++
			p.finSent = true
		default:
			before = append(before, wire{toServer, p.next, p.rcv, ackF, 0})
		}
		if int32(p.next-p.top) > 0 {
			p.top = p.next
		}
		if r.IntN(20) == 0 { // the blind attacker knows addresses and ports alone
			w := wire{r.IntN(2) == 0, r.Uint32(), r.Uint32(), []uint16{rst, syn, rst | ackF}[r.IntN(3)], 0}
			if c.finSent && s.finSent {
				w.flags &^= syn // it may begin a new flow in TIME_WAIT
				w.flags |= rst
			}
			if through(w, false) && w.seq != c.top && w.seq != s.top && w.seq != c.rcv && w.seq != s.rcv {
				t.Fatalf("connection %d: a blind %+v passes", n, w)
			}
		}
		for len(before) > r.IntN(6) {
			i := r.IntN(len(before)) // out of order
			w := before[i]
			before = append(before[:i], before[i+1:]...)
			if r.IntN(30) == 0 {
				continue // lost before the firewall
			}
			through(w, true)
			if r.IntN(40) == 0 {
				through(w, true) // twice
			}
			if r.IntN(30) == 0 {
				continue // lost behind it
			}
			to := s
			if !w.toServer {
				to = c
			}
			to.take(w)
		}
		if c.finSent && s.finSent && c.una == c.next && s.una == s.next {
			return true
		}
	}
	return false
}

// take is what the receiver does with a packet.
func (p *peer) take(w wire) {
	if a := w.ack; int32(a-p.una) > 0 && int32(a-p.top) <= 0 {
		p.una = a
		if int32(p.next-a) < 0 { // it was sent before it was rolled back
			p.left -= int(a - p.next)
			p.next = a
		}
	}
	size := uint32(w.n)
	if w.flags&fin != 0 {
		size++
	}
	if size == 0 {
		return
	}
	end := w.seq + size
	if int32(end-p.rcv) > 0 && longer(p.have, w.seq, end) {
		p.have[w.seq] = end
	}
	for moved := true; moved; {
		moved = false
		for seq, end := range p.have {
			if int32(seq-p.rcv) <= 0 {
				if int32(end-p.rcv) > 0 {
					p.rcv = end
				}
				delete(p.have, seq)
				moved = true
			}
		}
	}
}

func TestResetReasonIsItsOwn(t *testing.T) {
	table := newTable(t, conntrack.Config{})
	hs(t, table)
	if r := offer(table, 2, s2c(t, 123456789, 0, rst, 0), conntrack.Limits{}); r.Reason != reason.TCPReset {
		t.Errorf("got %v", r.Reason)
	}
}

func longer(have map[uint32]uint32, seq, end uint32) bool {
	old, ok := have[seq]
	return !ok || int32(end-old) > 0
}
