package reassembly

import (
	"slices"

	"sttwall/reason"
)

// runLen is how many packets a run has room for. A sender chooses the order in
// which its segments come: with one list of all, each could move thousands.
const runLen = 64

// span is the part of a frame that one packet carried: [start, end), and which one
// of the frame's packets that is.
type span struct{ start, end, index uint16 }

func spanOf(p *Packet, index int) span {
	return span{uint16(p.Offset), uint16(p.Offset + p.Length), uint16(index)}
}

// run is spans that follow each other, at least one.
type run struct {
	n     int
	spans [runLen]span
	next  *run // among the idle ones
}

// order is the packets of a frame by offset. Each run but the last is at least half
// full, so to insert costs a few hundred bytes moved, and two searches.
type order []*run

// place is where in an order a span is or would be.
type place struct{ run, at int }

// end is the place behind all spans.
func (o order) end() place {
	if len(o) == 0 {
		return place{}
	}
	return place{len(o) - 1, o[len(o)-1].n}
}

// find returns the place of the first span that starts at start or behind it, in
// the run of the one before it, if there is one. There must be a span.
func (o order) find(start int) place {
	i := len(o) - 1
	if int(o[i].spans[0].start) > start {
		// The last run that begins at start or before it; or the first of all.
		low, high := 0, i
		for low < high {
			if middle := (low + high) / 2; int(o[middle].spans[0].start) <= start {
				low = middle + 1
			} else {
				high = middle
			}
		}
		i = max(low-1, 0)
	}
	r := o[i]
	low, high := 0, r.n
	for low < high {
		if middle := (low + high) / 2; int(r.spans[middle&(runLen-1)].start) < start {
			low = middle + 1
		} else {
			high = middle
		}
	}
	return place{i, low}
}

// fit finds the place for a span [start, end), or why there is none.
func (o order) fit(start, end int) (place, reason.Reason) {
	at := o.find(start)
	r := o[at.run]
	if at.at > 0 && int(r.spans[at.at-1].end) > start {
		return at, reason.SegmentOverlap
	}
	var next span
	switch {
	case at.at < r.n:
		next = r.spans[at.at]
	case at.run+1 < len(o):
		next = o[at.run+1].spans[0]
	default:
		return at, reason.None
	}
	switch {
	case int(next.start) == start && int(next.end) == end:
		return at, reason.SegmentDuplicate
	case int(next.start) < end:
		return at, reason.SegmentOverlap
	}
	return at, reason.None
}

// insert puts a span at its place.
func (o *order) insert(at place, s span, p *pool) {
	if len(*o) == 0 {
		*o = append(*o, p.getRun())
	}
	r := (*o)[at.run]
	if r.n == runLen {
		behind := p.getRun()
		*o = slices.Insert(*o, at.run+1, behind)
		if at.at < runLen || at.run+2 < len(*o) {
			// Half of it moves. Behind the last one of all nothing has to.
			behind.n = copy(behind.spans[:], r.spans[runLen/2:])
			r.n = runLen / 2
		}
		if at.at > r.n || at.at == runLen {
			r, at.at = behind, at.at-r.n
		}
	}
	copy(r.spans[at.at+1:], r.spans[at.at:r.n])
	r.spans[at.at] = s
	r.n++
}
