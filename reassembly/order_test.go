package reassembly

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"sttwall/reason"
	"sttwall/stt"
)

// orders are those in which n segments can come that are worth a test.
func orders(n int) map[string][]int {
	ascending := make([]int, n)
	for i := range ascending {
		ascending[i] = i
	}
	descending := slices.Clone(ascending)
	slices.Reverse(descending)
	rng := rand.New(rand.NewPCG(9, uint64(n)))
	// From both ends to the middle, and from the middle to both ends.
	var inwards []int
	for i := range n {
		if i%2 == 0 {
			inwards = append(inwards, i/2)
		} else {
			inwards = append(inwards, n-1-i/2)
		}
	}
	outwards := slices.Clone(inwards)
	slices.Reverse(outwards)
	// The end of each run is full when the next one begins.
	var stairs []int
	for from := 0; from < n; from += runLen {
		stairs = append(stairs, ascending[from:min(from+runLen, n)]...)
	}
	slices.SortStableFunc(stairs, func(a, b int) int { return b/runLen - a/runLen })
	return map[string][]int{
		"ascending": ascending, "descending": descending, "shuffled": rng.Perm(n),
		"inwards": inwards, "outwards": outwards, "stairs": stairs,
	}
}

// TestOrderFitsAsASearchOfAllSays inserts spans of one to three bytes wherever there
// is room, and asks about all others besides.
func TestOrderFitsAsASearchOfAllSays(t *testing.T) {
	const n = 3000
	for name, starts := range orders(n) {
		t.Run(name, func(t *testing.T) {
			rng := rand.New(rand.NewPCG(5, 5))
			p := newPool(&Config{Packets: n, Frames: 1})
			var o order
			taken := make([]int, n+10) // by which span, from 1
			ends := []int{0}
			add := func(start, end int) {
				o.insert(o.end(), span{uint16(start), uint16(end), 0}, &p)
			}
			add(n+5, n+6) // fit is asked of a frame that has one
			taken[n+5], ends = 1, append(ends, n+6)
			for _, start := range starts {
				end := start + 1 + rng.IntN(3)
				want := reason.None
				for at := start; at < end; at++ {
					if taken[at] != 0 {
						want = reason.SegmentOverlap
					}
				}
				if id := taken[start]; id != 0 && ends[id] == end && (start == 0 || taken[start-1] != id) {
					want = reason.SegmentDuplicate
				}
				at, got := o.fit(start, end)
				if got != want {
					t.Fatalf("[%d, %d): got %v, want %v", start, end, got, want)
				}
				if got != reason.None {
					continue
				}
				id := len(ends)
				o.insert(at, span{uint16(start), uint16(end), uint16(id)}, &p)
				for at := start; at < end; at++ {
					taken[at] = id
				}
				ends = append(ends, end)
			}
			count, end := 0, 0
			for i, r := range o {
				if r.n < 1 || r.n < runLen/2 && i+1 < len(o) {
					t.Errorf("run %d of %d has %d spans", i, len(o), r.n)
				}
				for _, s := range r.spans[:r.n] {
					if int(s.start) < end {
						t.Fatalf("span %v begins before %d", s, end)
					}
					end = int(s.end)
					count++
				}
			}
			if count != len(ends)-1 {
				t.Errorf("%d spans in order, %d inserted", count, len(ends)-1)
			}
		})
	}
}

func TestThousandsOfSegmentsInAnyOrderMakeTheirFrame(t *testing.T) {
	const n = 3000
	segments := append(cut(n, stt.FrameHeaderLen)[:1], cut(n, 1)[stt.FrameHeaderLen:]...)
	for name, list := range orders(len(segments)) {
		t.Run(name, func(t *testing.T) {
			r, err := New(Config{Packets: n, SourcePackets: n}, new(counter))
			if err != nil {
				t.Fatal(err)
			}
			var f *Frame
			for i, at := range list {
				if f = r.Add(0, &segments[at]); (f != nil) != (i == len(list)-1) {
					t.Fatalf("segment %d of %d: got frame %v", i, len(list), f != nil)
				}
			}
			if !bytes.Equal(f.Data, numbered(n)) || len(f.Packets) != len(segments) {
				t.Fatalf("got another frame, of %d packets", len(f.Packets))
			}
			for i, p := range f.Packets {
				if p.ID != uint64(segments[i].Offset) {
					t.Fatalf("packet %d is that of offset %d", i, p.ID)
				}
			}
		})
	}
}

// BenchmarkWorstOrder: a sender that makes its segments as small and sends them in
// as bad an order as it can. What one costs must not grow with their number.
func BenchmarkWorstOrder(b *testing.B) {
	for _, n := range []int{1000, 8000, 64000} {
		segments := append(cut(n, stt.FrameHeaderLen)[:1], cut(n, 1)[stt.FrameHeaderLen:]...)
		for _, name := range []string{"ascending", "descending", "outwards", "shuffled"} {
			list := orders(len(segments))[name]
			b.Run(fmt.Sprintf("%s/segments=%d", name, len(list)), func(b *testing.B) {
				r, err := New(Config{Packets: n, SourcePackets: n}, new(counter))
				if err != nil {
					b.Fatal(err)
				}
				b.ReportAllocs()
				for b.Loop() {
					var f *Frame
					for _, at := range list {
						f = r.Add(0, &segments[at])
					}
					if f == nil {
						b.Fatal("got no frame")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(list)), "ns/segment")
			})
		}
	}
}
