package lab

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"

	"sttwall/internal/evasion"
	"sttwall/stt"
)

// attack is one script, as it met real queues.
type attack struct {
	script *evasion.Script
	core   *evasion.Core
	// Left are the packets that reached the far side, with the time on the rig's clock.
	left []evasion.Wire
	// Missed are the packets that no worker has got, with what kept them from it, and
	// model is the script without them.
	missed []missed
	model  *evasion.Script
	// answers are what the firewall has sent by itself; all of them came to side A.
	answers [][]byte
	// spread: source ports that the script has not meant to be of two queues are.
	spread bool
	// ordered: workers had the packets in the order of sending.
	ordered bool
}

// missed is a packet that no worker has got.
type missed struct {
	number int // of the script's, counted from 0
	why    string
}

// attack sends a script through the queues, and returns what became of it. Super-segments
// are to be cut to size bytes of payload.
func (r *rig) attack(s *evasion.Script, size int) (*attack, error) {
	s.Queues = r.Queues == 2
	s.QueueOf = func(port uint16) int { return r.queues[port] }
	apart := false
	for i := range s.Sent {
		if p := &s.Sent[i]; r.Position == Output {
			p.Packet = keepWhole(p.Packet)
		}
	}
	for _, p := range s.Sent {
		i, err := r.queueOf(evasion.SourcePort(p.Packet))
		if err != nil {
			return nil, err
		}
		apart = apart || i != r.queues[usualPort]
	}
	start := r.clock.Load() + 1e9
	r.clock.Store(start)
	s.Start = start
	core, err := evasion.NewCore(s)
	if err != nil {
		return nil, err
	}
	r.far.Forget()
	r.near.Forget()
	r.answers = nil
	for i, f := range core.Firewalls() {
		r.cores[i].load(f)
		r.cores[i].accepting(r.open)
	}
	a := &attack{script: s, core: core, spread: apart && !s.TwoPorts()}
	for i := range s.Sent {
		if err := r.send(a, i, size); err != nil {
			return nil, fmt.Errorf("packet %d: %w", i, err)
		}
	}
	if err := r.pass(a, start+int64(s.Length())); err != nil {
		return nil, err
	}
	if err := r.pass(a, start+int64(s.Length()+evasion.After)); err != nil {
		return nil, err
	}
	for _, c := range r.cores {
		c.mu.Lock()
		c.ends = true
		c.mu.Unlock()
	}
	if err := r.collect(a); err != nil {
		return nil, err
	}
	a.answers = r.answers
	for _, b := range a.answers {
		ctx, cancel := context.WithTimeout(context.Background(), waitBound)
		_, err := r.near.WaitFor(ctx, "an answer where the question came in", b)
		cancel()
		if err != nil {
			return nil, err
		}
	}
	var seen [][]byte
	for _, c := range r.cores {
		seen = append(seen, c.seen...)
		c.load(nil)
	}
	if r.Receive {
		return a, nil // the kernel may have put packets together
	}
	return a, a.account(seen, r.Position)
}

// send sends packet i of the script, when its time has come.
func (r *rig) send(a *attack, i, size int) error {
	p := &a.script.Sent[i]
	at := a.script.Start + int64(p.At)
	if p.Before {
		for _, b := range pieces(p, size) {
			a.left = append(a.left, evasion.Wire{At: at, Packet: b})
		}
		return nil
	}
	if at > r.clock.Load() {
		if err := r.pass(a, at); err != nil {
			return err
		}
	}
	if p.Rules != nil {
		if err := r.collect(a); err != nil { // what was sent before is decided by the old ones
			return err
		}
		return a.core.Reload(at, p.Rules)
	}
	var o Offload
	if p.GSO || p.Partial {
		// What fits into one packet is no super-segment to the kernel.
		o.Partial = true
		if p.GSO && evasion.PayloadLength(p.Packet) > size {
			o.SegmentSize = size
		} else {
			p.GSO, p.Partial = false, true
		}
	}
	return r.lab.Inject(EndpointA, p.Packet, o)
}

func pieces(p *evasion.Sent, size int) [][]byte {
	if !p.GSO {
		return [][]byte{p.Packet}
	}
	return evasion.Segmentize(p.Packet, size)
}

// pass has all that was sent decided, and then lets the time pass until it is that on
// the rig's clock. What is overdue is dropped when it is, as by workers that wait for it.
func (r *rig) pass(a *attack, until int64) error {
	if err := r.collect(a); err != nil {
		return err
	}
	for now := r.clock.Load(); now < until; {
		next := until
		for _, c := range r.cores {
			if deadline, ok := c.NextDeadline(); ok {
				next = min(next, deadline)
			}
		}
		now = max(now+1, next)
		r.clock.Store(now)
		if err := r.collect(a); err != nil { // a worker looks at the clock when a packet comes
			return err
		}
	}
	return nil
}

// collect takes down what has left until now.
func (r *rig) collect(a *attack) error {
	if err := r.settle(); err != nil {
		return err
	}
	if err := r.far.Complete(); err != nil {
		return err
	}
	now := r.clock.Load()
	for _, p := range r.far.Packets() {
		if packet, ok := ofScript(p); ok && !r.isAnswer(packet) {
			a.left = append(a.left, evasion.Wire{At: now, Packet: packet})
		}
	}
	r.far.Forget()
	return nil
}

