package eventlog

import (
	"sync/atomic"

	"sttwall/binding"
	"sttwall/firewall"
	"sttwall/limit"
	"sttwall/policy"
)

// framesRoom is how many frames wait to be written; a power of two. What comes then
// is lost and counted. The writer looks twenty times a second.
const framesRoom = 8192

// sampled are the types of events that the bound of [Config.Sampled] is for.
type sampled uint8

const (
	sampledDrop sampled = iota
	sampledReject
	sampledWouldDrop
	sampledAccept
	sampledMove
	sampledTypes
)

var sampledNames = [sampledTypes]string{TypeDrop, TypeReject, TypeWouldDrop, TypeAccept, TypeMove}

// what says which events a frame is.
type what uint8

const whatBegins what = 1 << sampledTypes // and a bit for each sampled type

// seen is a frame on its way from a worker.
type seen struct {
	frame firewall.FrameEvent
	moves [binding.MaxClaims]binding.Move // of the frame
	what  what
}

// sampler bounds events of a type. A type that has no bucket has no events.
type sampler struct {
	bucket  *limit.Bucket
	leftOut atomic.Uint64
}

func (s *sampler) take(now int64) bool {
	if s.bucket != nil && s.bucket.Take(now, 1) {
		return true
	}
	s.leftOut.Add(1)
	return false
}

// Observe takes what a worker tells of a frame; it is a [firewall.Config.Observer].
// It copies what is to be logged, never waits, and allocates nothing. A nil log
// takes nothing.
func (l *Log) Observe(e *firewall.FrameEvent) {
	if l == nil {
		return
	}
	w := l.whatIs(e)
	if w == 0 {
		return
	}
	slot := l.frames.Claim()
	if slot == nil {
		return
	}
	filled := false
	defer func() { l.frames.End(slot, filled) }()
	v := &slot.Value
	v.what, v.frame = w, *e
	v.frame.Forget()
	v.frame.Moves = v.moves[:copy(v.moves[:], e.Moves)]
	filled = true
}

// whatIs says which events a frame is, as far as there may be more of them.
func (l *Log) whatIs(e *firewall.FrameEvent) (w what) {
	add := func(s sampled) {
		if l.samplers[s].take(e.Decided) {
			w |= 1 << s
		}
	}
	if e.Verdict == firewall.Drop {
		if e.Decision.Action == policy.Reject {
			add(sampledReject)
		} else {
			add(sampledDrop)
		}
		return w
	}
	if e.Begins {
		w = whatBegins
	}
	if e.Decision.Audit {
		add(sampledWouldDrop)
	}
	if e.Decision.Log && !e.Begins {
		add(sampledAccept)
	}
	if len(e.Moves) > 0 {
		add(sampledMove)
	}
	return w
}
