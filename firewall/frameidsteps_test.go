package firewall

import (
	"net/netip"
	"testing"
)

// Senders in the captures count in steps of 256: their IDs use all of the filter too.
func TestFrameIDsInStepsUseAllOfTheFilter(t *testing.T) {
	const ids = 1 << 14
	f, err := NewFrameIDFilter(FrameIDConfig{Bits: 20})
	if err != nil {
		t.Fatal(err)
	}
	src, dst := netip.MustParseAddr("10.47.1.1"), netip.MustParseAddr("10.47.2.1")
	used := 0
	for i := range uint32(ids) {
		if !f.claim(0, src, dst, 0xf3+i*256) {
			used++
		}
	}
	// Of 2^20 bits 2^14 are set in the end: half of that share on the way, 128, is expected.
	if used > 400 {
		t.Errorf("%d of %d IDs were taken for used ones", used, ids)
	}
}