// isAnswer reports whether a packet at the far side is one that the firewall has sent by
// itself, which only in position Output goes there.
func (r *rig) isAnswer(packet []byte) bool {
	if r.Position != Output {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.answers, func(b []byte) bool { return bytes.HasPrefix(packet, b) })
}

// ofScript returns the IP packet in a captured one; false for markers, and for what the
// hosts of the lab say to each other.
func ofScript(p Captured) ([]byte, bool) {
	if p.Outgoing || len(p.Data) < etherHeaderLen+20 {
		return nil, false
	}
	packet := p.Data[etherHeaderLen:]
	switch binary.BigEndian.Uint16(p.Data[12:]) {
	case 0x0800:
		return packet, !isMarker(packet)
	case 0x86dd:
		const hopByHop, icmpv6 = 0, 58
		return packet, len(packet) >= 40 && !(packet[8] == 0xfe && (packet[6] == hopByHop || packet[6] == icmpv6))
	}
	return nil, false
}

// account finds the packets that no worker has got, and in which order workers had the
// others for good: one of which too little was copied comes again, behind those that came
// meanwhile.
func (a *attack) account(seen [][]byte, position Position) error {
	model := *a.script
	model.Sent = nil
	var order []int // in seen, of the packets of the model
	taken := make([]bool, len(seen))
	find := func(match func(b []byte) bool) int {
		for i, b := range seen {
			if !taken[i] && match(b) {
				taken[i] = true
				return i
			}
		}
		return -1
	}
	for i, p := range a.script.Sent {
		at := -1
		if len(order) > 0 {
			at = slices.Max(order) // all that was sent before had been decided
		}
		if !p.Before && p.Rules == nil {
			at = find(func(b []byte) bool { return bytes.HasPrefix(p.Packet, b) })
			if at < 0 && position == Output {
				at = find(func(b []byte) bool { return sameButOptions(p.Packet, b) })
			}
			if at < 0 {
				why := kernelsWord(p.Packet)
				if why == "" && position == Output {
					why = routersWord(p.Packet)
				}
				if why == "" {
					return fmt.Errorf("packet %d never came to a worker: %x", i, p.Packet[:min(len(p.Packet), 80)])
				}
				a.missed = append(a.missed, missed{i, why})
				continue
			}
			if length := int(binary.BigEndian.Uint16(p.Packet[2:])); len(seen[at]) < len(p.Packet) && (p.Packet[0]>>4 == 6 || len(seen[at]) < length) {
				if again := find(func(b []byte) bool { return bytes.Equal(p.Packet, b) }); again >= 0 {
					at = again
				}
			}
		}
		model.Sent = append(model.Sent, p)
		order = append(order, at)
	}
	if slices.Contains(taken, false) {
		return fmt.Errorf("workers got packets that nobody has sent")
	}
	if a.ordered = slices.IsSorted(order); !a.ordered && a.script.Part() {
		by := make([]int, len(order))
		for i := range by {
			by[i] = i
		}
		slices.SortStableFunc(by, func(i, j int) int { return order[i] - order[j] })
		sent := model.Sent
		model.Sent = nil
		for _, i := range by {
			model.Sent = append(model.Sent, sent[i])
		}
	}
	a.model = &model
	return nil
}

// kernelsWord says why the kernel, or the nftables table, lets no worker have a packet;
// "" if it should.
func kernelsWord(packet []byte) string {
	const tcp, fragment = 6, 44
	switch {
	case len(packet) < 20:
		return "no IP packet"
	case packet[0]>>4 == 6:
		switch {
		case len(packet) < 60 || int(binary.BigEndian.Uint16(packet[4:]))+40 > len(packet):
			return "no IPv6 packet"
		case packet[6] == fragment:
			return "a fragment"
		case packet[6] == tcp && binary.BigEndian.Uint16(packet[42:]) != stt.Port:
			return "another port"
		case packet[8] != 0x20 || packet[9] != 1:
			return "no listed endpoint"
		}
		return ""
	}
	header := int(packet[0]&15) * 4
	switch {
	case header < 20 || header > len(packet) || int(binary.BigEndian.Uint16(packet[2:])) > len(packet):
		return "no IPv4 packet"
	case stt.Checksum(packet[:header]) != 0:
		return "a wrong IPv4 header checksum"
	case binary.BigEndian.Uint16(packet[6:])&0x3fff != 0:
		return "a fragment"
	case packet[9] != tcp:
		return "not TCP"
	case len(packet) >= header+4 && binary.BigEndian.Uint16(packet[header+2:]) != stt.Port:
		return "another port"
	case packet[13] != 0:
		return "no listed endpoint"
	}
	return ""
}

// networks returns some of the networks that what left may go through; 0 is all.
func (a *attack) networks(random *rand.Rand, most int) []evasion.Network {
	list := evasion.Networks(a.left, random)
	if most > 0 && len(list) > most {
		rest := list[1:] // the first is the network that changes nothing
		random.Shuffle(len(rest), func(i, j int) { rest[i], rest[j] = rest[j], rest[i] })
		list = list[:most]
	}
	return list
}
