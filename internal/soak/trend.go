package soak

import (
	"math"
	"slices"
	"time"
)

// Line is where a series goes. All in the series' own unit.
type Line struct {
	// Level is the median of the first tenth of what was judged.
	Level float64
	// Growth is what the slope makes of the time that was judged: the slope is the median of
	// those between each two points (Theil and Sen). Least is the same for the lower end of
	// the slope's confidence interval, 99 % on both sides (Sen 1968).
	Growth, Least float64
	// Points is how many points the slope was taken from; 0: too few, and nothing is known.
	Points int
}

const (
	// warmUp is the part of a run that is not judged, but at least leastWarmUp: tables and
	// buffers, all of them bounded, are used for the first time in it.
	warmUp      = 0.25
	leastWarmUp = 5 * time.Minute
	// fewest and most points of a line. With more samples each point is the median of
	// several neighbours, so that the waves of a garbage-collected heap do not count.
	fewest, most = 12, 100
	// confidence is the 99.5th percentile of the normal distribution.
	confidence = 2.576
)

// warm leaves out the samples of the warm-up.
func warm(samples []Sample) []Sample {
	if len(samples) == 0 {
		return nil
	}
	from := max(time.Duration(float64(samples[len(samples)-1].After)*warmUp), leastWarmUp)
	i := slices.IndexFunc(samples, func(s Sample) bool { return s.After >= from })
	if i < 0 {
		return nil
	}
	return samples[i:]
}

// Trend is where values go that were taken at even times.
func Trend(values []float64) Line {
	points := thinned(values)
	if len(points) < fewest {
		return Line{}
	}
	var slopes []float64
	for i := range points {
		for j := i + 1; j < len(points); j++ {
			slopes = append(slopes, (points[j]-points[i])/float64(j-i))
		}
	}
	slices.Sort(slopes)
	n, pairs := float64(len(points)), len(slopes)
	width := confidence * math.Sqrt(n*(n-1)*(2*n+5)/18)
	lower := max(0, int(math.Floor((float64(pairs)-width)/2)))
	span := n - 1
	return Line{
		Level: median(points[:max(1, len(points)/10)]), Growth: median(slopes) * span, Least: slopes[lower] * span, Points: len(points),
	}
}

// thinned makes at most so many points of the values, each the median of neighbours.
func thinned(values []float64) []float64 {
	if len(values) <= most {
		return values
	}
	points := make([]float64, most)
	for i := range points {
		points[i] = median(values[i*len(values)/most : (i+1)*len(values)/most])
	}
	return points
}

// median of values, which stay as they are; 0 of none.
func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// Rises reports whether the line rises by more than may be: by more than chance makes of a
// flat one, and by more than allowed.
func (l *Line) Rises(allowed float64) bool {
	return l.Points > 0 && l.Least > 0 && l.Growth > allowed
}
