package classify

import "math/bits"

// A list of few rules is not worth a tree: its boxes lie side by side, and a packet
// is compared with all of them.

const (
	// perFlat is how many boxes a rule can be in a flat list before it is asked as a
	// whole.
	perFlat = 16
	// flatPortable is the most boxes of a flat list where they are compared one by one.
	flatPortable = 16
	// flatMost is the most where the processor compares eight at once.
	flatMost = 256
	// scanMost is how many blocks are compared at once, without a branch.
	scanMost = 4
)

// row is a flat box: from lo on, span more values of destination, source, and what
// the packet carries. For IPv6 it is about the first words of the addresses, and says
// only maybe.
type row struct {
	dstLo, dstSpan, srcLo, srcSpan, carriedLo, carriedSpan uint32

	order uint32 // as in box
	form  form   // of the table, in its first row; two rows are a cache line
}

// form says where a table has its rules.
type form uint32

const (
	isPair form = iota
	isFlat
	isTrees
)

// nothing is the row that holds no packet.
var nothing = row{carriedLo: 1<<32 - 1, order: noRule}

// block is rows in columns.
type block struct {
	dstLo, dstSpan, srcLo, srcSpan, carriedLo, carriedSpan [blockSize]uint32

	order [blockSize]uint32
}

const blockSize = 16

// carried is Carried of any packet: without IP its ethertype alone.
func carried(kind, dst uint32) uint32 {
	if kind > lastProtocol {
		return kind | 1<<31
	}
	return Carried(kind, dst)
}

const portBits = 17 // Absent included

// carried returns the range of what packets of a region carry that are in the
// service, or a range around it, which is not exact.
func (s *Service) carried(all *region) (lo, hi uint32, exact bool) {
	anyDst, anySrc := s.DstLo == 0 && s.DstHi >= Absent, s.SrcLo == 0 && s.SrcHi >= Absent
	first, last := max(s.KindLo, all.lo[kindOf]), min(s.KindHi, all.hi[kindOf])
	switch {
	case first > lastProtocol:
		return carried(first, 0), carried(last, 0), anyDst && anySrc
	case first == last:
		return carried(first, s.DstLo), carried(last, min(s.DstHi, Absent)), anySrc
	}
	return carried(first, 0), carried(last, Absent), anyDst && anySrc
}

// flat returns the rows of rules, if they are not more than limit.
func (g *grower) flat(rules []int32, all *region, limit int) ([]row, bool) {
	var rows []row
	for _, i := range rules {
		rule := &g.rules[i]
		dstFirst, dstEnd, srcFirst, srcEnd := int32(whole), int32(0), int32(whole), int32(0)
		if rule.Dst != nil {
			a, b := rule.Dst.in(all, dstWord)
			dstFirst, dstEnd = int32(a), int32(b)
		}
		if rule.Src != nil {
			a, b := rule.Src.in(all, srcWord)
			srcFirst, srcEnd = int32(a), int32(b)
		}
		var services []Service
		for j := range rule.Services {
			if rule.Services[j].meets(all) {
				services = append(services, rule.Services[j])
			}
		}
		order := uint32(i) << askBits
		if rule.Rest {
			order |= askRest
		}
		if all.family == 6 && (rule.Dst != nil || rule.Src != nil) {
			order |= askRule
		}
		n := int(dstEnd-dstFirst) * int(srcEnd-srcFirst)
		if n > perFlat || n*len(services) > perFlat {
			dstFirst, dstEnd, srcFirst, srcEnd = whole, 0, whole, 0
			order |= askRule
			around := services[0]
			for _, s := range services[1:] {
				around = around.with(s)
			}
			services = []Service{around}
		}
		for j := range services {
			for d := dstFirst; d < dstEnd; d++ {
				for s := srcFirst; s < srcEnd; s++ {
					if len(rows) == limit {
						return nil, false
					}
					r := row{order: order}
					lo, hi := rule.Dst.bounds(g.family, d)
					r.dstLo, r.dstSpan = lo, hi-lo
					lo, hi = rule.Src.bounds(g.family, s)
					r.srcLo, r.srcSpan = lo, hi-lo
					lo, hi, exact := services[j].carried(all)
					r.carriedLo, r.carriedSpan = lo, hi-lo
					if !exact {
						r.order |= askRule
					}
					rows = append(rows, r)
				}
			}
		}
	}
	return rows, true
}

// with returns the smallest service that holds both.
func (s Service) with(o Service) Service {
	return Service{
		min(s.KindLo, o.KindLo), max(s.KindHi, o.KindHi),
		min(s.SrcLo, o.SrcLo), max(s.SrcHi, o.SrcHi),
		min(s.DstLo, o.DstLo), max(s.DstHi, o.DstHi),
	}
}

