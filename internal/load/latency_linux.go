package load

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Latency is what came of a [Lab.Latency].
type Latency struct {
	Result
	// Times are from the moment at which the source wrote a packet to the sink's first
	// look at it.
	Times Histogram
	// Wrong is how many packets did not end in a time of the source.
	Wrong uint64
}

// Latency sends pps packets a second, evenly, each by itself, and times each of them.
func (l *Lab) Latency(ctx context.Context, t Traffic, pps float64, duration time.Duration) (r Latency, err error) {
	if !(pps >= 1 && pps <= 1e9) {
		return r, fmt.Errorf("load: %g packets a second: 1 to 1e9", pps)
	}
	if err := l.Open(ctx, t); err != nil {
		return r, err
	}
	histogram, err := newHistogramMap()
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, l.attachSinks(nil, 0), histogram.Close()) }()
	if err := l.attachSinks(histogram, t.stampAt()); err != nil {
		return r, err
	}
	wrong := l.board.sum(seenWrong)
	if r.Result, err = l.flow(ctx, t, duration, time.Duration(float64(time.Second)/pps)); err != nil {
		return r, err
	}
	r.Wrong = l.board.sum(seenWrong) - wrong
	if err := histogram.Lookup(uint32(0), &r.Times); err != nil {
		return r, fmt.Errorf("load: histogram: %w", err)
	}
	return r, nil
}
