package firewall

import (
	"math"
	"unsafe"

	"sttwall/internal/prefetch"
)

// showAtOnce is how many frames are counted before others see it, if the batch does not
// end before.
const showAtOnce = 128

// passed is what has passed by one rule since a reader last asked: the frames of one
// tenant that were accepted and did no more. Nearly all are of that kind, and are counted
// in this half of a line of memory, in place of the two lines of their rule and their
// tenant: rules and tenants are many, and most in no near cache.
type passed struct {
	frames      uint32
	tenant      int32 // index; valid unless frames is 0
	bytes       uint64
	first, last int64
}

// settleAtOnce is how many of passed a reader looks at before the worker may count again.
const settleAtOnce = 16

// counted is a frame that is in no tally yet. The line of memory that it will be counted
// in is on its way meanwhile.
type counted struct {
	bytes        uint64
	tenant, rule int32 // rule: -1 for the default
	more         countMore
}

// countMore is what there is to count of a frame that passed cannot hold.
type countMore uint8

const (
	countBegins countMore = 1 << iota
	countDropped
	countAudited
)

func (c *counted) in(t *Tally, now int64) {
	t.Frames++
	t.Bytes += c.bytes
	if c.more&countBegins != 0 {
		t.Flows++
	}
	if c.more&countDropped != 0 {
		t.Dropped++
	}
	if c.more&countAudited != 0 {
		t.Audited++
	}
	t.met(now, now)
}

// countDecision counts the frame that was decided last.
func (f *Firewall) countDecision(now int64) {
	e := &f.event
	d := &e.Decision
	if e.Verdict == Accept {
		f.counts.framesAccepted++
		if d.Audit {
			f.counts.framesAudited++
		}
		if e.Rewritten {
			f.counts.framesRewritten++
		}
	}
	if d.TenantIndex < 0 || !e.HasInner {
		return
	}
	t := &f.tallies
	c := t.count(now, f.standing, d.TenantIndex, d.RuleIndex, e.FrameLength)
	if e.Begins {
		c.more |= countBegins
	}
	if e.Verdict == Drop {
		c.more |= countDropped
	}
	if d.Audit {
		c.more |= countAudited
	}
	if c.more != 0 {
		prefetch.Line(unsafe.Pointer(t.now.tenants[c.tenant]))
		if c.rule >= 0 {
			prefetch.Line(unsafe.Pointer(t.now.rules[c.rule]))
		}
	}
}

// count counts a frame that has passed. The caller says whether there is more to count.
func (t *tallies) count(now int64, st *standing, tenant, rule int32, bytes int) *counted {
	if t.generation != st.generation {
		t.attach(now, st)
	}
	if t.unshown == len(t.list) {
		t.show(now)
	}
	c := &t.list[t.unshown]
	t.unshown++
	c.tenant, c.rule, c.bytes, c.more = tenant, rule, uint64(bytes), 0
	prefetch.Line(unsafe.Pointer(t.now.at(c)))
	return c
}

// at returns where a frame counts that has passed.
func (c *counting) at(frame *counted) *passed {
	if frame.rule >= 0 {
		return &c.passed[frame.rule]
	}
	return &c.passed[len(c.rules)+int(frame.tenant)]
}

// show lets others see what was counted, all of it at now. One lock is cheaper than an
// atomic addition for each number, and is held for a few microseconds: readers take it
// for each tally.
func (t *tallies) show(now int64) {
	if t.unshown == 0 {
		return
	}
	t.showing.Lock()
	defer t.showing.Unlock()
	to := t.now
	for i := range t.list[:t.unshown] {
		frame := &t.list[i]
		if frame.more != 0 || !to.at(frame).take(frame, now) {
			frame.in(to.tenants[frame.tenant], now)
			if frame.rule >= 0 {
				frame.in(to.rules[frame.rule], now)
			}
		}
	}
	t.unshown = 0
}

// take counts a frame, or returns false: another tenant's are counted there, by a rule
// that many have, or it is full.
func (p *passed) take(frame *counted, now int64) bool {
	switch {
	case p.frames == 0:
		p.tenant, p.first = frame.tenant, now
	case p.tenant != frame.tenant || p.frames == math.MaxUint32:
		return false
	}
	p.frames++
	p.bytes += frame.bytes
	p.last = now
	return true
}

// begin makes room for what passes under a policy. The caller has t.mu.
func (t *tallies) begin(c *counting) {
	c.passed = make([]passed, len(c.rules)+len(c.tenants))
	t.unsettled = append(t.unsettled, c)
}

// settle moves what has passed to the tallies, and forgets where the worker counts no
// more. The caller has t.mu.
func (t *tallies) settle() {
	kept := t.unsettled[:0]
	for _, c := range t.unsettled {
		t.showing.Lock()
		used := c == t.now || c == t.next
		t.showing.Unlock()
		c.settle(t)
		if used {
			kept = append(kept, c)
		}
	}
	clear(t.unsettled[len(kept):])
	t.unsettled = kept
}

func (c *counting) settle(t *tallies) {
	for from := 0; from < len(c.passed); from += settleAtOnce {
		t.showing.Lock()
		for i := from; i < min(from+settleAtOnce, len(c.passed)); i++ {
			p := &c.passed[i]
			if p.frames == 0 {
				continue
			}
			p.in(c.tenants[p.tenant])
			if i < len(c.rules) {
				p.in(c.rules[i])
			}
			*p = passed{}
		}
		t.showing.Unlock()
	}
}

func (p *passed) in(t *Tally) {
	t.Frames += uint64(p.frames)
	t.Bytes += p.bytes
	t.met(p.first, p.last)
}
