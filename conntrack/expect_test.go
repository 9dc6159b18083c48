package conntrack

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"unsafe"
)

func TestToExpectAFlowChangesNothing(t *testing.T) {
	table := newTable(t, 100)
	var keys []Key
	for port := range uint16(3 * ExpectAtOnce) { // in more than one step, and a third is of no flow
		p := other(17, port, 53, port%2 == 1)
		if port%3 > 0 && len(keys) < 100 {
			meet(table, 0, p, Limits{})
		}
		k, _ := KeyOf(p)
		keys = append(keys, k)
	}
	before := table.Stats()
	if n := testing.AllocsPerRun(10, func() { table.Expect(keys) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if after := table.Stats(); after != before {
		t.Errorf("got %+v, want %+v", after, before)
	}
	recount(t, table)
	table.Expect(nil)
}

func TestExpectPaysWhereFlowsAreManyOnly(t *testing.T) {
	if table := fill(t, outOfCache); table.Cold() {
		t.Errorf("%d flows are called cold", outOfCache)
	}
	if table := fill(t, outOfCache+1); !table.Cold() {
		t.Errorf("%d flows are not called cold", outOfCache+1)
	}
}

// BenchmarkLookup looks for random flows among so many, in batches, as a worker
// takes them from its queue: it expects a batch where that pays, and tracks it.
func BenchmarkLookup(b *testing.B) { benchmarkLookup(b, ExpectAtOnce) }

// BenchmarkLookupAlone is the same for packets that come one by one: what memory
// costs when nothing is known of the next packet.
func BenchmarkLookupAlone(b *testing.B) { benchmarkLookup(b, 1) }

func benchmarkLookup(b *testing.B, batch int) {
	for _, n := range []int{1000, 1_000_000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			table := fill(b, n)
			packets := make([]*Packet, batch)
			for i := range packets {
				packets[i] = other(17, 0, 0, false)
			}
			keys := make([]Key, batch)
			order := rand.New(rand.NewPCG(1, 2))
			b.ReportAllocs()
			var r Result
			at := batch
			for b.Loop() {
				if at == batch {
					at = 0
					for _, p := range packets {
						aim(p, int(order.Uint32N(uint32(n))))
					}
					if batch > 1 && table.Cold() {
						for i, p := range packets {
							keys[i], _ = KeyOf(p)
						}
						table.Expect(keys)
					}
				}
				if table.Track(1, 1, packets[at], &r); r.State != StateOriginal {
					b.Fatal(word(r))
				}
				at++
			}
		})
	}
}

// An entry is three whole cache lines, each beginning where the layout says.
func TestAnEntryIsThreeCacheLines(t *testing.T) {
	var e entry
	if n := unsafe.Sizeof(e); n != 3*64 {
		t.Errorf("an entry is %d bytes", n)
	}
	if at := unsafe.Offsetof(e.from); at != 64 {
		t.Errorf("the second line begins at %d", at)
	}
	if at := unsafe.Offsetof(e.generation); at != 128 {
		t.Errorf("the third line begins at %d", at)
	}
	if n := unsafe.Sizeof(shard{}); n != 3*64 {
		t.Errorf("a shard is %d bytes", n)
	}
	if n := unsafe.Sizeof(record{}); n != 40 {
		t.Errorf("a record is %d bytes", n)
	}
	table := fill(t, 3*slabSize)
	for i := range table.shards[0].slabs {
		if first := table.shards[0].slabs[i].entries.Load(); first != nil && uintptr(unsafe.Pointer(first))%64 != 0 {
			t.Errorf("slab %d begins at %p", i, first)
		}
	}
}
