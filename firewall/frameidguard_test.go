package firewall

import (
	"net/netip"
	"testing"
)

// The guard can be raised while packets are decided, and an earlier end does not lower it.
func TestFrameIDsAreGuardedOnceMore(t *testing.T) {
	f, err := NewFrameIDFilter(FrameIDConfig{Bits: 10})
	if err != nil {
		t.Fatal(err)
	}
	s := &Shared{frameIDs: f}
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	for i, step := range []struct {
		until, now int64
		free       bool
	}{{0, 5, true}, {20, 10, false}, {15, 19, false}, {0, 20, true}, {40, 39, false}} {
		s.GuardFrameIDs(step.until)
		if got := s.FrameIDsGuarded(step.now); got == step.free {
			t.Errorf("step %d: guarded: %v", i, got)
		}
		id := uint32(1000 * i)
		if got := f.unused(step.now, a, b, id); got != step.free {
			t.Errorf("step %d: unused: %v", i, got)
		}
		if got := f.take(step.now, a, b, id); got != step.free {
			t.Errorf("step %d: take: %v", i, got)
		}
	}
}
