package reassembly

import (
	"net/netip"
	"testing"
)

// Frame IDs and addresses that make a pattern are as many to a list as others; and what
// somebody has found to meet in one table does not meet in another, which has another
// secret.
func TestFramesThatMakeAPatternDoNotCrowd(t *testing.T) {
	const frames = 1 << 13
	for name, key := range map[string]func(i uint32) Key{
		"in a row":           func(i uint32) Key { return Key{endpointA, endpointB, i} },
		"in steps of 65,536": func(i uint32) Key { return Key{endpointA, endpointB, i << 16} },
		"sources":            func(i uint32) Key { return Key{netip.AddrFrom4([4]byte{10, byte(i >> 8), byte(i), 0}), endpointB, 7} },
		"both": func(i uint32) Key {
			return Key{netip.AddrFrom4([4]byte{10, 0, byte(i >> 7), 0}), endpointB, i & 0x7f << 25}
		},
	} {
		table := newTable(frames)
		for i := range uint32(frames) {
			table.add(&entry{key: key(i)})
		}
		if n := longest(&table); n > 16 { // of 8,192 in 8,192 or more lists; 16 in one is one chance in 2^40
			t.Errorf("%s: a list of %d frames", name, n)
		}
	}

	known, met := newTable(frames), newTable(frames)
	first := known.list(&Key{endpointA, endpointB, 0})
	for i, found := uint32(0), 0; found < 64; i++ {
		if k := (Key{endpointA, endpointB, i}); known.list(&k) == first {
			known.add(&entry{key: k})
			met.add(&entry{key: k})
			found++
		}
	}
	if n := longest(&known); n != 64 {
		t.Fatalf("the longest list has %d frames, want the 64 that were chosen", n)
	}
	if n := longest(&met); n > 8 {
		t.Errorf("of 64 frames chosen for another secret %d meet", n)
	}
}

func longest(t *table) (most int) {
	for _, e := range t.lists {
		n := 0
		for ; e != nil; e = e.next {
			n++
		}
		most = max(most, n)
	}
	return most
}
