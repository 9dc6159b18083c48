package firewall

import (
	"hash/maphash"
	"net/netip"
	"testing"
)

// Frame IDs and endpoints that make a pattern lie on as many lines of the filter as
// others; and what somebody has found to meet in one filter does not meet in another.
func TestFrameIDsThatMakeAPatternDoNotCrowd(t *testing.T) {
	filter := func() *FrameIDFilter {
		f, err := NewFrameIDFilter(FrameIDConfig{Bits: 22}) // 8,192 lines
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	dst := netip.AddrFrom4([4]byte{10, 47, 2, 1})
	endpoint := func(i uint32) netip.Addr { return netip.AddrFrom4([4]byte{10, 47, byte(i >> 8), byte(i)}) }
	endpoint6 := func(i uint32) netip.Addr { return netip.AddrFrom16([16]byte{0xfd, 12: byte(i >> 8), 15: byte(i)}) }
	const lines = 1 << 13
	for name, place := range map[string]func(f *FrameIDFilter, i uint32) (uint64, uint64){
		"IDs":            func(f *FrameIDFilter, i uint32) (uint64, uint64) { return f.place(endpoint(1), dst, i*lineBits) },
		"IDs in steps":   func(f *FrameIDFilter, i uint32) (uint64, uint64) { return f.place(endpoint(1), dst, i<<19) },
		"endpoints":      func(f *FrameIDFilter, i uint32) (uint64, uint64) { return f.place(endpoint(i), dst, 7) },
		"IPv6 endpoints": func(f *FrameIDFilter, i uint32) (uint64, uint64) { return f.place(endpoint6(i), endpoint6(0), 7) },
		"IPv6 IDs": func(f *FrameIDFilter, i uint32) (uint64, uint64) {
			return f.place(endpoint6(1), endpoint6(0), i*lineBits)
		},
	} {
		f, count := filter(), map[uint64]int{}
		for i := range uint32(lines) {
			word, _ := place(f, i)
			count[word/lineWords]++
		}
		most := 0
		for _, n := range count {
			most = max(most, n)
		}
		if most > 16 || len(count) < lines/2 { // of 8,192 on as many lines 63 % of the lines are met
			t.Errorf("%s: %d lines are met, one %d times", name, len(count), most)
		}
	}

	known, other := filter(), filter()
	first, _ := known.place(endpoint(1), dst, 0)
	count := map[uint64]int{}
	for i, found := uint32(0), 0; found < 64; i++ {
		if word, _ := known.place(endpoint(1), dst, i*lineBits); word == first {
			word, _ = other.place(endpoint(1), dst, i*lineBits)
			count[word/lineWords]++
			found++
		}
	}
	for line, n := range count {
		if n > 8 {
			t.Errorf("of 64 chosen for another secret %d meet on line %d", n, line)
		}
	}
}

// Sources chosen to share one set of those that are known do not share one elsewhere.
func TestSourcesChosenForOneSecretDoNotMeetWithAnother(t *testing.T) {
	known, other := knownSources{seed: maphash.MakeSeed()}, knownSources{seed: maphash.MakeSeed()}
	count := map[*[knownWays]knownSource]int{}
	for i, found := uint32(0), 0; found < 128; i++ {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		if known.set(a) == &known.sets[0] {
			count[other.set(a)]++
			found++
		}
	}
	for _, n := range count {
		if n > 20 { // two are to be expected
			t.Errorf("%d of 128 meet in one of %d sets", n, knownSets)
		}
	}
}
