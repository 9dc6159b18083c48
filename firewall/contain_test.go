package firewall

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"sttwall/reason"
	"sttwall/stt"
)

// faultyTraffic is packets of frames in one packet and in several, some of them damaged,
// and inner fragments in any order.
func faultyTraffic(t *testing.T, r *rand.Rand) (packets []Packet) {
	add := func(id uint32, context uint64, frame []byte, size int) {
		for _, data := range cut(path(), id, sttFrame(stt.FrameHeader{ContextID: context}, frame), size) {
			if r.IntN(20) == 0 {
				data[r.IntN(len(data))] ^= 1
			}
			packets = append(packets, Packet{ID: uint64(len(packets)), Data: data, Length: len(data)})
		}
	}
	for id := range uint32(150) {
		size := []int{0, 0, 100}[r.IntN(3)]
		switch r.IntN(3) {
		case 0:
			add(id, 100, innerUDP(t, r.IntN(200)), size)
		case 1:
			add(id, []uint64{100, 200, 300}[r.IntN(3)], innerTCP(t, uint16(1000+r.IntN(5)), []uint16{22, 80, 443}[r.IntN(3)], r.IntN(200)), size)
		default:
			for i, fragment := range (datagram{id: id, port: 53}).fragments(t) {
				add(1000+10*id+uint32(i), 100, fragment, size*10)
			}
		}
	}
	r.Shuffle(len(packets), func(i, j int) { packets[i], packets[j] = packets[j], packets[i] })
	return packets
}

// Whatever panics, and wherever on the way: every packet has one verdict, none is let out
// that would not be without, and all others go on.
func TestAPanicCostsThePacketAtHandWhereverItIs(t *testing.T) {
	for stage := range Stages {
		t.Run(stage.String(), func(t *testing.T) {
			fired, lost := 0, 0
			for seed := range uint64(12) {
				r := rand.New(rand.NewPCG(seed, uint64(stage)))
				packets := faultyTraffic(t, r)
				b := newBench(t, benchConfig{panicked: func(p *Panic) {
					if p.Value != "a mistake" || !strings.Contains(string(p.Stack), "contain_test.go") {
						t.Errorf("told of %v\n%s", p.Value, p.Stack)
					}
				}, fault: func(Stage) {}})
				sound := newBench(t, benchConfig{fault: func(Stage) {}})
				sound.fw.ids.key = b.fw.ids.key
				armed, panics := 0, 0
				b.fw.fault = func(s Stage) {
					if s != stage || armed == 0 {
						return
					}
					if armed--; armed == 0 {
						panics++
						panic("a mistake")
					}
				}
				for rest := packets; len(rest) > 0; {
					n := min(len(rest), 1+r.IntN(80))
					if r.IntN(2) == 0 {
						armed = 1 + r.IntN(5)
					}
					b.fw.ProcessBatch(b.now, rest[:n], &b.out)
					sound.fw.ProcessBatch(sound.now, rest[:n], &sound.out)
					rest = rest[n:]
					if r.IntN(4) == 0 { // some frames come too late, and all panics are minutes apart
						b.now += 61e9
						sound.now = b.now
						b.fw.Expire(b.now, &b.out)
						sound.fw.Expire(sound.now, &sound.out)
					}
				}
				armed = 1
				b.fw.Flush(&b.out)
				sound.fw.Flush(&sound.out)

				passes := make(map[uint64]bool)
				for _, v := range sound.out.List {
					passes[v.ID] = v.Action == Accept
				}
				seen := make(map[uint64]bool)
				for _, v := range b.out.List {
					if seen[v.ID] {
						t.Fatalf("seed %d: packet %d has two verdicts", seed, v.ID)
					}
					seen[v.ID] = true
					if v.Action == Accept && !passes[v.ID] {
						t.Fatalf("seed %d: packet %d leaves, and does not without panics", seed, v.ID)
					}
					if v.Action == Drop && passes[v.ID] {
						lost++
					}
				}
				if len(seen) != len(packets) {
					t.Fatalf("seed %d: %d verdicts for %d packets", seed, len(seen), len(packets))
				}
				if held := b.fw.Held(); held.Packets != 0 || held.FragmentPackets != 0 {
					t.Fatalf("seed %d: %+v is held", seed, held)
				}
				totals, _, _ := countsOf(b.fw)
				if totals.Panics != uint64(panics) || panics > 0 && stage != StageFinish && totals.Packets != uint64(len(packets)) {
					t.Fatalf("seed %d: %d panics are counted of %d, %d packets of %d", seed, totals.Panics, panics, totals.Packets, len(packets))
				}
				fired += panics
			}
			if fired == 0 {
				t.Fatal("nothing panicked")
			}
			t.Logf("%d panics cost %d packets", fired, lost)
		})
	}
}

