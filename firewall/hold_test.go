package firewall

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"

	"sttwall/stt"
)

func TestABusyWorkerLooksAtWhatItHolds(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	other, err := New(Config{Shared: b.shared, Random: rand.NewPCG(3, 4)})
	if err != nil {
		t.Fatal(err)
	}
	busy := datagram{context: 401, port: 1, size: 100}
	early, d := datagram{context: 400, port: 53, id: 1}, datagram{context: 400, port: 53, id: 2}
	lost := b.send(early, endpointA, early.fragments(t)[1])
	b.now += int64(DefaultHoldWait) - int64(time.Millisecond)
	waits := b.send(d, endpointA, d.fragments(t)[1])
	data := d.packet(endpointA, d.fragments(t)[0])
	other.Process(b.now, &Packet{ID: 1, Data: data, Length: len(data)}, new(Verdicts))
	b.send(busy, endpointA, innerUDP(t, 100))
	if b.fates[lost] != "" || b.fates[waits] != "" {
		t.Errorf("too soon: %q, %q", b.fates[lost], b.fates[waits])
	}
	b.now += int64(time.Millisecond)
	b.send(busy, endpointA, innerUDP(t, 100))
	if b.fates[lost] != "fragment_first_missing" || b.fates[waits] != "passed" {
		t.Errorf("%q, %q", b.fates[lost], b.fates[waits])
	}
}

func TestAWaitingFragmentComesBeforeAnUnfinishedFrame(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	d := datagram{context: 400, port: 53}
	part := cut(path(), 77, sttFrame(stt.FrameHeader{ContextID: 401}, innerUDP(t, 1000)), 600)[0]
	b.bench.send(part)
	frame, _ := b.fw.NextDeadline()
	b.send(d, endpointA, d.fragments(t)[1])
	if at, ok := b.fw.NextDeadline(); !ok || at >= frame || at > b.now+2e6 {
		t.Errorf("looks after %v", time.Duration(at-b.now))
	}
	b.wait(DefaultHoldWait)
	if at, ok := b.fw.NextDeadline(); !ok || at != frame {
		t.Errorf("then after %v", time.Duration(at-b.now))
	}
}

func TestAFragmentFollowsAFirstOfAnotherWorker(t *testing.T) {
	for _, tt := range []struct {
		port uint16
		want string
	}{{53, "passed"}, {514, "rule_drop"}} {
		b := newFragmentBench(t, benchConfig{})
		other, err := New(Config{Shared: b.shared, Random: rand.NewPCG(3, 4)})
		if err != nil {
			t.Fatal(err)
		}
		d := datagram{context: 400, port: tt.port}
		frames := d.fragments(t)
		early := b.send(d, endpointA, frames[1])
		if _, known := b.fates[early]; known {
			t.Fatal("decided without its first")
		}
		deadline, ok := b.fw.NextDeadline()
		if !ok || deadline > b.now+int64(2*time.Millisecond) {
			t.Fatalf("looks again after %v", time.Duration(deadline-b.now))
		}
		var out Verdicts
		data := d.packet(endpointA, frames[0])
		other.Process(b.now, &Packet{ID: 1, Data: data, Length: len(data)}, &out)
		b.wait(2 * time.Millisecond)
		if got := b.fates[early]; got != tt.want {
			t.Errorf("port %d: %q, want %s", tt.port, got, tt.want)
		}
		if late := b.send(d, endpointA, frames[2]); b.fates[late] != tt.want {
			t.Errorf("port %d, the last: %q, want %s", tt.port, b.fates[late], tt.want)
		}
		if _, waits := b.fw.NextDeadline(); waits {
			t.Error("something still waits")
		}
	}
}

func TestWorkersDecideFragmentsTogether(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	const workers, packets = 3, 400
	queues := make([][]Packet, workers)
	r := rand.New(rand.NewPCG(5, 5))
	for n := range packets {
		d := datagram{context: 400, port: []uint16{53, 514}[n%2], id: uint32(n + 1)}
		for i, frame := range d.fragments(t) {
			data := d.packet(endpointA, frame)
			w := r.IntN(workers)
			queues[w] = append(queues[w], Packet{ID: uint64(n*10 + i), Data: data, Length: len(data)})
		}
	}
	fates := make([]map[uint64]Action, workers)
	var running, first sync.WaitGroup
	first.Add(workers)
	for w := range workers {
		fates[w] = map[uint64]Action{}
		fw, err := New(Config{Shared: b.shared, Random: rand.NewPCG(uint64(w), 4)})
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() {
			var out Verdicts
			now := b.now
			for i := range queues[w] {
				now += 1000
				fw.Process(now, &queues[w][i], &out)
			}
			// What the others were slower with is known when all are through.
			first.Done()
			first.Wait()
			fw.Expire(now+int64(5*time.Millisecond), &out)
			fw.Flush(&out)
			for _, v := range out.List {
				fates[w][v.ID] = v.Action
			}
		})
	}
	running.Wait()
	all := map[uint64]Action{}
	for _, f := range fates {
		for id, action := range f {
			all[id] = action
		}
	}
	for n := range packets {
		want := []Action{Accept, Drop}[n%2]
		for i := range 3 {
			if got, ok := all[uint64(n*10+i)]; !ok || got != want {
				t.Errorf("packet %d, fragment %d: %v, want %v", n, i, got, want)
			}
		}
	}
}

