package load

import (
	"net/netip"
	"os"
	"testing"
	"time"
)

// newTestLab makes a lab, which needs root of the whole machine.
func newTestLab(t *testing.T, c LabConfig) *Lab {
	t.Helper()
	l, err := NewLab(c)
	if err != nil {
		if os.Getenv("CI") == "" || os.Geteuid() != 0 {
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
	for _, traffic := range []Traffic{{}, {Packet: Full1500}, {Packet: Segments45}, {Packet: Shuffled45}, {Flows: 1000}, {Flows: 1 << 20}, {Inner: UDP}, {Packet: GSO64K}} {
		r, err := l.Measure(t.Context(), traffic, 300*time.Millisecond)
		t.Logf("%+v: %+v %v", traffic, r, err)
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestTheEndsAreThoseThatAreAskedFor(t *testing.T) {
	l := newTestLab(t, LabConfig{Ends: Ends{
		Left: netip.MustParseAddr("10.47.0.1"), Right: netip.MustParseAddr("10.47.0.2"), Port: 7472, ContextID: 1 << 40, Back: 2 << 40,
		Client: netip.MustParseAddr("203.0.113.9"), Server: netip.MustParseAddr("10.1.0.10"), ServerPort: 8443,
	}})
	r, err := l.Measure(t.Context(), Traffic{Flows: 3 << portBits}, 50*time.Millisecond)
	if err != nil || r.Packets == 0 || r.Lost != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if _, err := l.Measure(t.Context(), Traffic{Flows: MaxFlows + 1}, time.Millisecond); err == nil {
		t.Error("more flows than there are")
	}
}