// A packet that panics each time is dropped each time, and told; beyond the bound within a
// minute the firewall ends.
func TestTooManyPanicsEndTheFirewall(t *testing.T) {
	var told []Panic
	b := newBench(t, benchConfig{panicked: func(p *Panic) { told = append(told, *p) }, fault: func(s Stage) {
		if s == StageFlow {
			panic("a mistake")
		}
	}})
	data := onePacket(t)
	send := func() (ended any) {
		defer func() { ended = recover() }()
		if v := b.send(data); len(v) != 1 || v[0].Action != Drop {
			t.Fatalf("verdicts %v, want one drop", v)
		}
		return nil
	}
	for i := range 3 * MostPanics {
		if ended := send(); ended != nil {
			t.Fatalf("the panic %d: %v", i, ended)
		}
		b.now += panicWindow / MostPanics
	}
	if len(told) != 3*MostPanics || !told[0].Known || told[0].Src != endpointA || told[0].Packets != 1 {
		t.Fatalf("told %d times, first of %+v", len(told), told[0])
	}
	e := b.events[len(b.events)-1]
	if e.Reason != reason.InternalError || len(e.Beginning) == 0 {
		t.Errorf("the event has %v, %d bytes", e.Reason, len(e.Beginning))
	}
	for range MostPanics - 1 {
		b.now -= panicWindow / MostPanics / 2
	}
	var ended any
	for range MostPanics + 1 {
		if ended = send(); ended != nil {
			break
		}
	}
	if text := fmt.Sprint(ended); !strings.Contains(text, "17 panics within a minute") || !strings.Contains(text, "a mistake") {
		t.Errorf("it ended with %v", ended)
	}
}

// An observer that always panics costs no more than the packets that it is told of.
func TestAnObserverThatPanicsIsContained(t *testing.T) {
	b := newBench(t, benchConfig{panicked: func(*Panic) {}})
	b.fw.observer = func(*FrameEvent) { panic("an observer") }
	packets := cut(path(), 5, sttFrame(stt.FrameHeader{ContextID: 100}, innerUDP(t, 300)), 100)
	for _, v := range b.send(packets...) {
		if v.Action != Drop {
			t.Errorf("packet %d leaves", v.ID)
		}
	}
	if totals, _, _ := countsOf(b.fw); totals.Panics != 1 || totals.Reasons[reason.InternalError] != 1 || totals.FramesAccepted != 0 || totals.FramesDropped != 1 {
		t.Errorf("counted %d panics, %d frames dropped for it, %d accepted", totals.Panics, totals.Reasons[reason.InternalError], totals.FramesAccepted)
	}
}

// Where nobody is told, a panic is not contained: a fuzz target would take it for a drop.
func TestAPanicOfWhichNobodyIsToldIsNotContained(t *testing.T) {
	b := newBench(t, benchConfig{fault: func(Stage) { panic("a mistake") }})
	defer func() {
		if v := recover(); v != "a mistake" {
			t.Errorf("got %v", v)
		}
	}()
	b.send(onePacket(t))
	t.Error("it was contained")
}
