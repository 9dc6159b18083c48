package classbench

import (
	"math"
	"math/rand/v2"
)

// Header is what a packet shows to filters. Protocols without ports have zeros.
type Header struct {
	Src, Dst         uint32
	SrcPort, DstPort uint16
	Protocol         uint8
}

// Locality says how often a header is repeated: the Pareto distribution with
// shape A and scale B.
type Locality struct{ A, B float64 }

// LowLocality is the paper's example of little repetition.
var LowLocality = Locality{1, 0.0001}

// Headers returns n headers: corners of filters, and one of eight of them of no
// filter, at random addresses with a port that is rare.
func Headers(filters []Filter, n int, l Locality, r *rand.Rand) []Header {
	out := make([]Header, 0, n)
	for len(out) < n {
		x := &filters[r.IntN(len(filters))]
		h := Header{
			Src: corner(r, x.Src, Last(x.Src, x.SrcBits)), Dst: corner(r, x.Dst, Last(x.Dst, x.DstBits)),
			SrcPort: corner(r, x.SrcPort.Lo, x.SrcPort.Hi), DstPort: corner(r, x.DstPort.Lo, x.DstPort.Hi),
			Protocol: x.Protocol,
		}
		if h.Protocol == 0 {
			h.Protocol = 17 // corners of all protocols would be 0 and 255
		}
		if r.IntN(8) == 0 {
			h = Header{r.Uint32(), r.Uint32(), uint16(40000 + r.IntN(20000)), uint16(40000 + r.IntN(20000)), 6}
		}
		copies := int(math.Ceil(l.B / math.Pow(1-r.Float64(), 1/l.A)))
		for range min(max(copies, 1), n-len(out)) {
			out = append(out, h)
		}
	}
	return out
}

// corner returns one end of a range.
func corner[T uint16 | uint32](r *rand.Rand, lo, hi T) T {
	if r.IntN(2) == 0 {
		return lo
	}
	return hi
}
