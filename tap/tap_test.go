package tap

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"

	"sttwall/firewall"
	"sttwall/reason"
	"sttwall/reassembly"
)

func open(t testing.TB, taps *Taps, c Config) *Tap {
	t.Helper()
	one, err := taps.Open(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(one.Close)
	return one
}

// event is the n-th frame, whose bytes are of that length and begin with n.
func event(n uint32, length int) *firewall.FrameEvent {
	e := &firewall.FrameEvent{FrameID: n, HasHeader: true, InnerData: make([]byte, max(4, length))}
	binary.BigEndian.PutUint32(e.InnerData, n)
	for i := 4; i < len(e.InnerData); i++ {
		e.InnerData[i] = byte(n) + byte(i)
	}
	return e
}

func TestAReaderGetsWhatItWantsWithItsBytes(t *testing.T) {
	var taps Taps
	taps.Observe(event(0, 100)) // nobody is there
	all := open(t, &taps, Config{Snap: MaxSnap})
	odd := open(t, &taps, Config{Snap: 10, Wants: func(e *firewall.FrameEvent) bool { return e.FrameID%2 == 1 }})
	lengths := []int{60, 2048, 2049, 65000, 9000, 1500}
	for i, length := range lengths {
		e := event(uint32(i), length)
		e.Packets = []reassembly.Packet{{ID: 7, Length: 100}, {ID: 8, Offset: 100, Length: 200, GSO: true}}
		taps.Observe(e)
	}
	var f Frame
	for i, length := range lengths {
		if !all.Take(&f) || f.Seq != uint64(i+1) || f.Length != length || !bytes.Equal(f.Data, event(uint32(i), length).InnerData) {
			t.Fatalf("frame %d: seq %d, %d bytes of %d", i, f.Seq, len(f.Data), f.Length)
		}
		if !slices.Equal(f.Segments, []Segment{{0, 100, false}, {100, 200, true}}) || f.Event.Packets != nil || f.Event.InnerData != nil {
			t.Errorf("frame %d: %+v", i, f)
		}
	}
	for _, n := range []uint32{1, 3, 5} {
		if !odd.Take(&f) || f.Event.FrameID != n || len(f.Data) != 10 || f.Length != lengths[n] {
			t.Errorf("got %d, %d bytes of %d", f.Event.FrameID, len(f.Data), f.Length)
		}
	}
	if all.Take(&f) || odd.Take(&f) || all.Lost()+odd.Lost() != 0 {
		t.Error("there is more, or less")
	}
}

func TestASlowReaderLosesAndIsTold(t *testing.T) {
	for name, tt := range map[string]struct{ snap, length, room int }{
		"small frames": {64, 64, ringSize},
		"large ones":   {MaxSnap, 65000, chunks / maxChunks},
	} {
		t.Run(name, func(t *testing.T) {
			var taps Taps
			one := open(t, &taps, Config{Snap: tt.snap})
			var f Frame
			for round := range 3 {
				const more = 2000
				for i := range more {
					taps.Observe(event(uint32(i), tt.length))
				}
				got := 0
				for one.Take(&f) {
					if want := event(f.Event.FrameID, tt.length).InnerData; !bytes.Equal(f.Data, want) {
						t.Fatalf("frame %d has other bytes", f.Event.FrameID)
					}
					got++
				}
				if lost := one.Lost(); got < tt.room || got > ringSize || uint64(got)+lost != more {
					t.Errorf("round %d: got %d, lost %d, of %d", round, got, lost, more)
				}
			}
		})
	}
}

func TestTapsAreBounded(t *testing.T) {
	var taps Taps
	var list []*Tap
	for i := range MaxTaps {
		one, err := taps.Open(Config{Snap: 1, Outer: i%2 == 0})
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, one)
	}
	if _, err := taps.Open(Config{Snap: 1}); !errors.Is(err, ErrTooMany) {
		t.Errorf("got %v", err)
	}
	for _, one := range list {
		one.Close()
	}
	if taps.inner.Load() != nil || taps.outer.Load() != nil {
		t.Error("some are left")
	}
	for _, snap := range []int{0, -1, MaxSnap + 1} {
		if _, err := taps.Open(Config{Snap: snap}); err == nil {
			t.Errorf("%d bytes are taken", snap)
		}
	}
}

// Workers and the reader at the same time: each frame arrives whole, or is counted.
func TestManyWorkersAndAReader(t *testing.T) {
	var taps Taps
	one := open(t, &taps, Config{Snap: 5000})
	const workers, each = 4, 3000
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range each {
				taps.Observe(event(uint32(w*each+i), random.IntN(6000)))
			}
		})
	}
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		running.Wait()
		stop()
	}()
	var f Frame
	got := 0
	last := make([]int, workers)
	for {
		if !one.Take(&f) {
			if one.Wait(ctx) != nil && !one.ring.Ready() {
				break
			}
			continue
		}
		got++
		n := int(f.Event.FrameID)
		if n < last[n/each] {
			t.Fatalf("frame %d comes late", n)
		}
		last[n/each] = n
		if want := event(uint32(n), f.Length).InnerData[:min(f.Length, 5000)]; !bytes.Equal(f.Data, want) {
			t.Fatalf("frame %d has other bytes", n)
		}
	}
	if lost := one.Lost(); uint64(got)+lost != workers*each {
		t.Errorf("got %d, lost %d, of %d", got, lost, workers*each)
	}
}

func TestTappingAllocatesNothing(t *testing.T) {
	var taps Taps
	one := open(t, &taps, Config{Snap: MaxSnap, Wants: func(e *firewall.FrameEvent) bool { return e.Reason == reason.None }})
	e := event(1, 9000)
	f := Frame{Data: make([]byte, 0, 65536)}
	if n := testing.AllocsPerRun(5000, func() {
		taps.Observe(e)
		if e.FrameID++; e.FrameID%3 == 0 { // it is full at times
			one.Take(&f)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	e := event(1, 1500)
	b.Run("nobody", func(b *testing.B) {
		var taps Taps
		for b.Loop() {
			taps.Observe(e)
		}
	})
	b.Run("full", func(b *testing.B) {
		var taps Taps
		open(b, &taps, Config{Snap: MaxSnap})
		for b.Loop() {
			taps.Observe(e)
		}
	})
	b.Run("read", func(b *testing.B) {
		var taps Taps
		one := open(b, &taps, Config{Snap: MaxSnap})
		var f Frame
		for b.Loop() {
			taps.Observe(e)
			one.Take(&f)
		}
	})
}

func TestAnOpenTapWantsQuietFrames(t *testing.T) {
	var taps Taps
	if taps.WantsQuiet() {
		t.Error("nobody is there")
	}
	one, err := taps.Open(Config{Snap: 1})
	if err != nil {
		t.Fatal(err)
	}
	if !taps.WantsQuiet() {
		t.Error("somebody is there")
	}
	one.Close()
	if taps.WantsQuiet() {
		t.Error("they have left")
	}
}