func TestHeldFragmentsHaveABound(t *testing.T) {
	newBound := func(c HoldConfig) (*fragmentBench, *Firewall) {
		b := newFragmentBench(t, benchConfig{hold: c})
		return b, b.fw
	}
	others := netip.MustParseAddr("192.0.2.7")
	d := func(n int) datagram { return datagram{context: 400, port: 53, id: uint32(n)} }

	t.Run("of a source: its oldest goes", func(t *testing.T) {
		b, fw := newBound(HoldConfig{Packets: 8, SourcePackets: 3})
		mine := b.send(d(9), others, d(9).fragments(t)[1])
		var ids []uint64
		for n := range 5 {
			ids = append(ids, b.send(d(n), endpointA, d(n).fragments(t)[1]))
		}
		for i, id := range ids {
			want := ""
			if i < 2 {
				want = "fragment_hold_full"
			}
			if b.fates[id] != want {
				t.Errorf("fragment %d: %q, want %q", i, b.fates[id], want)
			}
		}
		if held := fw.Held(); held.Fragments != 4 || held.FragmentPackets != 4 || b.fates[mine] != "" {
			t.Errorf("%+v; the other source: %q", held, b.fates[mine])
		}
	})
	t.Run("of all: the oldest goes", func(t *testing.T) {
		b, fw := newBound(HoldConfig{Packets: 3, SourcePackets: 3})
		mine := b.send(d(9), others, d(9).fragments(t)[1])
		for n := range 3 {
			b.send(d(n), endpointA, d(n).fragments(t)[1])
		}
		if held := fw.Held(); held.Fragments != 3 || b.fates[mine] != "fragment_hold_full" {
			t.Errorf("%+v; the oldest: %q", held, b.fates[mine])
		}
	})
	t.Run("of memory", func(t *testing.T) {
		b, fw := newBound(HoldConfig{Memory: 4 << 10})
		long := datagram{context: 400, port: 53, mtu: 2400, size: 9000}
		if id := b.send(long, endpointA, long.fragments(t)[1]); b.fates[id] != "fragment_hold_full" {
			t.Errorf("more than a share: %q", b.fates[id])
		}
		small := datagram{context: 400, port: 53, mtu: 800}
		b.send(small, endpointA, small.fragments(t)[1])
		b.send(small, endpointA, small.fragments(t)[2])
		if held := fw.Held(); held.Fragments != 1 || held.FragmentMemory != 1<<10 {
			t.Errorf("%+v", held)
		}
	})
	t.Run("in audit mode they pass", func(t *testing.T) {
		b, _ := newBound(HoldConfig{Packets: 1})
		trial := func(n int) datagram { return datagram{context: 402, id: uint32(n)} }
		oldest := b.send(trial(1), endpointA, trial(1).fragments(t)[1])
		b.send(trial(2), endpointA, trial(2).fragments(t)[1])
		if b.fates[oldest] != "audit: fragment_hold_full" {
			t.Errorf("%q", b.fates[oldest])
		}
	})
	for _, c := range []HoldConfig{{Packets: -1}, {SourcePackets: -1}, {Packets: 4, SourcePackets: 5}, {Memory: -1}, {Wait: -1}} {
		if _, err := New(Config{Shared: newFragmentBench(t, benchConfig{}).shared, Random: rand.NewPCG(1, 2), Hold: c}); err == nil {
			t.Errorf("%+v is taken", c)
		}
	}
}

// While others make room for a fragment, another worker may decide its first one.
func TestAFirstFragmentThatComesWhileRoomIsMadeIsNoticed(t *testing.T) {
	b := newFragmentBench(t, benchConfig{hold: HoldConfig{Packets: 2, SourcePackets: 2}})
	other, err := New(Config{Shared: b.shared, Random: rand.NewPCG(3, 4)})
	if err != nil {
		t.Fatal(err)
	}
	d := datagram{context: 400, port: 53, id: 9}
	first := d.packet(endpointA, d.fragments(t)[0])
	for n := range 2 {
		o := datagram{context: 400, port: 53, id: uint32(n)}
		b.send(o, endpointA, o.fragments(t)[1])
	}
	observe := b.fw.observer
	b.fw.observer = func(e *FrameEvent) {
		observe(e)
		if len(b.events) == 1 {
			other.Process(b.now, &Packet{ID: 1, Data: first, Length: len(first)}, new(Verdicts))
		}
	}
	frame := sttFrame(stt.FrameHeader{ContextID: 400, Flags: stt.FlagChecksumVerified}, d.fragments(t)[1])
	b.bench.send(cut(path(), 6, frame, 700)...)
	if held := b.fw.Held(); held.Fragments != 1 || len(b.events) != 2 {
		t.Fatalf("%+v, %d stopped waiting", held, len(b.events))
	}
	b.now += holdLook
	b.out.Reset()
	b.fw.Expire(b.now, &b.out)
	if len(b.out.List) != 2 || b.out.List[0].Action != Accept {
		t.Errorf("a look later: %v", b.out.List)
	}
}

func TestAFragmentInSeveralPacketsWaits(t *testing.T) {
	b := newFragmentBench(t, benchConfig{})
	d := datagram{context: 400, port: 53}
	frame := sttFrame(stt.FrameHeader{ContextID: 400, Flags: stt.FlagChecksumVerified}, d.fragments(t)[1])
	packets := cut(path(), 6, frame, 500)
	b.bench.send(packets...)
	if held := b.fw.Held(); held.Fragments != 1 || held.FragmentPackets != len(packets) || held.Packets != 0 || len(b.out.List) != 0 {
		t.Fatalf("%+v, verdicts %v", held, b.out.List)
	}
	first := d.packet(endpointA, d.fragments(t)[0])
	b.out.Reset()
	b.fw.Process(b.now, &Packet{ID: 9, Data: first, Length: len(first)}, &b.out)
	var ids []uint64
	for _, v := range b.out.List {
		if v.Action == Accept && v.Payload == nil {
			ids = append(ids, v.ID)
		}
	}
	if want := "[9 1 2 3]"; fmt.Sprint(ids) != want {
		t.Errorf("packets %v left as they came, want %v", ids, want)
	}
}
