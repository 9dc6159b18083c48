package conntrack

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"sttwall/inspect"
)

func watchEnds(t testing.TB, table *Table) *Ends {
	t.Helper()
	ends, leave, err := table.WatchEnds()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(leave)
	return ends
}

// endings takes all ends that were told, as words.
func endings(ends *Ends) (list []string) {
	for ends.Take(func(e *End) {
		list = append(list, fmt.Sprintf("%d %s %s %v %v", e.Flow.Key.SrcPort, e.Ending, e.Flow.Status, e.Flow.Packets, e.Flow.Bytes))
	}) {
	}
	return list
}

// handshake, close and such, of one flow.
var (
	hello     = []tcp{{flags: inspect.SYN, seq: 1000, window: 1000}, {flags: inspect.SYN | inspect.ACK, seq: 5000, ack: 1001, window: 1000, back: true}, {flags: inspect.ACK, seq: 1001, ack: 5001, window: 1000}}
	farewell  = []tcp{{flags: inspect.FIN | inspect.ACK, seq: 1001, ack: 5001, window: 1000}, {flags: inspect.FIN | inspect.ACK, seq: 5001, ack: 1002, window: 1000, back: true}, {flags: inspect.ACK, seq: 1002, ack: 5002, window: 1000}}
	reset     = []tcp{{flags: inspect.RST | inspect.ACK, seq: 1001, ack: 5001}}
	newHello  = []tcp{{flags: inspect.SYN, seq: 90000, window: 1000}}
	dataAfter = []tcp{{flags: inspect.ACK, seq: 5001, ack: 1001, window: 1000, payload: 10, back: true}}
)

func meetAll(t *testing.T, table *Table, now int64, segments ...[]tcp) (last Result) {
	t.Helper()
	for _, s := range slices.Concat(segments...) {
		s.scale = -1
		if last = meet(table, now, s.packet(), Limits{}); last.State != StateOriginal && last.State != StateReply {
			t.Fatalf("%+v: %s", s, word(last))
		}
	}
	return last
}

