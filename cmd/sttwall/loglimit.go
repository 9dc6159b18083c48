package main

import (
	"hash/maphash"
	"net/netip"
	"time"

	"sttwall/limit"
)

// How many frames of rules with log = true are logged: who sends them must not fill the
// disk, nor hide the frames of others. What is over that is counted.
var (
	frameRate  = limit.Rate{Events: 500, Per: time.Second, Burst: 2000} // in all
	sourceRate = limit.Rate{Events: 100, Per: time.Second, Burst: 400}  // of one outer source
)

// frameLimit holds frames to those rates. Sources share the buckets by a hash with a
// secret, so that nobody chooses whose bucket he empties.
type frameLimit struct {
	seed    maphash.Seed
	all     limit.Bucket
	sources [64]limit.Bucket
}

func newFrameLimit() *frameLimit {
	l := &frameLimit{seed: maphash.MakeSeed()}
	l.all.Init(frameRate)
	for i := range l.sources {
		l.sources[i].Init(sourceRate)
	}
	return l
}

// take reports whether a frame of a source is logged at a time, in ns.
func (l *frameLimit) take(now int64, source netip.Addr) bool {
	return l.bucket(source).Take(now, 1) && l.all.Take(now, 1)
}

func (l *frameLimit) bucket(source netip.Addr) *limit.Bucket {
	return &l.sources[maphash.Comparable(l.seed, source)%uint64(len(l.sources))]
}
