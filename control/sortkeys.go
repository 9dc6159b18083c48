package control

import (
	"cmp"
	"encoding/binary"
	"math"
	"net/netip"
	"slices"

	"sttwall/conntrack"
	"sttwall/firewall"
	"sttwall/policy"
)

// sortable is a flow as far as it takes to put it in order: 32 bytes. Keys are
// compared from the first field to the last; flows with the same one by their
// handles, so that they stay where they are from one look to the next.
type sortable struct {
	hi, lo uint64
	flow   conntrack.Handle
	class  uint8 // compared before the others
}

// before reports whether a comes before b.
func (a *sortable) before(b *sortable, descending bool) bool {
	c := cmp.Compare(a.class, b.class)
	if c == 0 {
		if c = cmp.Compare(a.hi, b.hi); c == 0 {
			c = cmp.Compare(a.lo, b.lo)
		}
	}
	switch {
	case c == 0:
		return a.flow.Compare(b.flow) < 0
	case descending:
		return c > 0
	}
	return c < 0
}

// sorter says what flows are sorted by.
type sorter func(l *look, r *firewall.FlowRow, s *sortable)

// sorters are those of [FlowSorts].
var sorters = map[string]sorter{
	"rate": func(l *look, _ *firewall.FlowRow, s *sortable) {
		s.lo = math.Float64bits(float64(l.meter.byteRate[0]) + float64(l.meter.byteRate[1])) // not negative
	},
	"bytes": func(_ *look, r *firewall.FlowRow, s *sortable) {
		_, bytes := r.Counts()
		s.lo = bytes[0] + bytes[1]
	},
	"packets": func(_ *look, r *firewall.FlowRow, s *sortable) {
		packets, _ := r.Counts()
		s.lo = uint64(packets[0]) + uint64(packets[1])
	},
	"age": func(l *look, r *firewall.FlowRow, s *sortable) {
		created, _, _ := r.Times()
		s.lo = uint64(max(0, l.now-created))
	},
	"last": func(_ *look, r *firewall.FlowRow, s *sortable) {
		_, last, _ := r.Times()
		s.lo = uint64(max(0, last))
	},
	"expires": func(_ *look, r *firewall.FlowRow, s *sortable) {
		_, _, expires := r.Times()
		s.lo = uint64(max(0, expires))
	},
	"tenant": func(l *look, r *firewall.FlowRow, s *sortable) {
		if i := r.TenantIndex(); i >= 0 {
			s.lo = uint64(l.names.tenants[i])
		}
	},
	"context":  func(_ *look, r *firewall.FlowRow, s *sortable) { s.lo = r.Context() },
	"protocol": func(_ *look, r *firewall.FlowRow, s *sortable) { s.byWord(protocolNames256[r.Protocol()]) },
	"src":      func(_ *look, r *firewall.FlowRow, s *sortable) { s.byAddress(r.Key().Src) },
	"dst":      func(_ *look, r *firewall.FlowRow, s *sortable) { s.byAddress(r.Key().Dst) },
	"src_port": func(_ *look, r *firewall.FlowRow, s *sortable) {
		k := r.Key()
		port, _ := portsOf(k.Protocol, k.SrcPort, k.DstPort)
		s.lo = uint64(port + 1) // without a port first
	},
	"dst_port": func(_ *look, r *firewall.FlowRow, s *sortable) {
		k := r.Key()
		_, port := portsOf(k.Protocol, k.SrcPort, k.DstPort)
		s.lo = uint64(port + 1)
	},
	"state": func(_ *look, r *firewall.FlowRow, s *sortable) { s.byWord(r.Status()) },
	"verdict": func(l *look, r *firewall.FlowRow, s *sortable) {
		r.Decision(&l.decision)
		s.byWord(verdictOf(&l.decision))
	},
	"rule": func(l *look, r *firewall.FlowRow, s *sortable) {
		if r.Decision(&l.decision); l.decision.RuleIndex >= 0 {
			s.lo = uint64(l.names.rules[l.decision.RuleIndex])
		}
	},
	"from": func(_ *look, r *firewall.FlowRow, s *sortable) { s.byAddress(netip.AddrFrom16(r.Ends()[0]).Unmap()) },
	"to":   func(_ *look, r *firewall.FlowRow, s *sortable) { s.byAddress(netip.AddrFrom16(r.Ends()[1]).Unmap()) },
}

// byAddress puts addresses in the order of [netip.Addr.Compare]: IPv4 first.
func (s *sortable) byAddress(a netip.Addr) {
	b := a.As16()
	s.hi, s.lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
	if a.Is6() {
		s.class = 1
	}
}

// byWord puts words of at most 16 letters in order; longer ones are as good as
// their first 16.
func (s *sortable) byWord(word string) {
	var b [16]byte
	copy(b[:], word)
	s.hi, s.lo = binary.BigEndian.Uint64(b[:8]), binary.BigEndian.Uint64(b[8:])
}

// protocolNames256 are the names of all IP protocols, so that none has to be made.
var protocolNames256 = func() (names [256]string) {
	for n := range names {
		names[n] = protocolName(uint8(n))
	}
	return names
}()

// nameOrder is where names stand among the others of a policy, by index, from 1.
type nameOrder struct {
	policy         *policy.Policy
	tenants, rules []uint32
}

func newNameOrder(p *policy.Policy) nameOrder {
	return nameOrder{policy: p, tenants: orderOf(p.Tenants()), rules: orderOf(p.Rules())}
}

func orderOf(names []string) []uint32 {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	order := make([]uint32, len(names))
	for i, name := range names {
		at, _ := slices.BinarySearch(sorted, name) // the same name, the same place
		order[i] = uint32(at + 1)
	}
	return order
}

// window puts those of list in their places that belong at from to to-1, in order,
// and those that come before and behind them there, in none. It takes time in
// proportion to the list (Hoare, Algorithm 65: Find).
func window(list []sortable, from, to int, descending bool) []sortable {
	from, to = min(from, len(list)), min(to, len(list))
	if from < to {
		divide(list, from, descending)
		divide(list[from:], to-from, descending)
		slices.SortFunc(list[from:to], func(a, b sortable) int {
			if a.before(&b, descending) {
				return -1
			}
			return 1 // no two are the same
		})
	}
	return list[from:to]
}

// divide puts the first n of a list in front of the others.
func divide(list []sortable, n int, descending bool) {
	if n <= 0 || n >= len(list) {
		return
	}
	// A few unlucky choices are made up for; with more of them the rest is sorted.
	for rounds := 0; len(list) > 1; rounds++ {
		if rounds > 64 {
			slices.SortFunc(list, func(a, b sortable) int {
				if a.before(&b, descending) {
					return -1
				}
				return 1
			})
			return
		}
		middle := median(&list[0], &list[len(list)/2], &list[len(list)-1], descending)
		i, j := 0, len(list)-1
		for i <= j {
			for list[i].before(&middle, descending) {
				i++
			}
			for middle.before(&list[j], descending) {
				j--
			}
			if i <= j {
				list[i], list[j] = list[j], list[i]
				i++
				j--
			}
		}
		// Up to j they come before the middle, from i on behind it.
		if n <= j+1 {
			list = list[:j+1]
		} else {
			list, n = list[i:], n-i
		}
		if n == 0 || n == len(list) {
			return
		}
	}
}

func median(a, b, c *sortable, descending bool) sortable {
	if b.before(a, descending) {
		a, b = b, a
	}
	if c.before(b, descending) {
		if b = c; b.before(a, descending) {
			b = a
		}
	}
	return *b
}
