package conntrack

import (
	"sttwall/inspect"
	"sttwall/reason"
)

// Create remembers the flow that the packet begins; Track has said [StateNew]. Where
// there is no room, the result is [StateInvalid], with the limit that it met as
// reason. Where another worker was first, the result is as from Track.
func (t *Table) Create(now int64, generation uint32, p *Packet, c *Creation, out *Result) {
	*out = Result{}
	var l lookup
	if !l.read(p) || !l.startable {
		*out = Result{State: StateInvalid, Reason: reason.StateInvalid}
		return
	}
	if why := t.reserve(now, &l, &c.Limits); why != reason.None {
		// The limit may count the flow itself, which another worker has begun.
		if t.trackFlow(now, generation, &l.terms, t.hash(&l.packed), out); out.State == StateNew {
			*out = Result{State: StateInvalid, Reason: why}
		}
		return
	}
	h := t.hash(&l.packed)
	s, n := t.shardOf(h)
	s.mu.Lock()
	reserved := true
	defer t.leaveCreate(n, &l, c, &reserved, out)
	t.expireSome(s, n, now, 2)
	if i, found := s.find(&l.packed, h); found {
		why := EndedReplaced
		if now < s.at(i).expires(&t.config.Timeouts) {
			t.judge(now, generation, &l.terms, s, n, i, out)
			if out.State != StateNew {
				reserved = false
				t.release(&l, &c.Limits)
				return
			}
			// Closed, and the SYN may begin the next one: it gives up its place.
		} else {
			t.stats.expired.Add(1)
			why = EndedTimeout
		}
		t.end(s, n, i, why)
	}
	i, e, ok := s.insert(&l.packed, h, t.memory)
	if !ok && t.evict(s, n) {
		i, e, ok = s.insert(&l.packed, h, t.memory)
	}
	if !ok {
		reserved = false
		t.release(&l, &c.Limits)
		*out = Result{State: StateInvalid, Reason: reason.FlowTableFull}
		t.stats.refusedFull.Add(1)
		return
	}
	e.begin(now, generation, p, &l, c)
	s.record(i).begin(now, p.Frame)
	s.lists[e.status].push(s, i)
	if c.Limits.FlowsPerSource > 0 {
		e.flags |= flagCounted
	}
	if l.halfOpen() {
		e.flags |= flagHalfOpen // counted by reserve
	}
	reserved = false
	t.stats.created.Add(1)
	*out = Result{State: StateOriginal, Handle: Handle{n, i, e.version}, Rule: e.rule, Mark: e.mark, Begun: true}
}

// begin sets up the entry of a new flow.
func (e *entry) begin(now int64, generation uint32, p *Packet, l *lookup, c *Creation) {
	f := p.Frame
	if l.reversed {
		e.flags |= flagReversed
	}
	e.generation, e.rule, e.mark = generation, c.Rule, c.Mark
	e.last = now
	e.from[0] = p.From.As16()
	if !p.To.IsMulticast() {
		e.from[1] = p.To.As16()
	}
	e.contexts[0] = p.Context
	e.packets[0], e.bytes[0] = 1, uint64(p.Bytes)
	switch {
	case l.tcp:
		var c connection
		c.begin(&l.segment)
		e.halves, e.status = c.halves, c.status
	case l.key.isICMP():
		e.status = statusICMP
	case f.HasPorts && f.Protocol != protocolSCTP:
		e.status = statusUDP
	default:
		e.status = statusOther
	}
}

const protocolSCTP = 132

func (r *record) begin(now int64, f *inspect.Frame) {
	r.created = uint32(now / 1e9)
	r.ethSrc, r.ethDst = f.EthSrc, f.EthDst
	r.tags, r.tci, r.tci2 = f.TagCount, f.Tags[0], f.Tags[1]
	r.tcpFlags, r.icmpType, r.icmpCode, r.tos = f.TCPFlags, f.ICMPType, f.ICMPCode, f.TOS
	r.fragmented = f.Fragmented
}

// Confirm says that the rules of that generation accept the flow, by that rule.
func (t *Table) Confirm(h Handle, generation uint32, rule int32, mark uint32) bool {
	_, e := t.lock(h)
	if e == nil {
		return false
	}
	defer t.leave(h.shard)
	e.generation, e.rule, e.mark = generation, rule, mark
	return true
}

// End forgets a flow that the rules do not accept any more.
func (t *Table) End(h Handle) bool {
	s, e := t.lock(h)
	if e == nil {
		return false
	}
	defer t.leave(h.shard)
	t.end(s, h.shard, h.index, EndedDenied)
	t.stats.ended.Add(1)
	return true
}

// lock returns the flow of a handle with its shard locked, or nil and no lock.
func (t *Table) lock(h Handle) (*shard, *entry) {
	if !h.Valid() || h.shard >= uint32(len(t.shards)) {
		return nil, nil
	}
	s := &t.shards[h.shard]
	s.mu.Lock()
	if h.index < s.used {
		if e := s.at(h.index); e.version == h.version && e.live() {
			return s, e
		}
	}
	s.mu.Unlock()
	return nil, nil
}

// expireSome forgets flows of a locked shard whose time is over. Each list is
// looked at from its front; an entry that was kept alive since it was put there
// goes to the back.
func (t *Table) expireSome(s *shard, n uint32, now int64, budget int) (done int) {
	for st := range s.lists {
		for range budget {
			head := s.lists[st].head
			if head == 0 {
				break
			}
			i := head - 1
			e := s.at(i)
			if now < e.expires(&t.config.Timeouts) {
				if e.flags&flagTouched == 0 {
					break // and so are all behind it
				}
				s.lists[st].unlink(s, i)
				s.lists[st].push(s, i)
				continue
			}
			t.end(s, n, i, EndedTimeout)
			t.stats.expired.Add(1)
			done++
		}
	}
	return done
}

// Expire forgets flows whose time is over, at most about budget in each of the
// shards, and returns how many. A flow that is over is not found in any case.
func (t *Table) Expire(now int64, budget int) (done int) {
	for i := range t.shards {
		done += t.expireOf(uint32(i), now, budget)
	}
	return done
}

func (t *Table) expireOf(n uint32, now int64, budget int) int {
	s := &t.shards[n]
	s.mu.Lock()
	defer t.leave(n)
	return t.expireSome(s, n, now, budget)
}

// evict gives up a flow of a locked shard that nobody has answered, and reports
// whether there was one.
func (t *Table) evict(s *shard, n uint32) bool {
	i, found := s.unanswered(nil)
	if found {
		t.end(s, n, i, EndedEvicted)
		t.stats.evicted.Add(1)
	}
	return found
}
