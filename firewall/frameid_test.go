package firewall

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"sttwall/reason"
	"sttwall/stt"
)

func newFilter(t testing.TB, c FrameIDConfig) *FrameIDFilter {
	t.Helper()
	f, err := NewFrameIDFilter(c)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAFrameIDIsClaimedOnceWithin90Seconds(t *testing.T) {
	second := int64(time.Second)
	// The bitmaps turn at 90, 180, ... s; an ID may be claimed at any point of that.
	for _, start := range []int64{0, 1, 45, 89, 90, 91, 100, 179} {
		f := newFilter(t, FrameIDConfig{Bits: 20})
		at := start * second
		if !f.claim(at, endpointA, endpointB, 7) {
			t.Fatalf("claimed at %d s: not new", start)
		}
		for later := at; later <= at+90*second; later += second {
			if f.claim(later, endpointA, endpointB, 7) {
				t.Fatalf("claimed at %d s: new again at %d s", start, later/second)
			}
		}
	}
}

func TestAFrameIDIsForgottenInTheEnd(t *testing.T) {
	f := newFilter(t, FrameIDConfig{Bits: 20})
	f.claim(0, endpointA, endpointB, 7)
	for at := int64(0); at <= int64(270*time.Second); at += int64(time.Second) {
		f.turnAt(at)
	}
	if !f.claim(int64(271*time.Second), endpointA, endpointB, 7) {
		t.Error("still claimed after 271 s")
	}
}

func TestFrameIDsOfOtherEndpointsDoNotMatter(t *testing.T) {
	f := newFilter(t, FrameIDConfig{Bits: 26})
	if !f.claim(0, endpointA, endpointB, 7) || !f.claim(0, endpointB, endpointA, 7) || !f.claim(0, endpointA, endpointB, 8) {
		t.Error("a claim stood in for another")
	}
}

func TestOfManyWorkersOneGetsTheID(t *testing.T) {
	f := newFilter(t, FrameIDConfig{Bits: 20})
	for id := range uint32(500) {
		var won atomic.Int32
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				// Two of the workers see the bitmaps turn.
				at := int64(frameIDWindow) - 1 + int64(w%2)
				if f.claim(at, endpointA, endpointB, id) {
					won.Add(1)
				}
			})
		}
		wg.Wait()
		if won.Load() > 1 {
			t.Fatalf("ID %d: %d workers got it", id, won.Load())
		}
	}
}

func TestAFilterOutOfBoundsIsRefused(t *testing.T) {
	for _, bits := range []int{-1, minFrameIDBits - 1, maxFrameIDBits + 1} {
		if _, err := NewFrameIDFilter(FrameIDConfig{Bits: bits}); err == nil {
			t.Errorf("2^%d bits were taken", bits)
		}
	}
}

func frameIDs(t *testing.T, packets [][]byte) []uint32 {
	var ids []uint32
	for _, p := range packets {
		var s stt.Segment
		if r := s.Decode(p, len(p), []uint16{stt.Port}); r != reason.None || !s.ChecksumGood(p) {
			t.Fatalf("what left is refused: %v", r)
		}
		ids = append(ids, s.FrameID)
	}
	return ids
}

func TestAFrameOfSeveralPacketsDoesNotLeaveTwiceWithOneID(t *testing.T) {
	b := newBench(t, benchConfig{})
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 4000)), 1460)
	if left := b.one(reason.None, packets...); !equal(left, packets) {
		t.Fatal("the first did not leave as it came")
	}
	ids := frameIDs(t, b.one(reason.None, packets...))
	for _, id := range ids {
		if id == 5 || id != ids[0] {
			t.Errorf("the second left with IDs %v", ids)
		}
	}
	if got := b.fw.Counters().FrameIDsReplaced.Load(); got != 1 {
		t.Errorf("counted %d", got)
	}
}

func TestAFrameInOnePacketMayRepeatItsID(t *testing.T) {
	b := newBench(t, benchConfig{guard: 90 * time.Second})
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 100)), 0)
	for range 3 {
		if left := b.one(reason.None, packets...); !equal(left, packets) {
			t.Fatal("it was rewritten")
		}
	}
}

func TestASuperSegmentCountsAsSeveralPackets(t *testing.T) {
	b := newBench(t, benchConfig{})
	p := path()
	frame := sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 20000))
	data := stt.AppendSegment(nil, &p, &stt.Piece{FrameID: 5, FrameLength: len(frame), Payload: frame, Checksum: stt.ChecksumPartial})
	if v := b.sendAll(packetOf(1, data, true)); len(v) != 1 || v[0].Payload != nil {
		t.Fatalf("the first: %v", v)
	}
	if v := b.sendAll(packetOf(1, data, true)); len(v) != 1 || v[0].Payload == nil {
		t.Errorf("the second left with the same ID")
	}
}

