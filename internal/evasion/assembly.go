package evasion

import (
	"fmt"
	"slices"
)

// guest puts inner fragments together as hosts do, in both ways: what came first
// stays, or what came last counts. Neither may show it a packet that is denied.
type guest struct{ packets map[string]*assembly }

type assembly struct {
	size        int // -1: the last fragment has not come
	first, last []byte
	have        []bool
}

// take adds a fragment, and says why the packet that it completes is denied; "" if it
// is not, or is not complete.
func (g *guest) take(set *RuleSet, r *reading) string {
	if g.packets == nil {
		g.packets = map[string]*assembly{}
	}
	key := fmt.Sprint(r.context, r.tagged, r.vlan, r.src, r.dst, r.protocol, r.fragment.id)
	a := g.packets[key]
	if a == nil {
		a = &assembly{size: -1}
		g.packets[key] = a
	}
	at, end := r.fragment.offset, r.fragment.offset+len(r.payload)
	if end > len(a.have) {
		grow := end - len(a.have)
		a.first = append(a.first, make([]byte, grow)...)
		a.last = append(a.last, make([]byte, grow)...)
		a.have = append(a.have, make([]bool, grow)...)
	}
	for i, v := range r.payload {
		if !a.have[at+i] {
			a.first[at+i], a.have[at+i] = v, true
		}
		a.last[at+i] = v
	}
	if !r.fragment.more {
		a.size = end
	}
	if a.size < 0 || a.size > len(a.have) || slices.Contains(a.have[:a.size], false) {
		return ""
	}
	for _, data := range [][]byte{a.first[:a.size], a.last[:a.size]} {
		whole := *r
		whole.fragment = nil
		if err := whole.ports(data); err != nil {
			continue // no host takes it
		}
		if why := set.permits(&whole); why != "" {
			return why
		}
	}
	return ""
}
