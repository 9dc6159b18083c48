package evasion

import (
	"bytes"
	"math/rand/v2"
	"sync"
	"time"

	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/reassembly"
)

// Core is the firewall under attack, with its clock.
type Core struct {
	workers []*firewall.Firewall
	rules   []standing // in the order of their times
	shared  *firewall.Shared
	rebuild bool
	queueOf func(port uint16) int
	start   int64
	sizes   []int // how the kernel cuts super-segments that leave
	packets map[uint64]Sent
	next    uint64
	now     int64
	out     firewall.Verdicts
	before  firewall.Totals
	left    [][]Wire // for each of sizes

	mu       sync.Mutex // workers on real queues run at once
	accepted [][]byte   // the frames that were, with headers as they came
	answers  [][]byte   // that the firewall sent by itself
}

// NewCore makes a firewall with [Rules], as a script wants it, an hour of clock behind
// it, in which the client has opened its flows with the web server.
func NewCore(s *Script) (*Core, error) {
	set := s.Rules
	if set == nil {
		set = usual
	}
	rules, err := set.load(s.Rebuild)
	if err != nil {
		return nil, err
	}
	start := or(s.Start, int64(time.Hour))
	c := &Core{
		rules: []standing{{0, set, rules}}, start: start, now: start, queueOf: s.QueueOf, rebuild: s.Rebuild,
		sizes: []int{512, 1400}, packets: map[uint64]Sent{},
	}
	if c.queueOf == nil {
		c.queueOf = func(port uint16) int { return int(port % 2) }
	}
	guard := time.Duration(0)
	if s.Startup {
		guard = 90 * time.Second
	}
	ids, err := firewall.NewFrameIDFilter(firewall.FrameIDConfig{Bits: 16, Start: c.start, StartupGuard: guard})
	if err != nil {
		return nil, err
	}
	shared, err := firewall.NewShared(rules, ids)
	if err != nil {
		return nil, err
	}
	c.shared = shared
	config := firewall.Config{
		Shared: shared, Reassembly: reassembly.Config{SourceFrames: s.Held},
		Observer: func(e *firewall.FrameEvent) {
			if e.Verdict == firewall.Accept {
				h := header{tci: e.Header.TCI, context: e.Header.ContextID}
				inner := e.InnerData
				if n := e.FrameLength - 18; len(inner) < n { // the rest was not copied
					if b := c.packets[e.Packets[0].ID].Packet; len(b) >= n {
						inner = b[len(b)-n:]
					}
				}
				c.mu.Lock()
				c.accepted = append(c.accepted, frameOf(h, inner))
				c.mu.Unlock()
			}
		},
	}
	for n := range 2 {
		config.Random = rand.NewPCG(1, uint64(n))
		w, err := firewall.New(config)
		if err != nil {
			return nil, err
		}
		c.workers = append(c.workers, w)
	}
	if !s.Queues {
		c.workers = c.workers[:1]
	}
	c.open()
	for _, w := range c.workers {
		c.before.Add(w.Counters())
	}
	c.left = make([][]Wire, len(c.sizes))
	return c, nil
}

// open has the client's TCP handshakes pass, in each Context ID that has flows.
func (c *Core) open() {
	for _, v6 := range []bool{false, true} {
		for i, p := range []packet{
			{v6: v6, flags: 0x02, seq: 1<<32 - 1}, {v6: v6, flags: 0x12, reverse: true, seq: 1}, {v6: v6, flags: 0x10},
		} {
			b := p.bytes()
			if i == 1 { // the server's SYN comes before its first byte
				at := 34
				if v6 {
					at = 54
				}
				put32(b[at+4:], 2_000_000)
				src, dst := p.addresses()
				put16(b[at+16:], 0)
				put16(b[at+16:], ^sum(src, dst, []byte{0, 6}, word(len(b)-at), b[at:]))
			}
			s := wholeOf(1, frameOf(header{context: 200}, b))
			if p.reverse {
				s.src, s.dst = 2, 1
			}
			c.send(Sent{Packet: s.bytes(false)})
		}
	}
	c.out.Reset()
}