func TestTheEndOfAFlowIsToldOnceWithItsCounters(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(t *testing.T, table *Table)
		want []string
	}{
		{"by time, that a packet finds over", func(t *testing.T, table *Table) {
			meet(table, 0, other(17, 1000, 53, false), Limits{})
			meet(table, 1, other(17, 1000, 53, true), Limits{})
			table.Track(1000*second, 1, other(17, 1000, 53, false), new(Result))
		}, []string{"1000 timeout stream [1 1] [50 50]"}},
		{"by time, that nobody looks at", func(t *testing.T, table *Table) {
			meet(table, 0, other(17, 1000, 53, false), Limits{})
			table.Reap(30*second - 1)
			table.Reap(30 * second)
			table.Reap(31 * second)
		}, []string{"1000 timeout unreplied [1 0] [50 0]"}},
		{"by time, that another flow finds over", func(t *testing.T, table *Table) {
			meet(table, 0, other(17, 1000, 53, false), Limits{})
			meet(table, 40*second, other(17, 1001, 53, false), Limits{})
		}, []string{"1000 timeout unreplied [1 0] [50 0]"}},
		{"both FINs, soon and not again", func(t *testing.T, table *Table) {
			meetAll(t, table, 0, hello, farewell)
			table.Reap(closeGrace - 1)
			table.Reap(closeGrace)
			table.Reap(closeGrace + 1)
			table.Reap(1000 * second)
		}, []string{"40000 closed time_wait [4 2] [216 108]"}},
		{"a RST, soon and not again", func(t *testing.T, table *Table) {
			meetAll(t, table, 0, hello, reset)
			table.Reap(closeGrace)
			table.Reap(1000 * second)
		}, []string{"40000 closed close [3 1] [162 54]"}},
		{"a RST, and data goes on: again, with all", func(t *testing.T, table *Table) {
			meetAll(t, table, 0, hello, reset)
			table.Reap(closeGrace)
			meetAll(t, table, closeGrace+1, dataAfter)
			table.Reap(3 * closeGrace)
		}, []string{"40000 closed close [3 1] [162 54]", "40000 closed close [3 2] [162 118]"}},
		{"closed, and its time is over before anybody looked", func(t *testing.T, table *Table) {
			meetAll(t, table, 0, hello, reset)
			table.Track(1000*second, 1, other(17, 1, 2, false), new(Result))
			table.Expire(1000*second, 10)
		}, []string{"40000 closed close [3 1] [162 54]"}},
		{"closed, and the next one begins", func(t *testing.T, table *Table) {
			meetAll(t, table, 0, hello, farewell, newHello)
		}, []string{"40000 replaced time_wait [4 2] [216 108]"}},
		{"closed and told, and the next one begins", func(t *testing.T, table *Table) {
			meetAll(t, table, 0, hello, farewell)
			table.Reap(closeGrace)
			meetAll(t, table, closeGrace, newHello)
		}, []string{"40000 closed time_wait [4 2] [216 108]"}},
		{"the rules deny it", func(t *testing.T, table *Table) {
			table.End(meet(table, 0, other(17, 1000, 53, false), Limits{}).Handle)
			table.End(meet(table, 0, other(17, 1000, 53, false), Limits{}).Handle)
		}, []string{"1000 denied unreplied [1 0] [50 0]", "1000 denied unreplied [1 0] [50 0]"}},
		{"a reload denies it", func(t *testing.T, table *Table) {
			meet(table, 0, other(17, 1000, 53, false), Limits{})
			table.Sweep(1, func(Handle, *Flow, *inspect.Frame) bool { return false })
		}, []string{"1000 denied unreplied [1 0] [50 0]"}},
		{"the table is full", func(t *testing.T, table *Table) {
			for port := range uint16(5) {
				meet(table, int64(port), other(17, port, 53, false), Limits{})
			}
		}, []string{"0 evicted unreplied [1 0] [50 0]", "1 evicted unreplied [1 0] [50 0]"}}, // a share is three
	} {
		t.Run(tt.name, func(t *testing.T) {
			table := newTable(t, 4)
			ends := watchEnds(t, table)
			tt.do(t, table)
			if got := endings(ends); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			recount(t, table)
		})
	}
}

// Whatever happens, each flow that begins ends once, or is there at the end. One that
// was closed, and went on with data, is told of again.
func TestEachFlowThatBeginsEnds(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 0))
	table := newTable(t, 6)
	ends := watchEnds(t, table)
	begun, over := map[uint64]bool{}, map[uint64]Ending{}
	take := func() {
		for ends.Take(func(e *End) {
			id := table.FlowID(e.Flow.Handle)
			if was, again := over[id]; !begun[id] || again && was != EndedClosed {
				t.Errorf("seed %d: flow %d, begun %t, has ended, %s, and ends, %s", seed, id, begun[id], was, e.Ending)
			}
			over[id] = e.Ending
		}) {
		}
	}
	now := int64(0)
	for range 20000 {
		now += int64(r.IntN(3)) * second * int64(r.IntN(4))
		if res := meet(table, now, randomPacket(r), Limits{FlowsPerSource: 4}); res.Begun {
			id := table.FlowID(res.Handle)
			if begun[id] {
				t.Fatalf("seed %d: two flows have the ID %d", seed, id)
			}
			begun[id] = true
		}
		if r.IntN(20) == 0 {
			table.Reap(now)
		}
		take()
	}
	left := 0
	table.Remaining(now, func(e *End) bool {
		id := table.FlowID(e.Flow.Handle)
		was, ended := over[id]
		if !begun[id] || ended && was != EndedClosed {
			t.Errorf("seed %d: flow %d is there, begun %t, has ended, %s", seed, id, begun[id], was)
		}
		if !ended {
			left++
		}
		return true
	})
	if len(begun) < 100 || len(over)+left != len(begun) || ends.Lost() > 0 {
		t.Errorf("seed %d: %d begun, %d over, %d left", seed, len(begun), len(over), left)
	}
	recount(t, table)
}

