package tui

import (
	"cmp"
	"time"

	"sttwall/control"
)

// hitRates are what rows of counters show a second, from two answers.
type hitRates struct {
	at   time.Time
	last map[string]control.Hits
	now  map[string]hitRate
}

// hitRate is a second.
type hitRate struct {
	frames, bytes, dropped, audited float64
	trend                           []float64 // of bytes, the newest last
}

// take takes the rows of an answer.
func (r *hitRates) take(e *env, n int, row func(int) (string, *control.Hits)) {
	now := e.now()
	if r.last != nil && now.Sub(r.at) < leastApart {
		return
	}
	seconds := now.Sub(r.at).Seconds()
	last := make(map[string]control.Hits, n)
	rates := make(map[string]hitRate, n)
	for i := range n {
		name, h := row(i)
		last[name] = *h
		before, known := r.last[name]
		if !known || seconds <= 0 || h.Frames < before.Frames {
			continue
		}
		a := func(now, then uint64) float64 { return float64(now-min(now, then)) / seconds }
		rate := hitRate{a(h.Frames, before.Frames), a(h.Bytes, before.Bytes), a(h.Dropped, before.Dropped), a(h.Audited, before.Audited), nil}
		past := append(r.now[name].trend, rate.bytes)
		rate.trend = past[max(0, len(past)-trendOf):]
		rates[name] = rate
	}
	r.at, r.last, r.now = now, last, rates
}

// hitColumns are the columns of counters, behind those of what they count.
func hitColumns[T any](s *listing[T]) []column[T] {
	hits := func(r *T) *control.Hits {
		_, h := s.hits(r)
		return h
	}
	rate := func(r *T) hitRate {
		name, _ := s.hits(r)
		return s.rates.now[name]
	}
	number := func(key, title string, drop int, get func(*control.Hits) uint64, write func(uint64) string, hot tone) column[T] {
		return column[T]{Key: key, Title: title, Min: 6, Max: 6, Right: true, Drop: drop, Largest: true,
			Less: func(a, b *T) int { return cmp.Compare(get(hits(a)), get(hits(b))) },
			Cell: func(r *T) cell {
				n := get(hits(r))
				if n == 0 {
					return cell{"0", toneDim}
				}
				return cell{write(n), hot}
			},
			File: func(r *T) string { return fileNumber(get(hits(r))) }}
	}
	return []column[T]{
		{Key: "rate", Title: "RATE", Min: 7, Max: 8, Right: true, Largest: true,
			Less: func(a, b *T) int { return cmp.Compare(rate(a).bytes, rate(b).bytes) },
			Cell: func(r *T) cell {
				if n := rate(r).bytes; n > 0 {
					return cell{bitsText(n), toneStrong}
				}
				return cell{"0", toneDim}
			},
			File: func(r *T) string { return fileBits(rate(r).bytes) }},
		{Key: "trend", Title: "TREND", Min: 12, Max: 12, Drop: 6, Drawn: true, Cell: func(r *T) cell { return cell{s.env.spark(rate(r).trend, trendOf), tonePlot} }},
		number("frames", "FRAMES", 3, func(h *control.Hits) uint64 { return h.Frames }, countText, toneText),
		number("bytes", "BYTES", 4, func(h *control.Hits) uint64 { return h.Bytes }, bytesText, toneText),
		number("flows", "BEGUN", 5, func(h *control.Hits) uint64 { return h.Flows }, countText, toneText),
		number("dropped", "DROPPED", 1, func(h *control.Hits) uint64 { return h.Dropped }, countText, toneDrop),
		number("audited", "AUDITED", 2, func(h *control.Hits) uint64 { return h.Audited }, countText, toneAudit),
		{Key: "last", Title: "LAST HIT", Min: 8, Max: 13, Right: true, Drop: 7, Largest: true,
			Less: func(a, b *T) int { return hitAt(hits(a)).Compare(hitAt(hits(b))) },
			Cell: func(r *T) cell {
				h := hits(r)
				switch {
				case h.Last != nil:
					return cell{ageText(s.env.now().Sub(*h.Last)) + " ago", toneText}
				case h.UnusedSince != nil:
					return cell{"unused " + ageText(s.env.now().Sub(*h.UnusedSince)), toneDim}
				}
				return cell{}
			},
			File: func(r *T) string { return fileTime(hits(r).Last) }},
	}
}

func hitAt(h *control.Hits) time.Time {
	if h.Last == nil {
		return time.Time{}
	}
	return *h.Last
}
