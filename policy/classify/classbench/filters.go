package classbench

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// Filter is one filter. Addresses are IPv4; of an address the first Bits count,
// the others are zero.
type Filter struct {
	Src, Dst         uint32
	SrcBits, DstBits int
	SrcPort, DstPort Ports
	Protocol         uint8 // 0: any
}

// Ports is a range, both ends inclusive. AnyPort is all, and also no port.
type Ports struct{ Lo, Hi uint16 }

// AnyPort is the class wc.
var AnyPort = Ports{0, 65535}

// Last returns the last address of a prefix.
func Last(address uint32, bits int) uint32 { return address | uint32(1<<(32-bits)-1) }

// Filters returns n different filters of a family, the narrower before the wider
// where one is inside another.
func Filters(name string, n int, r *rand.Rand) ([]Filter, error) {
	f, ok := families[name]
	if !ok {
		return nil, fmt.Errorf("filter family %q: expected one of %v", name, Families)
	}
	m := maker{Rand: r, family: f, source: parseSplit(f.sourceSplit), destination: parseSplit(f.destinationSplit)}
	for _, w := range strings.Fields(f.correlation) {
		m.correlation = append(m.correlation, float64(number(w))/100)
	}
	room := float64(n) / float64(f.scale)
	m.source.widen(room)
	m.destination.widen(room)
	seen := make(map[Filter]bool, n)
	var all []Filter
	// A batch shares its tree of addresses. Small families of addresses give the
	// same filter again and again, so another batch may be needed.
	for len(all) < n {
		for _, x := range m.batch(n) {
			if len(all) < n && !seen[x] {
				seen[x] = true
				all = append(all, x)
			}
		}
	}
	return nested(all), nil
}

// maker makes filters of one family.
type maker struct {
	*rand.Rand
	family      family
	source      split
	destination split
	correlation []float64
}

// batch makes n filters with their addresses.
func (m *maker) batch(n int) []Filter {
	filters := make([]Filter, n)
	for i := range filters {
		x := &filters[i]
		protocol, classes, _ := strings.Cut(m.pick(m.family.protocols), "(")
		x.Protocol = uint8(number(protocol))
		pair := m.pick(strings.ReplaceAll(strings.TrimSuffix(classes, ")"), ",", " "))
		src, dst, _ := strings.Cut(pair, "_")
		x.SrcPort = m.portsOf(src, m.family.sourceRanges, m.family.sourcePorts)
		x.DstPort = m.portsOf(dst, m.family.ranges, m.family.ports)
		from, to, _ := strings.Cut(m.pick(m.family.prefixes[pair]), "/")
		x.SrcBits, x.DstBits = number(from), number(to)
	}
	all := make([]*Filter, n)
	for i := range filters {
		all[i] = &filters[i]
	}
	// Parts of a list become subtrees: shuffled, or neighbours in the set would
	// have neighbouring addresses.
	m.shuffle(all)
	m.sources(slices.Clone(all), 0)
	m.shuffle(all)
	correlated := make(map[*Filter]bool, n)
	for _, x := range all {
		correlated[x] = true
	}
	m.destinations(all, correlated, 0)
	return filters
}

func (m *maker) shuffle(all []*Filter) {
	m.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
}

func (m *maker) portsOf(class, ranges, ports string) Ports {
	switch class {
	case "lo":
		return Ports{0, 1023}
	case "hi":
		return Ports{1024, 65535}
	case "ar":
		lo, hi, _ := strings.Cut(m.pick(ranges), "-")
		return Ports{uint16(number(lo)), uint16(number(hi))}
	case "em":
		p := uint16(number(m.pick(ports)))
		return Ports{p, p}
	}
	return AnyPort
}

// pick returns one of the fields of a list, by its weight behind the first
// colon, without it.
func (m *maker) pick(list string) string {
	fields := strings.Fields(list)
	weights := make([]int, len(fields))
	sum := 0
	for i, f := range fields {
		_, w, _ := strings.Cut(f, ":")
		w, _, _ = strings.Cut(w, "(")
		weights[i] = number(w)
		sum += weights[i]
	}
	at := m.IntN(sum)
	for i, f := range fields {
		if at -= weights[i]; at < 0 {
			head, tail, _ := strings.Cut(f, ":")
			if i := strings.IndexByte(tail, '('); i >= 0 {
				return head + tail[i:]
			}
			return head
		}
	}
	return ""
}

// split says how filters part at each bit of an address.
type split []struct{ both, skew float64 }

