package soak

import (
	"fmt"
	"strings"
	"time"

	"sttwall/internal/chaos"
)

// Check is one part of the verdict.
type Check struct {
	Name string `json:"name"`
	OK   bool   `json:"ok"`
	Text string `json:"text"`
}

// Verdict is all of it.
type Verdict []Check

// OK reports whether nothing was wrong.
func (v Verdict) OK() bool {
	for _, c := range v {
		if !c.OK {
			return false
		}
	}
	return true
}

// By how much something may have grown over the time that was judged: memory by a
// twentieth of its level or by so many bytes, whichever is more; the others by a count.
// That of descriptors is below the pair of a follower and its socket.
const (
	allowedShare      = 0.05
	allowedMemory     = 4 << 20
	allowedFiles      = 1.5
	allowedGoroutines = 2.5
)

// Judge says whether a run was as it should be.
func Judge(samples []Sample, end *End) Verdict {
	var v Verdict
	add := func(name string, ok bool, format string, args ...any) {
		v = append(v, Check{name, ok, fmt.Sprintf(format, args...)})
	}
	for _, s := range []struct {
		name    string
		of      func(*Sample) float64
		unit    string
		divide  float64
		allowed func(level float64) float64
	}{
		{"resident memory", func(s *Sample) float64 { return float64(s.Resident) }, " MiB", 1 << 20, allowedBytes},
		{"heap", func(s *Sample) float64 { return float64(s.Heap) }, " MiB", 1 << 20, allowedBytes},
		{"open files", func(s *Sample) float64 { return float64(s.Files) }, "", 1, func(float64) float64 { return allowedFiles }},
		{"goroutines", func(s *Sample) float64 { return float64(s.Goroutines) }, "", 1, func(float64) float64 { return allowedGoroutines }},
	} {
		judged := warm(samples)
		values := make([]float64, len(judged))
		for i := range judged {
			values[i] = s.of(&judged[i])
		}
		l := Trend(values)
		if l.Points == 0 {
			add(s.name, true, "not judged: %d samples behind the warm-up of %v are too few", len(judged), leastWarmUp)
			continue
		}
		allowed := s.allowed(l.Level)
		bad := l.Rises(allowed)
		word := "flat"
		if bad {
			word = "RISES"
		}
		add(s.name, !bad, "%s: %.1f%s after the warm-up, %+.2f until the end (at least %+.2f; allowed %.1f)", word,
			l.Level/s.divide, s.unit, l.Growth/s.divide, l.Least/s.divide, allowed/s.divide)
	}
	var asked, lost, overloaded, excused int
	for i, s := range samples {
		asked += s.Asked
		if s.Overload {
			overloaded++
		}
		if overloadOf(samples, i) {
			excused += s.Lost
		} else {
			lost += s.Lost
		}
	}
	add("accepted frames", lost == 0 && asked > 0, "%d of %d questions lost outside overload (there were %d intervals with overload, and %d lost in them)", lost, asked, overloaded, excused)
	add("transfers", end.Corrupt == 0 && end.Verified > 0, "%d MB over TCP compared, %d other bytes; %d whole, %d broken off", end.Verified/1_000_000, end.Corrupt, end.Whole, end.Broken)
	add("denied packets", end.Denied == 0 && end.DeniedSent > 0 && end.Missed == 0, "%d sent, %d arrived; the watch missed %d", end.DeniedSent, end.Denied, end.Missed)
	done := 0
	for _, n := range end.Done {
		done += n
	}
	what := fmt.Sprintf("%d made, %d not as they should be", done, len(end.Failed))
	if len(end.Failed) > 0 {
		what += ": " + strings.Join(end.Failed, "; ")
	}
	add("disturbances", len(end.Failed) == 0, "%s", what)
	return v
}

// overloadOf reports whether there was overload since the first of a sample's questions was
// asked, which is [chaos.Late] before the sample.
func overloadOf(samples []Sample, i int) bool {
	var asked time.Duration
	if i > 0 {
		asked = samples[i-1].After - chaos.Late
	}
	for ; i >= 0 && samples[i].After > asked; i-- {
		if samples[i].Overload {
			return true
		}
	}
	return false
}

func allowedBytes(level float64) float64 { return max(allowedMemory, allowedShare*level) }

// latency returns the median of the samples' p50 and p99, and the worst p99.
func latency(samples []Sample) (p50, p99, worst time.Duration) {
	var a, b []float64
	for _, s := range samples {
		if s.P50 > 0 {
			a, b = append(a, float64(s.P50)), append(b, float64(s.P99))
			worst = max(worst, s.P99)
		}
	}
	return time.Duration(median(a)), time.Duration(median(b)), worst
}