// With several workers, somebody who looks for what is over, and one who takes ends.
func TestEndsOfManyWorkersAreAllToldOrCounted(t *testing.T) {
	table := newTable(t, 2000)
	ends := watchEnds(t, table)
	var running sync.WaitGroup
	var clock atomic.Int64
	for w := range 3 {
		running.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for range 5000 {
				p := other(17, uint16(r.IntN(500)), uint16(r.IntN(4)), r.IntN(2) == 0)
				p.AnyEndpoint = true
				res := meet(table, clock.Add(int64(r.IntN(20))*second/1000), p, Limits{})
				if r.IntN(10) == 0 && res.Handle.Valid() {
					table.End(res.Handle)
				}
			}
		})
	}
	done := make(chan struct{})
	go func() {
		running.Wait()
		close(done)
	}()
	told := 0
	take := func() {
		for ends.Take(func(*End) { told++ }) {
		}
	}
	for over := false; !over; {
		select {
		case <-done:
			over = true
		default:
		}
		table.Reap(clock.Load())
		take()
	}
	left := 0
	table.Remaining(clock.Load(), func(*End) bool { left++; return true })
	s := table.Stats()
	if uint64(told+left)+ends.Lost() != s.Created || s.Flows != left || told == 0 {
		t.Errorf("%d told, %d lost, %d left: %+v", told, ends.Lost(), left, s)
	}
	recount(t, table)
}

func TestWhatHasNoRoomIsCountedAndNothingWaits(t *testing.T) {
	table := newTable(t, endsRoom+10)
	ends := watchEnds(t, table)
	for i := range endsRoom + 10 {
		table.End(meet(table, 0, other(17, uint16(i), uint16(i>>16), false), Limits{}).Handle)
	}
	if n := len(endings(ends)); n != endsRoom || ends.Lost() != 10 {
		t.Errorf("%d told, %d lost", n, ends.Lost())
	}
}

func TestWatchersAreBoundedAndLeave(t *testing.T) {
	table := newTable(t, 10)
	var leaves []func()
	for range maxWatchers {
		_, leave, err := table.WatchEnds()
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	if _, _, err := table.WatchEnds(); err == nil {
		t.Error("one too many watches")
	}
	for _, leave := range leaves {
		leave()
	}
	if table.ends.Load() != nil {
		t.Error("all have left, and the table still tells")
	}
}

func TestTellingOfAnEndAllocatesNothing(t *testing.T) {
	for _, watchers := range []int{0, 1, 2} {
		table := newTable(t, 100)
		for range watchers {
			watchEnds(t, table)
		}
		p := other(17, 1000, 53, false)
		table.End(meet(table, 0, p, Limits{}).Handle)
		if n := testing.AllocsPerRun(2*endsRoom, func() { table.End(meet(table, 0, p, Limits{}).Handle) }); n != 0 {
			t.Errorf("%d watch: %v allocations", watchers, n)
		}
	}
}

func TestAFlowIDHas51BitsAndIsItsOwn(t *testing.T) {
	table := newTable(t, MaxFlows/256)
	seen := map[uint64]Handle{}
	for shard := range uint32(len(table.shards)) {
		for _, index := range []uint32{0, 1, 255, 1 << 18} {
			for _, version := range []uint32{1, 3, 1<<27 - 1} {
				h := Handle{shard, index, version}
				id := table.FlowID(h)
				if id >= 1<<51 {
					t.Fatalf("%+v: %d", h, id)
				}
				if other, twice := seen[id]; twice {
					t.Fatalf("%+v and %+v: %d", h, other, id)
				}
				seen[id] = h
			}
		}
	}
	if id := table.FlowID(Handle{}); id != 0 {
		t.Errorf("no flow: %d", id)
	}
	if most := (MaxFlows/maxShards + 8*513) * maxShards; most > 1<<placeBits {
		t.Errorf("%d places do not fit", most)
	}
}

// BenchmarkReap looks for flows that are over among many that are not.
func BenchmarkReap(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			table := fill(b, n)
			b.ReportAllocs()
			for b.Loop() {
				table.Reap(1)
			}
		})
	}
}
