package firewall

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"sttwall/handover"
)

// filterState is a filter as it is handed over: blocks without anything else.
func filterState(t testing.TB, f *FrameIDFilter, now int64) []byte {
	t.Helper()
	var b bytes.Buffer
	w := handover.NewWriter(&b)
	if err := (&handover.Header{}).Write(w); err != nil {
		t.Fatal(err)
	}
	if err := f.export(now, w); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// takeFilter has an empty filter take what another has handed over.
func takeFilter(t testing.TB, into *FrameIDFilter, state []byte, now, elapsed int64) error {
	t.Helper()
	r, err := handover.NewReader(bytes.NewReader(state))
	if err != nil {
		t.Fatal(err)
	}
	m := filterImport{into: into}
	for {
		kind, payload, err := r.Next()
		if err != nil {
			t.Fatal(err)
		}
		switch kind {
		case handover.KindFilter:
			err = m.begin(now, elapsed, payload)
		case handover.KindLines:
			err = m.take(payload)
		case handover.KindEnd:
			return nil
		}
		if err != nil {
			return err
		}
	}
}

var endpoint6 = netip.MustParseAddr("fd47::1")

func TestFrameIDsStayClaimedInAnotherFilter(t *testing.T) {
	second := int64(time.Second)
	for _, tt := range []struct{ was, is int }{{16, 16}, {16, 20}, {20, 16}, {10, 17}, {17, 10}} {
		for _, elapsed := range []int64{0, second / 100, 5 * second} {
			from := newFilter(t, FrameIDConfig{Bits: tt.was})
			r := rand.New(rand.NewPCG(1, uint64(tt.was)))
			type claimed struct {
				src netip.Addr
				id  uint32
				at  int64
			}
			var claims []claimed
			now := int64(0)
			for range 200 {
				now += int64(r.IntN(2)) * second
				c := claimed{[]netip.Addr{endpointA, endpoint6}[r.IntN(2)], r.Uint32(), now}
				from.claim(now, c.src, endpointB, c.id)
				claims = append(claims, c)
			}
			into := newFilter(t, FrameIDConfig{Bits: tt.is, Start: 7000 * second, StartupGuard: 90 * time.Second})
			clock := 7000*second + 5
			if err := takeFilter(t, into, filterState(t, from, now), clock, elapsed); err != nil {
				t.Fatal(err)
			}
			shift := clock - elapsed - now
			for _, c := range claims {
				if now := clock; now-(c.at+shift) < int64(frameIDWindow) && into.take(now, c.src, endpointB, c.id) {
					t.Fatalf("2^%d to 2^%d bits, %d ns after: ID %d of %v, claimed %d s before, is new", tt.was, tt.is, elapsed, c.id, c.src, (now-c.at-shift)/second)
				}
			}
			free := 0
			for range 100 {
				if into.take(clock, endpointB, endpointA, r.Uint32()) {
					free++
				}
			}
			if min(tt.was, tt.is) >= 16 && free < 90 { // no guard holds
				t.Errorf("2^%d to 2^%d bits: of 100 other IDs %d are new", tt.was, tt.is, free)
			}
			// They count for as long as they had to, and not for ever.
			for at := clock; at < clock+int64(frameIDWindow); at += second {
				into.turnAt(at)
				for _, c := range claims {
					if at-(c.at+shift) < int64(frameIDWindow) && into.unused(at, c.src, endpointB, c.id) {
						t.Fatalf("2^%d to 2^%d bits: forgotten %d s after it was claimed", tt.was, tt.is, (at-c.at-shift)/second)
					}
				}
			}
		}
	}
}

func TestWhatIsLeftOfAStartupGuardIsHandedOver(t *testing.T) {
	second := int64(time.Second)
	from := newFilter(t, FrameIDConfig{Bits: 16, StartupGuard: 90 * time.Second})
	state := filterState(t, from, 20*second)
	for _, tt := range []struct {
		own  time.Duration
		want int64 // s from the start
	}{{90 * time.Second, 60}, {0, 0}, {30 * time.Second, 30}} {
		into := newFilter(t, FrameIDConfig{Bits: 16, Start: 1000 * second, StartupGuard: tt.own})
		if err := takeFilter(t, into, state, 1000*second, 10*second); err != nil {
			t.Fatal(err)
		}
		if got := (into.guard.Load() - 1000*second) / second; got != tt.want {
			t.Errorf("with %v of its own: guarded for %d s, want %d", tt.own, got, tt.want)
		}
	}
}

func TestWhatIsNoFilterIsRefused(t *testing.T) {
	good := newFilter(t, FrameIDConfig{Bits: 10}).key.append(nil)
	good = append(good, 10)
	good = binary.LittleEndian.AppendUint64(good, 5)
	good = binary.LittleEndian.AppendUint64(good, 0)
	with := func(at int, v byte) []byte {
		b := bytes.Clone(good)
		b[at] = v
		return b
	}
	for name, b := range map[string][]byte{
		"cut off": good[:filterLen-1], "too small": with(64, 9), "too large": with(64, 37),
		"turned in years": with(65+7, 1), "turned before": with(65+7, 0x80), "guarded for centuries": with(73+7, 0x7f),
	} {
		m := filterImport{into: newFilter(t, FrameIDConfig{Bits: 12})}
		if err := m.begin(0, 0, b); !errors.Is(err, handover.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
	line := func(n uint32) []byte {
		return append(binary.LittleEndian.AppendUint32(nil, n), make([]byte, filterLineLen-4)...)
	}
	for name, b := range map[string][]byte{
		"cut off": line(0)[1:], "beyond the end": line(2), "twice": append(line(1), line(1)...), "out of order": append(line(olderMap), line(0)...),
	} {
		m := filterImport{into: newFilter(t, FrameIDConfig{Bits: 12})}
		if err := m.take(line(0)); !errors.Is(err, handover.ErrBroken) {
			t.Errorf("lines before all else: %v", err)
		}
		if err := m.begin(0, 0, good); err != nil {
			t.Fatal(err)
		}
		if err := m.begin(0, 0, good); !errors.Is(err, handover.ErrBroken) {
			t.Errorf("a second filter: %v", err)
		}
		if err := m.take(b); !errors.Is(err, handover.ErrBroken) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFrameIDsSpread: lines of a filter get even parts of what is hashed into them,
// also where all of it follows a pattern.
func TestFrameIDsSpread(t *testing.T) {
	const lines, each = 256, 200
	for name, at := range map[string]func(i int) (src, dst netip.Addr, part uint32){
		"parts":        func(i int) (netip.Addr, netip.Addr, uint32) { return endpointA, endpointB, uint32(i) },
		"upper parts":  func(i int) (netip.Addr, netip.Addr, uint32) { return endpointA, endpointB, uint32(i) << 16 },
		"sources":      func(i int) (netip.Addr, netip.Addr, uint32) { return v4(i), endpointB, 7 },
		"destinations": func(i int) (netip.Addr, netip.Addr, uint32) { return endpointA, v4(i << 8), 7 },
		"both":         func(i int) (netip.Addr, netip.Addr, uint32) { return v4(i), v4(i), uint32(i) },
		"IPv6":         func(i int) (netip.Addr, netip.Addr, uint32) { return v6(i), endpoint6, 7 },
		"IPv6, both":   func(i int) (netip.Addr, netip.Addr, uint32) { return v6(i), v6(i), uint32(i) },
	} {
		k := makeIDKey()
		var got [lines]float64
		for i := range lines * each {
			src, dst, part := at(i)
			got[k.hash(src, dst, part)%lines]++
		}
		chi := 0.0
		for _, n := range got {
			chi += (n - each) * (n - each) / each
		}
		// 255 degrees of freedom: more than 500 once in 10^17.
		if chi > 500 {
			t.Errorf("%s: chi square is %.0f", name, chi)
		}
	}
}

func v4(i int) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(i))))
}

func v6(i int) netip.Addr {
	var b [16]byte
	b[0] = 0xfd
	binary.BigEndian.PutUint32(b[12:], uint32(i))
	return netip.AddrFrom16(b)
}
