package firewall

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"sttwall/stt"
)

// load is frames as packets, ready to be sent again and again.
type load struct {
	fw      *Firewall
	packets []Packet
	out     Verdicts
	now     int64
}

func newLoad(t testing.TB, inner []byte, size int, h stt.FrameHeader, shuffle bool) *load {
	t.Helper()
	return newLoadOf(t, testRules, inner, size, h, shuffle)
}

func newLoadOf(t testing.TB, rules string, inner []byte, size int, h stt.FrameHeader, shuffle bool) *load {
	t.Helper()
	ids := newFilter(t, FrameIDConfig{Bits: 20})
	shared, err := NewShared(compile(t, rules), ids)
	if err != nil {
		t.Fatal(err)
	}
	fw, err := New(Config{Shared: shared, Random: rand.NewPCG(1, 2), Observer: func(*FrameEvent) {}})
	if err != nil {
		t.Fatal(err)
	}
	l := &load{fw: fw}
	for i, data := range cut(path(), 5, sttFrame(h, inner), size) {
		l.packets = append(l.packets, Packet{ID: uint64(i), Data: data, Length: len(data)})
	}
	if shuffle {
		rng := rand.New(rand.NewPCG(3, 3))
		rng.Shuffle(len(l.packets), func(i, j int) { l.packets[i], l.packets[j] = l.packets[j], l.packets[i] })
	}
	return l
}

// frame sends the frame once and reports whether all of its packets left.
func (l *load) frame() bool {
	l.out.Reset()
	l.now += int64(time.Millisecond) // so that the frame-ID filter forgets, however many are sent
	for i := range l.packets {
		l.fw.Process(l.now, &l.packets[i], &l.out)
	}
	for _, v := range l.out.List {
		if v.Action != Accept {
			return false
		}
	}
	return len(l.out.List) == len(l.packets)
}

func TestTheWayOfAPacketAllocatesNothing(t *testing.T) {
	big := innerTCP(t, 1000, 80, 65000)
	plain := stt.FrameHeader{ContextID: 100}
	for _, tt := range []struct {
		name    string
		inner   []byte
		size    int
		header  stt.FrameHeader
		shuffle bool
		packets int
	}{
		{"a frame in one packet", innerTCP(t, 1000, 80, 1400), 0, plain, false, 1},
		{"a frame in one packet, rewritten", innerTCP(t, 1000, 80, 1400), 0, stt.FrameHeader{ContextID: 100, Reserved: 1}, false, 1},
		{"a frame in 45 segments", big, 1460, plain, false, 45},
		{"a frame in 45 segments, out of order and rewritten", big, 1460, stt.FrameHeader{ContextID: 100, TCI: 42}, true, 45},
	} {
		t.Run(tt.name, func(t *testing.T) {
			l := newLoad(t, tt.inner, tt.size, tt.header, tt.shuffle)
			if len(l.packets) != tt.packets {
				t.Fatalf("%d packets, want %d", len(l.packets), tt.packets)
			}
			for range 3 { // until pools and arenas have their size
				if !l.frame() {
					t.Fatalf("it did not leave: %v", l.out.List)
				}
			}
			if got := testing.AllocsPerRun(100, func() { l.frame() }); got != 0 {
				t.Errorf("got %v allocations, want 0", got)
			}
		})
	}
}

func TestADroppedFrameAllocatesNothing(t *testing.T) {
	l := newLoad(t, innerTCP(t, 1000, 22, 4000), 1460, stt.FrameHeader{ContextID: 200}, false)
	for range 3 {
		l.frame()
	}
	if got := testing.AllocsPerRun(100, func() { l.frame() }); got != 0 {
		t.Errorf("got %v allocations, want 0", got)
	}
}

func BenchmarkProcess(b *testing.B) {
	for _, bm := range []struct{ frame, size int }{{150, 0}, {1500, 0}, {1500, 800}, {65000, 0}, {65000, 1460}} {
		l := newLoad(b, innerTCP(b, 1000, 80, bm.frame-72), bm.size, stt.FrameHeader{ContextID: 100}, false)
		b.Run(fmt.Sprintf("frame=%d/packets=%d", bm.frame, len(l.packets)), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(bm.frame))
			for b.Loop() {
				if !l.frame() {
					b.Fatal("it did not leave")
				}
			}
		})
	}
}