// lay puts rows into a table.
func (t *table) lay(rows []row) {
	t.pair = [2]row{nothing, nothing}
	if len(rows) <= len(t.pair) {
		copy(t.pair[:], rows)
		return
	}
	t.pair[0].form = isFlat
	t.blocks = make([]block, (len(rows)+blockSize-1)/blockSize)
	for i := range len(t.blocks) * blockSize {
		r := &nothing
		if i < len(rows) {
			r = &rows[i]
		}
		b, j := &t.blocks[i/blockSize], i%blockSize
		b.dstLo[j], b.dstSpan[j], b.srcLo[j], b.srcSpan[j] = r.dstLo, r.dstSpan, r.srcLo, r.srcSpan
		b.carriedLo[j], b.carriedSpan[j], b.order[j] = r.carriedLo, r.carriedSpan, r.order
	}
}

// outside is all ones if the packet is not in the row, else 0.
func (r *row) outside(dst, src, carried uint32) uint32 {
	// A difference that is below zero has its highest bit set.
	out := (uint64(r.dstSpan) - uint64(dst-r.dstLo)) | (uint64(r.srcSpan) - uint64(src-r.srcLo)) |
		(uint64(r.carriedSpan) - uint64(carried-r.carriedLo))
	return uint32(int64(out) >> 63)
}

// inPair returns the lowest order of a row of the pair that the packet is in, or
// noRule.
func (t *table) inPair(dst, src, carried uint32) uint32 {
	a, b := &t.pair[0], &t.pair[1]
	return min(a.order|a.outside(dst, src, carried), b.order|b.outside(dst, src, carried))
}

// scanGo returns a bit for each row of the blocks, of which there are at most
// scanMost: whether the packet is in it.
func scanGo(blocks []block, dst, src, carried uint32) (in uint64) {
	for i := range blocks {
		b := &blocks[i]
		for j := range blockSize {
			out := (uint64(b.dstSpan[j]) - uint64(dst-b.dstLo[j])) | (uint64(b.srcSpan[j]) - uint64(src-b.srcLo[j])) |
				(uint64(b.carriedSpan[j]) - uint64(carried-b.carriedLo[j]))
			in |= (out>>63 ^ 1) << (i*blockSize + j)
		}
	}
	return in
}

// inBlocksGo returns the lowest order of a row of the blocks that the packet is in, or
// noRule.
func inBlocksGo(blocks []block, dst, src, carried uint32) uint32 {
	for len(blocks) > 0 {
		n := min(len(blocks), scanMost)
		if in := scanGo(blocks[:n], dst, src, carried); in != 0 {
			return orderOf(blocks, in)
		}
		blocks = blocks[n:]
	}
	return noRule
}

// orderOf returns the order of the first row that has a bit.
func orderOf(blocks []block, in uint64) uint32 {
	i := bits.TrailingZeros64(in)
	return blocks[i/blockSize].order[i%blockSize]
}

// inFlat looks for the first rule of a flat list.
func (m *Matcher) inFlat(t *table, k *Key, from int, rest Checker) int {
	dst, src := k.firstWords()
	carried := carried(k.Kind, k.DstPort)
	if t.pair[0].form == isPair {
		for i := range t.pair {
			if r := &t.pair[i]; r.outside(dst, src, carried) == 0 && m.agrees(r.order, k, from, rest) {
				return int(r.order >> askBits)
			}
		}
		return -1
	}
	for blocks := t.blocks; len(blocks) > 0; {
		n := min(len(blocks), scanMost)
		for in := scan(blocks[:n], dst, src, carried); in != 0; in &= in - 1 {
			i := bits.TrailingZeros64(in)
			order := blocks[i/blockSize].order[i%blockSize]
			if m.agrees(order, k, from, rest) {
				return int(order >> askBits)
			}
		}
		blocks = blocks[n:]
	}
	return -1
}

// agrees reports whether a packet matches the rule of a row that it is in.
func (m *Matcher) agrees(order uint32, k *Key, from int, rest Checker) bool {
	rule := int(order >> askBits)
	return order != noRule && rule >= from &&
		(order&asks == 0 || (order&askRule == 0 || m.rules[rule].matches(k)) && (order&askRest == 0 || rest.Check(rule)))
}

// firstWords returns the first words of the addresses.
func (k *Key) firstWords() (dst, src uint32) {
	if k.Family == 6 {
		return uint32(k.Dst[0] >> 32), uint32(k.Src[0] >> 32)
	}
	return uint32(k.Dst[1]), uint32(k.Src[1])
}
