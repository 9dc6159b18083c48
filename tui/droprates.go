package tui

import (
	"time"

	"sttwall/control"
)

// dropRates are how many are dropped a second for each reason, from two answers.
type dropRates struct {
	at   time.Time
	last map[string]uint64
	now  map[string]dropRate
}

type dropRate struct {
	rate  float64
	trend []float64 // the newest last
}

// take takes the rows of an answer. A reason that was not there before began at 0.
func (r *dropRates) take(now time.Time, drops []control.Drop) {
	if r.last != nil && now.Sub(r.at) < leastApart {
		return
	}
	seconds := now.Sub(r.at).Seconds()
	last := make(map[string]uint64, len(drops))
	rates := make(map[string]dropRate, len(drops))
	for i := range drops {
		d := &drops[i]
		last[d.Reason] = d.Count
		if r.last == nil || seconds <= 0 || d.Count < r.last[d.Reason] {
			continue
		}
		rate := float64(d.Count-r.last[d.Reason]) / seconds
		past := append(r.now[d.Reason].trend, rate)
		rates[d.Reason] = dropRate{rate, past[max(0, len(past)-trendOf):]}
	}
	r.at, r.last, r.now = now, last, rates
}