func parseSplit(s string) (out split) {
	for _, f := range strings.Fields(s) {
		both, skew, _ := strings.Cut(f, "/")
		out = append(out, struct{ both, skew float64 }{float64(number(both)) / 100, float64(number(skew)) / 100})
	}
	return out
}

// widen makes room for that many times as many addresses: both values occur at
// the first bits, evenly.
func (s split) widen(room float64) {
	for i := 0; i < len(s) && room > 1; i++ {
		room -= 2 * (1 - s[i].both + s[i].skew*s[i].both)
		s[i].both, s[i].skew = 1, 0
	}
}

// sources gives the filters a common source tree from that bit on.
func (m *maker) sources(filters []*Filter, bit int) {
	filters = slices.DeleteFunc(filters, func(x *Filter) bool { return x.SrcBits <= bit })
	if len(filters) == 0 {
		return
	}
	ones := m.part(m.source, bit, len(filters))
	for _, x := range filters[:ones] {
		x.Src |= 1 << (31 - bit)
	}
	m.sources(slices.Clone(filters[:ones]), bit+1)
	m.sources(slices.Clone(filters[ones:]), bit+1)
}

// part returns how many of n filters have a one at that bit.
func (m *maker) part(s split, bit, n int) int {
	if n == 1 || m.Float64() >= s[bit].both {
		return n * m.IntN(2)
	}
	// The lighter side has 1-skew of what the heavier has.
	lighter := (1 - s[bit].skew) / (2 - s[bit].skew)
	ones := max(1, int(lighter*float64(n)))
	if m.IntN(2) == 0 {
		return n - ones
	}
	return ones
}

// destinations is sources for destinations, some of which follow their filter's
// source.
func (m *maker) destinations(filters []*Filter, correlated map[*Filter]bool, bit int) {
	filters = slices.DeleteFunc(filters, func(x *Filter) bool { return x.DstBits <= bit })
	if len(filters) == 0 {
		return
	}
	var zeros, ones, free []*Filter
	for _, x := range filters {
		correlated[x] = correlated[x] && bit < x.SrcBits && m.Float64() < m.correlation[bit]
		switch {
		case !correlated[x]:
			free = append(free, x)
		case x.Src>>(31-bit)&1 == 1:
			ones = append(ones, x)
		default:
			zeros = append(zeros, x)
		}
	}
	if len(free) > 0 {
		n := m.part(m.destination, bit, len(free))
		ones, zeros = append(ones, free[:n]...), append(zeros, free[n:]...)
	}
	for _, x := range ones {
		x.Dst |= 1 << (31 - bit)
	}
	m.destinations(ones, correlated, bit+1)
	m.destinations(zeros, correlated, bit+1)
}

// nested puts each filter behind those inside it, and changes the order no more
// than that.
func nested(filters []Filter) []Filter {
	// Those inside are smaller, so they can be put first from the smallest on.
	bySize := make([]int, len(filters))
	for i := range bySize {
		bySize[i] = i
	}
	slices.SortStableFunc(bySize, func(a, b int) int { return cmp.Compare(filters[a].weight(), filters[b].weight()) })
	rank := make([]float64, len(filters)) // where it wants to be; behind what is inside it
	for n, i := range bySize {
		rank[i] = float64(i)
		for _, j := range bySize[:n] {
			if filters[i].holds(&filters[j]) {
				rank[i] = max(rank[i], rank[j]+1e-6)
			}
		}
	}
	order := slices.Clone(bySize)
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(rank[a], rank[b]) })
	out := make([]Filter, len(filters))
	for n, i := range order {
		out[n] = filters[i]
	}
	return out
}

// weight is larger for a filter that holds another than for the other.
func (x *Filter) weight() int {
	w := 64 - x.SrcBits - x.DstBits + int(x.SrcPort.Hi-x.SrcPort.Lo) + int(x.DstPort.Hi-x.DstPort.Lo)
	if x.Protocol == 0 {
		w++
	}
	return w
}

func (x *Filter) holds(y *Filter) bool {
	return x.SrcBits <= y.SrcBits && (x.Src^y.Src)&^Last(0, x.SrcBits) == 0 &&
		x.DstBits <= y.DstBits && (x.Dst^y.Dst)&^Last(0, x.DstBits) == 0 &&
		x.SrcPort.Lo <= y.SrcPort.Lo && y.SrcPort.Hi <= x.SrcPort.Hi &&
		x.DstPort.Lo <= y.DstPort.Lo && y.DstPort.Hi <= x.DstPort.Hi &&
		(x.Protocol == 0 || x.Protocol == y.Protocol)
}

// number reads a number of the tables above, in which nothing else stands.
func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		panic(err)
	}
	return n
}
