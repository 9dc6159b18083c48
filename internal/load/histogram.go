package load

import (
	"math/bits"
	"time"
)

// Histogram counts times by size: each power of two of nanoseconds is cut into 16, so
// that a time is known to within one part in 16. [Histogram.Quantile] answers with the
// upper end.
type Histogram struct {
	Counts [histogramLen]uint64
}

const (
	fineBits     = 4
	histogramLen = (64 - fineBits) << fineBits
)

// slot is where a time of ns nanoseconds is counted.
func slot(ns uint64) int {
	if ns < 1<<fineBits {
		return int(ns)
	}
	high := bits.Len64(ns) - 1
	return (high-fineBits+1)<<fineBits + int(ns>>(high-fineBits)&(1<<fineBits-1))
}

// slotEnd is the longest time that is counted in a slot, in nanoseconds.
func slotEnd(slot int) uint64 {
	if slot < 1<<fineBits {
		return uint64(slot)
	}
	high := slot>>fineBits + fineBits - 1
	fine := uint64(slot & (1<<fineBits - 1))
	return (1<<fineBits+fine+1)<<(high-fineBits) - 1
}

// Count is how many times were counted.
func (h *Histogram) Count() (n uint64) {
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// Quantile returns the time that a part q of all (0 to 1) did not exceed; 0 if there
// are none.
func (h *Histogram) Quantile(q float64) time.Duration {
	rest := uint64(q * float64(h.Count()))
	for i, c := range h.Counts {
		if c > 0 && c >= rest {
			return time.Duration(slotEnd(i))
		}
		rest -= min(c, rest)
	}
	return 0
}
