package conntrack

import (
	"errors"
	"math/rand/v2"
	"slices"

	"sttwall/internal/ring"
)

// Ending says why a flow has ended.
type Ending uint8

// The endings.
const (
	EndedTimeout  Ending = iota // no packet came in time
	EndedClosed                 // TCP: both FINs were acknowledged, or a RST came
	EndedReplaced               // TCP: it was closed, and a SYN began the next flow with its key
	EndedEvicted                // nobody had answered, and another flow needed the place
	EndedDenied                 // the rules that hold now do not accept it
	EndedShutdown               // the firewall stops, see [Table.Remaining]
)

var endingNames = [...]string{"timeout", "closed", "replaced", "evicted", "denied", "shutdown"}

// String returns the name of the ending.
func (e Ending) String() string {
	if int(e) < len(endingNames) {
		return endingNames[e]
	}
	return "unknown"
}

// End is a flow that has ended, as it was then.
type End struct {
	Flow   Flow
	Ending Ending
	// EthSrc and EthDst are the MACs of its first packet.
	EthSrc, EthDst [6]byte
}

const (
	// endsRoom is how many ends wait for a watcher, 1.2 MB; what comes then is lost and
	// counted.
	endsRoom = 4096
	// maxWatchers is how many watch at once.
	maxWatchers = 4
	// closeGrace is for how long in ns nothing may have come of a closed TCP flow
	// before [Table.Reap] tells that it has ended: acknowledgments and repeats still
	// count. The table remembers it for longer.
	closeGrace = 2_000_000_000
)

// Ends are the flows that end while somebody watches. One goroutine at a time takes
// them.
type Ends struct{ ring *ring.Ring[End] }

// Take hands the end that was told the longest ago to use, which may not keep it;
// false if there is none.
func (e *Ends) Take(use func(*End)) bool { return e.ring.Take(use) }

// Waiting returns how many wait to be taken.
func (e *Ends) Waiting() int { return e.ring.Waiting() }

// Lost returns how many ends there was no room for.
func (e *Ends) Lost() uint64 { return e.ring.Lost() }

// WatchEnds has all flows told that end from now on, until leave is called. Ends by
// time are told when somebody looks at the flow: see [Table.Reap].
func (t *Table) WatchEnds() (e *Ends, leave func(), err error) {
	t.watching.Lock()
	defer t.watching.Unlock()
	list := t.watchers()
	if len(list) >= maxWatchers {
		return nil, nil, errors.New("flow table: too many watch the ends of flows")
	}
	r := ring.New[End](endsRoom)
	t.setWatchers(append(slices.Clone(list), r))
	return &Ends{r}, func() {
		t.watching.Lock()
		defer t.watching.Unlock()
		t.setWatchers(slices.DeleteFunc(slices.Clone(t.watchers()), func(one *ring.Ring[End]) bool { return one == r }))
	}, nil
}

func (t *Table) watchers() []*ring.Ring[End] {
	if list := t.ends.Load(); list != nil {
		return *list
	}
	return nil
}

func (t *Table) setWatchers(list []*ring.Ring[End]) {
	if len(list) == 0 {
		t.ends.Store(nil)
		return
	}
	t.ends.Store(&list)
}

// tell tells those who watch that a flow of a locked shard has ended, once: a copy,
// and no wait.
func (t *Table) tell(s *shard, shard, i uint32, why Ending) {
	list := t.ends.Load()
	if list == nil {
		return
	}
	e := s.at(i)
	if e.flags&flagTold != 0 {
		return
	}
	if why == EndedTimeout && e.closed() {
		why = EndedClosed
	}
	for _, to := range *list {
		t.tellEnd(to, s, shard, i, why)
	}
}

func (t *Table) tellEnd(to *ring.Ring[End], s *shard, shard, i uint32, why Ending) {
	slot := to.Claim()
	if slot == nil {
		return
	}
	filled := false
	defer func() { to.End(slot, filled) }()
	t.fillEnd(s, shard, i, &slot.Value)
	slot.Value.Ending = why
	filled = true
}

