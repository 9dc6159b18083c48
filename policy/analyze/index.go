package analyze

import (
	"cmp"
	"math/bits"
	"slices"
	"sort"

	"sttwall/policy/space"
)

// item is one product of a rule, restricted to the contexts of its list.
type item struct {
	space.Product
	rule int // in List.Rules
}

// index finds the items that can meet a product, without a look at each. For
// each field that many items constrain, the values are cut into buckets with
// about as many items each, and a bit vector for each bucket tells which items
// reach into it (after Lakshman and Stiliadis, SIGCOMM 1998). The vectors form a
// segment tree, so that a wide range is few of them.
type index struct {
	items  []item
	words  int
	fields []fieldIndex
	found  []uint64 // scratch
	or     []uint64 // scratch
}

type fieldIndex struct {
	field  space.Field
	starts []space.Value // first values of the buckets but for bucket 0, which starts at 0
	leaves int           // a power of two
	tree   [][]uint64    // node 1 is the root, the leaves begin at node leaves
	any    []uint64      // items that do not constrain the field
}

const (
	// Fewer items than that are compared one by one.
	indexedFrom = 128
	maxBuckets  = 128
)

func newIndex(items []item) *index {
	x := &index{items: items, words: (len(items) + 63) / 64}
	if len(items) < indexedFrom {
		return x
	}
	x.found, x.or = make([]uint64, x.words), make([]uint64, x.words)
	for f := range space.Fields {
		n := 0
		for i := range items {
			if !items[i].Product[f].IsEverything() && f != space.Family {
				n++
			}
		}
		// A field that few constrain tells few apart.
		if n*4 >= len(items) {
			if b, ok := x.build(f); ok {
				x.fields = append(x.fields, b)
			}
		}
	}
	return x
}

func (x *index) build(f space.Field) (fieldIndex, bool) {
	b := fieldIndex{field: f, any: make([]uint64, x.words)}
	var starts []space.Value
	for i := range x.items {
		if s := x.items[i].Product[f]; !s.IsEverything() {
			for _, r := range f.Ranges(s)[:min(64, len(f.Ranges(s)))] {
				starts = append(starts, r.Lo)
			}
		}
	}
	slices.SortFunc(starts, space.Value.Compare)
	starts = slices.Compact(starts)
	if len(starts) < 2 {
		return b, false
	}
	for i := range maxBuckets - 1 {
		b.starts = append(b.starts, starts[(i+1)*len(starts)/maxBuckets])
	}
	b.starts = slices.Compact(b.starts)
	b.leaves = 1 << bits.Len(uint(len(b.starts)))
	b.tree = make([][]uint64, 2*b.leaves)
	vectors := make([]uint64, 2*b.leaves*x.words)
	for i := range b.tree {
		b.tree[i] = vectors[i*x.words : (i+1)*x.words]
	}
	for i := range x.items {
		s := x.items[i].Product[f]
		if s.IsEverything() {
			b.any[i/64] |= 1 << (i % 64)
			continue
		}
		for _, r := range f.Ranges(s) {
			for j, last := b.bucket(r.Lo), b.bucket(r.Hi); j <= last; j++ {
				b.tree[b.leaves+j][i/64] |= 1 << (i % 64)
			}
		}
	}
	for n := b.leaves - 1; n > 0; n-- {
		for w := range b.tree[n] {
			b.tree[n][w] = b.tree[2*n][w] | b.tree[2*n+1][w]
		}
	}
	return b, true
}

// bucket returns the bucket that a value is in.
func (b *fieldIndex) bucket(v space.Value) int {
	return sort.Search(len(b.starts), func(i int) bool { return v.Compare(b.starts[i]) < 0 })
}

// collect adds to out the items that reach into the buckets from lo to hi.
func (b *fieldIndex) collect(lo, hi int, out []uint64) {
	add := func(n int) {
		for w, v := range b.tree[n] {
			out[w] |= v
		}
	}
	for l, r := lo+b.leaves, hi+b.leaves+1; l < r; l, r = l/2, r/2 {
		if l&1 == 1 {
			add(l)
			l++
		}
		if r&1 == 1 {
			r--
			add(r)
		}
	}
}

// meeting appends the items from index first on, before index end, that have
// something in common with p, in order.
func (x *index) meeting(p *space.Product, first, end int, out []int32) []int32 {
	if x.fields == nil {
		for i := first; i < end; i++ {
			if x.items[i].Overlaps(p) {
				out = append(out, int32(i))
			}
		}
		return out
	}
	for w := range x.found {
		x.found[w] = ^uint64(0)
	}
	for i := range x.fields {
		b := &x.fields[i]
		s := p[b.field]
		if s.IsEverything() {
			continue
		}
		copy(x.or, b.any)
		last := -1
		for _, r := range b.field.Ranges(s) {
			lo, hi := max(b.bucket(r.Lo), last+1), b.bucket(r.Hi)
			if lo <= hi {
				b.collect(lo, hi, x.or)
				last = hi
			}
		}
		for w := range x.found {
			x.found[w] &= x.or[w]
		}
	}
	for w := first / 64; w*64 < end; w++ {
		for v := x.found[w]; v != 0; v &= v - 1 {
			i := w*64 + bits.TrailingZeros64(v)
			if i >= end {
				break
			}
			if i >= first && x.items[i].Overlaps(p) {
				out = append(out, int32(i))
			}
		}
	}
	return out
}

// compiled is a list as its items.
type compiled struct {
	*List
	contexts []space.Product
	items    []item
	starts   []int // of each rule in items, and the end
	index    *index
}

// compile restricts the rules of a list to the contexts. Items without a
// possible packet are left out.
func compile(l *List, contexts []space.Product) *compiled {
	c := &compiled{List: l, contexts: contexts}
	if len(contexts) == 0 {
		c.contexts = []space.Product{{}}
	}
	for i := range l.Rules {
		c.starts = append(c.starts, len(c.items))
		for j := range l.Rules[i].Products {
			for k := range c.contexts {
				if p, ok := l.Rules[i].Products[j].Intersect(&c.contexts[k]); ok && p.Possible() {
					c.items = append(c.items, item{p, i})
				}
			}
		}
	}
	c.starts = append(c.starts, len(c.items))
	c.index = newIndex(c.items)
	return c
}

// of returns the items of a rule.
func (c *compiled) of(rule int) []item { return c.items[c.starts[rule]:c.starts[rule+1]] }

// between returns the items that meet p of the rules that keep says, from rule
// first on, before rule end.
func (c *compiled) between(p *space.Product, first, end int, keep func(rule int) bool) []int32 {
	found := c.index.meeting(p, c.starts[first], c.starts[end], nil)
	return slices.DeleteFunc(found, func(i int32) bool { return !keep(c.items[i].rule) })
}

func (c *compiled) products(items []int32) []*space.Product {
	out := make([]*space.Product, len(items))
	for i, n := range items {
		out[i] = &c.items[n].Product
	}
	return out
}

func (c *compiled) full(rule int) bool { return !c.Rules[rule].Partial }

// rulesOf returns the rules of the items, sorted, each once.
func (c *compiled) rulesOf(items []int32) []int {
	var out []int
	for _, i := range items {
		out = append(out, c.items[i].rule)
	}
	slices.SortFunc(out, cmp.Compare[int])
	return slices.Compact(out)
}