func TestTheStartupGuardReplacesEveryIDOfSeveralPackets(t *testing.T) {
	b := newBench(t, benchConfig{guard: 90 * time.Second})
	start := b.now
	for i, tt := range []struct {
		after   time.Duration
		replace bool
	}{{0, true}, {89 * time.Second, true}, {90 * time.Second, false}} {
		b.now = start + int64(tt.after)
		id := uint32(1000 + i)
		packets := cut(path(), id, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 4000)), 1460)
		got := frameIDs(t, b.one(reason.None, packets...))[0]
		if (got != id) != tt.replace {
			t.Errorf("after %v: ID %d left as %d", tt.after, id, got)
		}
	}
}

// TestClaimsClearTheThirdBitmap: whether there are enough of them before the turn or
// not, all of it is clear then, and no claim is lost.
func TestClaimsClearTheThirdBitmap(t *testing.T) {
	words := 1 << (20 - 6)
	for _, claims := range []int{0, 1, words/clearAtOnce - 1, words / clearAtOnce, words} {
		f := newFilter(t, FrameIDConfig{Bits: 20})
		turned := int64(frameIDWindow)
		f.claim(turned, endpointA, endpointB, 0)
		third := f.maps[(f.turns.Load()+1)%3]
		for i := range third {
			third[i].Store(^uint64(0))
		}
		f.dirty.Store(0)
		for id := range claims {
			f.claim(turned, endpointB, endpointA, uint32(id))
		}
		dirty := 0
		for i := range third {
			if third[i].Load() != 0 {
				dirty++
			}
		}
		if want := max(0, words-claims*clearAtOnce); dirty != want {
			t.Errorf("%d claims: %d words are dirty, want %d", claims, dirty, want)
		}
		again := 2 * turned
		f.turnAt(again)
		if written := f.maps[f.turns.Load()%3]; &written[0] != &third[0] {
			t.Fatal("another map is written")
		}
		for i := range third {
			if third[i].Load() != 0 {
				t.Fatalf("%d claims: word %d is dirty when the map is written", claims, i)
			}
		}
		for id := range claims {
			if f.claim(again, endpointB, endpointA, uint32(id)) {
				t.Fatalf("%d claims: ID %d is new again", claims, id)
			}
		}
	}
}

// TestAtATurnOneWorkerGetsTheID: the maps are turned while several claim the same.
func TestAtATurnOneWorkerGetsTheID(t *testing.T) {
	f := newFilter(t, FrameIDConfig{Bits: 20})
	for round := range int64(300) {
		var got atomic.Int32
		var all sync.WaitGroup
		for worker := range int64(4) {
			all.Go(func() {
				// Half of them are there when it is time.
				if f.claim((round+1)*int64(frameIDWindow)-worker%2, endpointA, endpointB, uint32(round)) {
					got.Add(1)
				}
			})
		}
		all.Wait()
		if n := got.Load(); n > 1 {
			t.Fatalf("round %d: %d workers got the ID", round, n)
		}
	}
}

func TestAFullFilterDropsRatherThanRepeat(t *testing.T) {
	b := newBench(t, benchConfig{bits: minFrameIDBits})
	for i := range b.fw.ids.maps[0] {
		b.fw.ids.maps[0][i].Store(^uint64(0))
	}
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1, 80, 4000)), 1460)
	b.one(reason.FrameIDExhausted, packets...)
}

// BenchmarkFrameID: with the default size each claim meets memory that no cache
// holds. expected: it was asked for 45 claims before.
func BenchmarkFrameID(b *testing.B) {
	const ahead = 45
	for _, expected := range []bool{false, true} {
		b.Run(fmt.Sprintf("expected=%v", expected), func(b *testing.B) {
			f := newFilter(b, FrameIDConfig{})
			random := rand.NewPCG(1, 1)
			b.ReportAllocs()
			var id uint32
			for b.Loop() {
				id++
				if expected {
					f.expect(endpointA, endpointB, id+ahead)
				}
				f.fresh(0, endpointA, endpointB, id, random)
			}
		})
	}
}

// TestIDsThatFollowOneAnotherShareALine of memory, each with a bit of its own, and those
// of other endpoints or far away have other lines.
func TestIDsThatFollowOneAnotherShareALine(t *testing.T) {
	f := newFilter(t, FrameIDConfig{Bits: 26})
	if at := uintptr(unsafe.Pointer(&f.maps[0][0])); at%64 != 0 {
		t.Errorf("the map begins at %#x, within a line", at)
	}
	type bit struct{ word, mask uint64 }
	bits, lines := map[bit]bool{}, map[uint64]bool{}
	for id := range uint32(lineBits) {
		word, mask := f.place(endpointA, endpointB, 0x12345600+id)
		bits[bit{word, mask}], lines[word/lineWords] = true, true
	}
	if len(bits) != lineBits || len(lines) != 1 {
		t.Errorf("%d IDs: %d bits in %d lines, want as many in one", lineBits, len(bits), len(lines))
	}
	clear(lines)
	const others = 300 // of 131,072 lines: that eleven meet happens once in millions of runs
	for i := range uint32(others) {
		word, _ := f.place(endpointA, endpointB, i*lineBits)
		lines[word/lineWords] = true
		word, _ = f.place(endpointB, endpointA, i*lineBits)
		lines[word/lineWords] = true
	}
	if len(lines) < 2*others-10 {
		t.Errorf("%d blocks of IDs: %d lines", 2*others, len(lines))
	}
}