// Reload puts other rules in force at a time, in ns.
func (c *Core) Reload(now int64, set *RuleSet) error {
	rules, err := set.load(c.rebuild)
	if err != nil {
		return err
	}
	c.shared.SetPolicy(rules)
	c.shared.Rejudge(now)
	c.rules = append(c.rules, standing{now, set, rules})
	return nil
}

// send hands one packet in.
func (c *Core) send(s Sent) {
	c.pass(c.start + int64(s.At))
	p := firewall.Packet{Data: bytes.Clone(s.Packet), Length: len(s.Packet), GSO: s.GSO}
	if s.GSO || s.Partial {
		p.Checksum = firewall.ChecksumPartial
	}
	if s.Part && len(s.Packet) > CopyRange {
		p.Data, p.More = p.Data[:CopyRange], true
		if tcp := s.Packet[20:]; s.Packet[0] == 0x45 && // else the kernel says nothing
			sum(s.Packet[12:20], []byte{0, 6}, word(len(tcp)), tcp) == 0xffff {
			p.Checksum = firewall.ChecksumGood
		}
	}
	c.process(s, p)
	if list := c.out.List; len(list) > 0 && list[len(list)-1].Action == firewall.Again {
		p.Data, p.More = bytes.Clone(s.Packet), false
		c.process(s, p)
	}
}

// process hands a packet to its worker.
func (c *Core) process(s Sent, p firewall.Packet) {
	c.next++
	p.ID = c.next
	c.packets[c.next] = s
	worker := c.queueOf(SourcePort(s.Packet)) % len(c.workers)
	c.workers[worker].Process(c.now, &p, &c.out)
}

// SourcePort reads the source port of an outer packet without options; 0 if there is
// none.
func SourcePort(packet []byte) uint16 {
	at := 20
	if len(packet) > 0 && packet[0]>>4 == 6 {
		at = 40
	}
	if len(packet) < at+2 {
		return 0
	}
	return get16(packet[at:])
}

// pass lets time pass, and the firewall drop what is overdue when it is.
func (c *Core) pass(until int64) {
	for {
		next, due := until, -1
		for i, w := range c.workers {
			if deadline, held := w.NextDeadline(); held && deadline <= next {
				next, due = deadline, i
			}
		}
		if due < 0 {
			break
		}
		c.now = max(c.now+1, next)
		c.workers[due].Expire(c.now, &c.out)
		c.take()
	}
	c.now = max(c.now, until)
}

// take writes down what left.
func (c *Core) take() {
	for _, a := range c.out.Answers {
		c.answers = append(c.answers, bytes.Clone(a.Data))
	}
	for _, v := range c.out.List {
		if v.Action != firewall.Accept {
			continue
		}
		s := c.packets[v.ID]
		if v.Payload != nil {
			s.Packet = bytes.Clone(v.Payload)
		}
		c.leave(s)
	}
	c.out.Reset()
}

// leave writes down a packet that leaves, cut by the kernel if it is a super-segment.
func (c *Core) leave(s Sent) {
	for i, size := range c.sizes {
		if !s.GSO {
			c.left[i] = append(c.left[i], Wire{c.now, s.Packet})
			continue
		}
		for _, b := range Segmentize(s.Packet, size) {
			c.left[i] = append(c.left[i], Wire{c.now, b})
		}
	}
}

// Firewalls are the workers of the core, one for each queue.
func (c *Core) Firewalls() []*firewall.Firewall { return c.workers }

// Outcome returns what the workers have counted since the core was made.
func (c *Core) Outcome() *Result {
	var after firewall.Totals
	for _, w := range c.workers {
		after.Add(w.Counters())
	}
	r := &Result{
		Accepted:  int(after.FramesAccepted - c.before.FramesAccepted),
		Rewritten: int(after.FramesRewritten - c.before.FramesRewritten),
		Answers:   int(after.RejectsSent - c.before.RejectsSent),
	}
	for i := range after.Reasons {
		if after.Reasons[i] != c.before.Reasons[i] {
			r.Reasons = append(r.Reasons, reason.Reason(i))
		}
	}
	return r
}
