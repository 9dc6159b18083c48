package limit

import (
	"math"
	"sync/atomic"
)

// Bucket holds tokens: each event takes one, and they come back at the rate.
// Any number of goroutines may use one. It must not be copied once used.
type Bucket struct {
	interval int64 // ns for a token to come back
	depth    int64 // ns for an empty bucket to fill
	full     atomic.Int64
}

// NewBucket returns a full bucket; r must be valid.
func NewBucket(r Rate) *Bucket {
	b := new(Bucket)
	b.Init(r)
	return b
}

// Init makes b a full bucket; r must be valid.
func (b *Bucket) Init(r Rate) {
	b.interval = r.interval()
	b.depth = b.interval * int64(r.Burst)
	b.full.Store(math.MinInt64)
}

// Continue takes over what is left in a bucket of the same rate and burst; after
// one of another it stays full. b must not be in use yet.
func (b *Bucket) Continue(old *Bucket) {
	if b.interval == old.interval && b.depth == old.depth {
		b.full.Store(old.full.Load())
	}
}

// Take takes n tokens at time now, in ns, and reports whether they were there;
// if not, none is taken. A clock that goes back a little, as between workers,
// gives nothing away.
func (b *Bucket) Take(now int64, n uint64) bool {
	if n > uint64(b.depth/b.interval) {
		return false
	}
	cost := int64(n) * b.interval
	for {
		full := b.full.Load() // when the bucket was, or will be, full
		next := max(full, now) + cost
		if next-now > b.depth {
			return false
		}
		if b.full.CompareAndSwap(full, next) {
			return true
		}
	}
}
