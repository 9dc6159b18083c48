package load

import (
	"testing"
	"time"
)

func TestEachTimeIsCountedWhereItIsFound(t *testing.T) {
	last := -1
	for _, ns := range []uint64{0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 1000, 1 << 20, 1<<20 + 1<<16, 1<<40 - 1, 1 << 62, 1<<63 - 1} {
		s := slot(ns)
		if s < last || s >= histogramLen {
			t.Fatalf("%d ns: slot %d behind %d of %d", ns, s, last, histogramLen)
		}
		last = s
		if end := slotEnd(s); end < ns || end-ns > ns/(1<<fineBits) {
			t.Errorf("%d ns are shown as %d", ns, end)
		}
		if s > 0 && slotEnd(s-1) >= ns {
			t.Errorf("%d ns: the slot before ends at %d", ns, slotEnd(s-1))
		}
	}
}

func TestQuantilesAreTheTimesThatWereNotExceeded(t *testing.T) {
	var h Histogram
	if got := h.Quantile(0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
	for ns := uint64(1); ns <= 10_000; ns++ {
		h.Counts[slot(ns)]++
	}
	for q, want := range map[float64]time.Duration{0.0001: 1, 0.5: 5000, 0.99: 9900, 0.999: 9990, 1: 10_000} {
		if got := h.Quantile(q); got < want || got > want+want/(1<<fineBits) {
			t.Errorf("quantile %v: got %v, want %v", q, got, want)
		}
	}
}
