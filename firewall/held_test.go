package firewall

import (
	"testing"

	"sttwall/stt"
)

func TestOthersSeeWhatWasHeldWhenTheWorkerRested(t *testing.T) {
	b := newBench(t, benchConfig{})
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1000, 80, 3000)), 1400)
	b.send(packets[0], packets[1])
	if got := b.fw.HeldLately(); got != (Held{}) {
		t.Errorf("before it rested: %+v", got)
	}
	b.fw.Rest()
	if got := b.fw.HeldLately(); got != b.fw.Held() || got.Frames != 1 || got.Packets != 2 || got.Bytes == 0 || got.Sources != 1 {
		t.Errorf("two packets of a frame: %+v, want %+v", got, b.fw.Held())
	}
	b.send(packets[2])
	b.fw.Rest()
	if got := b.fw.HeldLately(); got.Packets != 0 || got != b.fw.Held() {
		t.Errorf("the frame is whole: %+v, want %+v", got, b.fw.Held())
	}

	f := newFragmentBench(t, benchConfig{})
	f.run(datagram{context: 400, port: 53}, "1 2", "")
	f.fw.Rest()
	if got := f.fw.HeldLately(); got != f.fw.Held() || got.Fragments != 2 || got.FragmentPackets != 2 || got.FragmentMemory == 0 {
		t.Errorf("two later fragments: %+v, want %+v", got, f.fw.Held())
	}
	sum := f.fw.Held()
	sum.Add(b.fw.Held())
	sum.Add(f.fw.Held())
	if sum.Fragments != 4 || sum.Idle != b.fw.Held().Idle+2*f.fw.Held().Idle {
		t.Errorf("together: %+v", sum)
	}
}

func TestRestAllocatesNothing(t *testing.T) {
	b := newBench(t, benchConfig{})
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerTCP(t, 1000, 80, 3000)), 1400)
	one, held := Packet{ID: 1, Data: packets[0], Length: len(packets[0])}, 0
	if n := testing.AllocsPerRun(100, func() {
		b.now += 1e10 // what was held is over, and its tombstone
		b.out.Reset()
		b.fw.Expire(b.now, &b.out)
		b.fw.Rest()
		b.fw.Process(b.now, &one, &b.out)
		b.fw.Rest()
		held += b.fw.HeldLately().Packets
	}); n > 1 { // the event that the bench keeps
		t.Errorf("%v allocations", n)
	}
	if held == 0 {
		t.Error("nothing was held")
	}
}

func BenchmarkRest(b *testing.B) {
	fw := newBench(b, benchConfig{}).fw
	b.ReportAllocs()
	for b.Loop() {
		fw.Rest()
	}
}
