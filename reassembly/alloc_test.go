package reassembly

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
)

// counter is a sink that only counts.
type counter struct{ packets int }

func (c *counter) Dropped(d *Dropped) { c.packets += len(d.Packets) }

// cut returns the segments of a frame of n bytes, each of at most size bytes.
func cut(n, size int) []Segment {
	data := numbered(n)
	var list []Segment
	for at := 0; at < n; at += size {
		list = append(list, Segment{
			Src: endpointA, Dst: endpointB, SrcPort: 40000, DstPort: 7471, FrameID: 1,
			FrameLength: n, Offset: at, Payload: data[at:min(at+size, n)],
			Packet: Packet{ID: uint64(at), HeaderLen: 40},
		})
	}
	return list
}

func shuffled(list []Segment) []Segment {
	rng := rand.New(rand.NewPCG(7, 7))
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// traffic is what a test or benchmark sends again and again.
type traffic struct {
	name string
	c    Config
	// send sends one frame, or what is to be measured as one.
	send func(r *Reassembler, round uint32)
	// bytes that one send carries.
	bytes int
}

func sendAll(list []Segment) func(r *Reassembler, round uint32) {
	return func(r *Reassembler, round uint32) {
		for i := range list {
			s := list[i]
			s.FrameID = round
			r.Add(int64(round), &s)
		}
	}
}

func traffics() []traffic {
	from := func(list []Segment, round uint32) {
		for i := range list {
			list[i].Src = netip.AddrFrom4([4]byte{10, byte(round >> 16), byte(round >> 8), byte(round)})
		}
	}
	begun := cut(1500, 750)[:1]
	manySources := cut(1500, 750)[:1]
	refused := cut(1500, 10)[1:2]
	many := shuffled(cut(65535, 33))
	return []traffic{
		{"frame=1500/segments=1", Config{}, sendAll(cut(1500, 1500)), 1500},
		{"frame=1500/segments=2", Config{}, sendAll(cut(1500, 1460)), 1500},
		{"frame=65535/segments=1", Config{}, sendAll(cut(65535, 65535)), 65535},
		{"frame=65535/segments=45", Config{}, sendAll(cut(65535, 1460)), 65535},
		{"frame=65535/segments=45/shuffled", Config{}, sendAll(shuffled(cut(65535, 1460))), 65535},
		{"hostile/segments=1986/shuffled", Config{}, sendAll(many), 65535},
		{"hostile/frames=begun", Config{Timeout: 1e6, TombstoneLife: 1e6}, sendAll(begun), 750},
		{"hostile/segments=refused", Config{}, sendAll(refused), 10},
		{"hostile/frames=begun/sources=many", Config{}, func(r *Reassembler, round uint32) {
			from(manySources, round)
			manySources[0].FrameID = round
			r.Add(0, &manySources[0])
		}, 750},
	}
}

func TestNothingIsAllocatedOnThePacketsWay(t *testing.T) {
	for _, tt := range traffics() {
		t.Run(tt.name, func(t *testing.T) {
			r, err := New(tt.c, new(counter))
			if err != nil {
				t.Fatal(err)
			}
			var round uint32
			send := func() {
				round++
				tt.send(r, round)
			}
			// Until every bound that this traffic can fill is full.
			for range 40_000_000 / (1000 + tt.bytes) {
				send()
			}
			if got := testing.AllocsPerRun(1000, send); got != 0 {
				t.Errorf("got %v allocations a frame, want 0", got)
			}
		})
	}
}

func BenchmarkAdd(b *testing.B) {
	for _, tt := range traffics() {
		b.Run(tt.name, func(b *testing.B) {
			r, err := New(tt.c, new(counter))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.SetBytes(int64(tt.bytes))
			var round uint32
			for b.Loop() {
				round++
				tt.send(r, round)
			}
		})
	}
}

// BenchmarkExpire: a full reassembler whose frames all time out at once.
func BenchmarkExpire(b *testing.B) {
	for _, n := range []int{1, 1024} {
		b.Run(fmt.Sprintf("frames=%d", n), func(b *testing.B) {
			r, err := New(Config{}, new(counter))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			s := cut(1500, 750)[0]
			var now int64
			for b.Loop() {
				for range n {
					s.FrameID++
					r.Add(now, &s)
				}
				now += int64(DefaultTimeout)
				r.Expire(now)
			}
		})
	}
}
