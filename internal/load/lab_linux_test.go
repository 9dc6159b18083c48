package load

import (
	"os"
	"testing"
	"time"
)

// newTestLab makes a lab, which needs root of the whole machine.
func newTestLab(t *testing.T, c LabConfig) *Lab {
	t.Helper()
	l, err := NewLab(c)
	if err != nil {
		if os.Getenv("CI") == "" && os.Geteuid() != 0 {
			t.Skipf("needs root, since BPF is closed to others: %v", err)
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func TestWhatIsSentArrives(t *testing.T) {
	l := newTestLab(t, LabConfig{})
	for _, traffic := range []Traffic{{}, {Packet: Full1500}, {Packet: Segments45}, {Packet: Shuffled45}, {Flows: 1000}, {Flows: 1 << 20}, {Inner: UDP}} {
		r, err := l.Measure(t.Context(), traffic, 300*time.Millisecond)
		t.Logf("%+v: %+v %v", traffic, r, err)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestLat(t *testing.T) {
	l := newTestLab(t, LabConfig{})
	for _, traffic := range []Traffic{{}, {Packet: Full1500}, {Packet: Segments45}, {Flows: 1000}} {
		r, err := l.Latency(t.Context(), traffic, 200000, 300*time.Millisecond)
		t.Logf("%+v: %+v %v %v %v %v %d %d", traffic, r.Result, err, r.Times.Quantile(.5), r.Times.Quantile(.99), r.Times.Quantile(.999), r.Wrong, r.Times.Count())
		if err != nil {
			t.Fatal(err)
		}
	}
}
