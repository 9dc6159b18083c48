package lab

import (
	"bytes"
	"slices"
	"sync"
	"sync/atomic"

	"sttwall/firewall"
)

// rigCore is the core of a worker that stays, while the firewalls come and go.
type rigCore struct {
	mu     sync.Mutex
	now    *firewall.Firewall // nil: between two attacks
	seen   [][]byte           // of each packet what was copied first
	open   bool               // all packets are accepted
	ends   bool               // the next marker drops what is held
	marked atomic.Uint64      // markers

	// Packets of which a part was copied, by ID, until the attack is over; those of them
	// that were asked for whole and have not come; and the markers that wait for these.
	parts   map[uint64][]byte
	asked   [][]byte
	waiting []uint64
}

// load puts a firewall to the queue; nil takes the last one away.
func (c *rigCore) load(f *firewall.Firewall) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.seen, c.ends = f, nil, false
	c.parts, c.asked = map[uint64][]byte{}, nil
}

func (c *rigCore) accepting(all bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open = all
}

// ProcessBatch implements [nfq.Core]. Markers pass whatever the rules are, when all that
// came before them is decided: also what was asked for whole, which comes behind them.
func (c *rigCore) ProcessBatch(now int64, packets []firewall.Packet, out *firewall.Verdicts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for len(packets) > 0 {
		n := slices.IndexFunc(packets, func(p firewall.Packet) bool { return isMarker(p.Data) })
		if n < 0 {
			n = len(packets)
		}
		if n > 0 {
			c.decide(now, packets[:n], out)
		}
		if n < len(packets) {
			c.waiting = append(c.waiting, packets[n].ID)
			n++
		}
		packets = packets[n:]
		c.pass(out)
	}
}

// decide has packets of scripts decided.
func (c *rigCore) decide(now int64, packets []firewall.Packet, out *firewall.Verdicts) {
	for _, p := range packets {
		b := bytes.Clone(p.Data)
		c.seen = append(c.seen, b)
		if p.More {
			c.parts[p.ID] = b
		} else if i := slices.IndexFunc(c.asked, func(part []byte) bool { return bytes.HasPrefix(b, part) }); i >= 0 {
			c.asked = slices.Delete(c.asked, i, i+1)
		}
	}
	if c.open || c.now == nil {
		for _, p := range packets {
			v := firewall.Verdict{ID: p.ID}
			if c.open {
				v.Action = firewall.Accept
			}
			out.List = append(out.List, v)
		}
		return
	}
	before := len(out.List)
	c.now.ProcessBatch(now, packets, out)
	for _, v := range out.List[before:] {
		if v.Action == firewall.Again {
			c.asked = append(c.asked, c.parts[v.ID])
		}
	}
}

// pass lets the markers pass that need not wait.
func (c *rigCore) pass(out *firewall.Verdicts) {
	if len(c.asked) > 0 {
		return
	}
	for _, id := range c.waiting {
		if c.ends && c.now != nil {
			c.now.Flush(out)
		}
		c.marked.Add(1)
		out.List = append(out.List, firewall.Verdict{ID: id, Action: firewall.Accept})
	}
	c.waiting = c.waiting[:0]
}

// Expire implements [nfq.Core].
func (c *rigCore) Expire(now int64, out *firewall.Verdicts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.Expire(now, out)
	}
}

// NextDeadline implements [nfq.Core].
func (c *rigCore) NextDeadline() (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now == nil {
		return 0, false
	}
	return c.now.NextDeadline()
}

// Flush implements [nfq.Core].
func (c *rigCore) Flush(out *firewall.Verdicts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.Flush(out)
	}
}

// Rest implements [nfq.Core].
func (c *rigCore) Rest() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.now != nil {
		c.now.Rest()
	}
}
