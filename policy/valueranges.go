package policy

import (
	"cmp"
	"slices"

	"sttwall/binding"
)

// valueRange is a run of values with a number. Values are two halves, as addresses
// are; MACs and ports use the second alone.
type valueRange struct {
	lo, hi [2]uint64
	number int32
}

func compareHalves(a, b [2]uint64) int {
	return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1]))
}

// valueRanges are sorted and do not overlap.
type valueRanges []valueRange

// find returns the number of the range that holds v, or -1.
func (s valueRanges) find(v [2]uint64) int32 {
	i, j := 0, len(s)
	for i < j {
		if h := int(uint(i+j) >> 1); !less(v, s[h].lo) {
			i = h + 1
		} else {
			j = h
		}
	}
	if i > 0 && !less(s[i-1].hi, v) {
		return s[i-1].number
	}
	return -1
}

// narrow is ranges of values that are one number, in columns: a search touches
// few cache lines and takes no branch that could be guessed wrong.
type narrow struct {
	lo, hi []uint64
	number []int32
}

func narrowed(s valueRanges) (n narrow) {
	for _, x := range s {
		n.lo, n.hi, n.number = append(n.lo, x.lo[1]), append(n.hi, x.hi[1]), append(n.number, x.number)
	}
	return n
}

// find returns the number of the range that holds v, or -1.
func (n *narrow) find(v uint64) int32 {
	if len(n.lo) == 0 {
		return -1
	}
	at := 0
	for size := len(n.lo); size > 1; {
		half := size / 2
		if n.lo[at+half] <= v {
			at += half
		}
		size -= half
	}
	if n.lo[at] <= v && v <= n.hi[at] {
		return n.number[at]
	}
	return -1
}

// values are sets of what frames can claim, by kind.
type values struct {
	v4, macs, ports narrow
	v6              valueRanges
}

// valueLists are values under way: they may overlap.
type valueLists struct{ v4, v6, macs, ports valueRanges }

// portValue orders OVN ports so that a port of all datapaths, or all ports of all
// of them from one to another, is one range.
func portValue(port uint16, datapath uint32) uint64 {
	return uint64(port)<<ovnDatapathBits | uint64(datapath)
}

// oneNumber is a range of values that are one number.
func oneNumber(lo, hi uint64, number int32) valueRange {
	return valueRange{[2]uint64{0, lo}, [2]uint64{0, hi}, number}
}

// find returns the number of the range that holds the claim's value, or -1.
func (s *values) find(c *binding.Claim) int32 {
	switch c.Kind() {
	case binding.Address:
		a := c.Address()
		if a.Is4() {
			return s.v4.find(halves(a)[1])
		}
		return s.v6.find(halves(a))
	case binding.MAC:
		return s.macs.find(macNumber(c.MAC()))
	case binding.IngressPort:
		return s.ports.find(portValue(c.Port(), uint32(c.Network())))
	}
	return -1
}

// cutApart cuts ranges that may overlap into ones that do not. number makes one
// number of those of the ranges that hold the values; it may not keep its
// argument. Work is the sum over the results of how many hold them; where that
// would be more than budget, the rest is left out and false is returned.
func cutApart(list valueRanges, budget *int, number func([]int32) int32) (out valueRanges, ok bool) {
	slices.SortFunc(list, func(a, b valueRange) int { return compareHalves(a.lo, b.lo) })
	// Where something begins, or begins to be no more.
	var cuts [][2]uint64
	for i := range list {
		cuts = append(cuts, list[i].lo)
		if list[i].hi != lastV6 {
			cuts = append(cuts, next(list[i].hi))
		}
	}
	slices.SortFunc(cuts, compareHalves)
	cuts = slices.Compact(cuts)
	var (
		open    valueRanges
		numbers []int32
		coming  = list
	)
	for i, cut := range cuts {
		open = slices.DeleteFunc(open, func(x valueRange) bool { return less(x.hi, cut) })
		for len(coming) > 0 && coming[0].lo == cut {
			open, coming = append(open, coming[0]), coming[1:]
		}
		if len(open) == 0 {
			continue
		}
		if *budget -= len(open); *budget < 0 {
			return out, false
		}
		hi := lastV6
		if i+1 < len(cuts) {
			hi = previous(cuts[i+1])
		}
		numbers = numbers[:0]
		for j := range open {
			numbers = append(numbers, open[j].number)
		}
		slices.Sort(numbers)
		x := valueRange{cut, hi, number(slices.Compact(numbers))}
		if n := len(out); n > 0 && out[n-1].number == x.number && next(out[n-1].hi) == x.lo {
			out[n-1].hi = x.hi
			continue
		}
		out = append(out, x)
	}
	return out, true
}