// fillEnd fills v but for the ending.
func (t *Table) fillEnd(s *shard, shard, i uint32, v *End) {
	e, r := s.at(i), s.record(i)
	t.show(e, r, &v.Flow)
	v.Flow.Handle = Handle{shard, i, e.version}
	v.EthSrc, v.EthDst = r.ethSrc, r.ethDst
}

// closed reports whether both sides of a TCP flow have done with it.
func (e *entry) closed() bool { return e.status == statusTimeWait || e.status == statusClose }

// Reap forgets all flows whose time is over, and tells those who watch of TCP flows
// that have been closed for two seconds. Somebody has to call it every few
// seconds, on no packet's way, if ends shall be told soon. A shard is locked for
// [sweepStep] entries at a time. It returns how many flows were forgotten.
func (t *Table) Reap(now int64) (done int) {
	t.inSteps(func(n, from uint32) bool {
		more, ended := t.reapSome(now, n, from)
		done += ended
		return more
	})
	return done
}

// reapSome is one hold of a lock of [Table.Reap].
func (t *Table) reapSome(now int64, n, from uint32) (more bool, done int) {
	s := &t.shards[n]
	s.mu.Lock()
	defer t.leave(n)
	for i := from; i < min(from+sweepStep, s.used); i++ {
		e := s.at(i)
		switch {
		case !e.live():
		case now >= e.expires(&t.config.Timeouts):
			t.end(s, n, i, EndedTimeout)
			t.stats.expired.Add(1)
			done++
		case e.closed() && now-e.last >= closeGrace && e.flags&flagTold == 0:
			t.tell(s, n, i, EndedClosed)
			e.flags |= flagTold
		}
	}
	return from+sweepStep < s.used, done
}

// Remaining shows all flows to visit, until it returns false, whose end nobody was told
// of: at the end of all. No shard is locked while visit runs.
func (t *Table) Remaining(now int64, visit func(*End) bool) {
	var some [sweepStep]End
	for n := range t.shards {
		for from, more := uint32(0), true; more; from += sweepStep {
			var count int
			count, more = t.remainingSome(now, uint32(n), from, &some)
			for i := range count {
				if !visit(&some[i]) {
					return
				}
			}
		}
	}
}

// remainingSome is one hold of a lock of [Table.Remaining].
func (t *Table) remainingSome(now int64, n, from uint32, some *[sweepStep]End) (count int, more bool) {
	s := &t.shards[n]
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := from; i < min(from+sweepStep, s.used); i++ {
		e := s.at(i)
		if !e.live() || e.flags&flagTold != 0 {
			continue
		}
		v := &some[count]
		t.fillEnd(s, n, i, v)
		switch {
		case e.closed():
			v.Ending = EndedClosed
		case now >= e.expires(&t.config.Timeouts):
			v.Ending = EndedTimeout
		default:
			v.Ending = EndedShutdown
		}
		count++
	}
	return count, from+sweepStep < s.used
}

// FlowID returns a number for a flow, of 51 bits, that none has had before as long
// as its place was taken no more than 2^26 times; 0 for a handle that is not valid.
// Another table has others.
func (t *Table) FlowID(h Handle) uint64 {
	if !h.Valid() {
		return 0
	}
	// Places are no more than 2^25: there are at most 2^24 flows, and each shard has
	// some to spare. Versions of flows are odd.
	place := uint64(h.index)*uint64(len(t.shards)) + uint64(h.shard)
	id := place | uint64(h.version>>1)<<placeBits
	return (id*idStep + t.idBegin) & (1<<idBits - 1)
}

const (
	placeBits, idBits = 25, 51
	idStep            = 0x5851f42d4c957 // odd: no two have the same product modulo 2^51
)

func newIDs() uint64 { return rand.Uint64() }
