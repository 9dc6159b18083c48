package classify

import (
	"unsafe"

	"sttwall/internal/prefetch"
)

// Absent is the port of a packet without ports: a later fragment, a protocol
// without ports.
const Absent = 1 << 16

// Key is what a packet shows.
type Key struct {
	Family           uint8     // 4 or 6; 0: the frame has no addresses
	Src, Dst         [2]uint64 // high and low half; IPv4 is in the low 32 bits of the second
	Kind             uint32    // the IP protocol, 0-255; without IP 0x10000|ethertype
	SrcPort, DstPort uint32    // 0-65535, or Absent; ICMP: DstPort is type<<8|code
}

// Range4 is a range of IPv4 addresses, both ends inclusive.
type Range4 struct{ Lo, Hi uint32 }

// Range6 is a range of IPv6 addresses as high and low half, both ends inclusive.
type Range6 struct{ Lo, Hi [2]uint64 }

// Addresses is a set of addresses: sorted ranges that neither overlap nor touch.
// Rules share sets, so it must not be changed once it is in one.
type Addresses struct {
	V4 []Range4
	V6 []Range6
}

// Service is one box of a rule: a range of kinds, source and destination ports
// each, all ends inclusive.
type Service struct{ KindLo, KindHi, SrcLo, SrcHi, DstLo, DstHi uint32 }

// Rule is what a rule asks of a packet.
type Rule struct {
	Src, Dst *Addresses // nil: any packet, also one without addresses
	Services []Service  // any of them; a rule without one matches nothing
	Rest     bool       // the Checker must say yes too
	Passes   bool       // the caller may go on behind it, see First
}

// Checker knows the conditions that a [Key] does not show.
type Checker interface {
	// Check reports whether they hold for the rule with that index.
	Check(rule int) bool
}

// Matcher is a compiled list of rules.
type Matcher struct {
	tables [tables]table
	rules  []Rule
}

// The tables of a matcher. IP and what is not IP are apart because a rule about
// any IP packet then covers all that there is in a table, which ends leaves.
const (
	ofIP4    = iota
	ofOther4 // ARP, of which the addresses are known too
	ofIP6
	ofOther6
	ofNone // no addresses
	tables
)

const (
	lastProtocol   = 255
	firstEtherType = 1 << 16
)

// New compiles rules, and keeps them.
func New(rules []Rule) *Matcher {
	m := &Matcher{rules: rules}
	for i, family := range [tables]uint8{ofIP4: 4, ofOther4: 4, ofIP6: 6, ofOther6: 6, ofNone: 0} {
		all := everything(family)
		switch i {
		case ofIP4, ofIP6:
			all.hi[kindOf] = lastProtocol
		default:
			all.lo[kindOf] = firstEtherType
		}
		m.tables[i] = grow(rules, &all)
	}
	return m
}

// Expect asks for what First looks at first, for IPv4; see package prefetch.
func (m *Matcher) Expect() { prefetch.Line(unsafe.Pointer(m)) }

// ExpectRules asks for the first rules, or for the roots of the trees, for IPv4. It
// waits for what Expect asks for.
func (m *Matcher) ExpectRules() {
	t := &m.tables[ofIP4]
	if len(t.few) > 0 {
		prefetch.Line(unsafe.Pointer(&t.few[0]))
	}
	if len(t.roots) > 0 {
		prefetch.Line(unsafe.Pointer(&t.roots[0]))
	}
}

// First returns the lowest index, from on, of a rule that matches, or -1. rest
// is asked about rules with Rest alone, and perhaps about some that come after
// the one that is found. It takes longer with from > 0 where a rule below from
// that is not marked Passes matches.
func (m *Matcher) First(k *Key, from int, rest Checker) int {
	t := &m.tables[ofNone]
	switch {
	case k.Family == 4 && k.Kind <= lastProtocol:
		t = &m.tables[ofIP4]
	case k.Family == 6 && k.Kind <= lastProtocol:
		t = &m.tables[ofIP6]
	case k.Family == 4:
		t = &m.tables[ofOther4]
	case k.Family == 6:
		t = &m.tables[ofOther6]
	}
	var v words
	v.of(k)
	// First down all trees, then to what is there: the ways down are independent
	// of each other, and nothing on them is guessed wrong but where they end.
	var leaves [maxTrees]ref
	for i := range t.roots {
		leaves[i&(maxTrees-1)] = t.leafOf(t.roots[i].at(&v), &v)
	}
	if from == 0 {
		packed := packed(k.Kind, k.DstPort, k.SrcPort)
		best := lowestOf(t.few, v[dstWord], v[srcWord], packed)
		for i := range t.roots {
			if best > t.roots[i].lowest {
				best = min(best, t.lowest(leaves[i&(maxTrees-1)], v[dstWord], v[srcWord], packed))
			}
		}
		switch {
		case best == noRule:
			return -1
		case best&asks == 0:
			return int(best >> askBits)
		}
	}
	s := search{rules: m.rules, key: k, from: from, best: len(m.rules), rest: rest}
	for i := range t.few {
		if s.box(&t.few[i], &v) {
			break
		}
	}
	for i := range t.roots {
		s.leaf(t, leaves[i&(maxTrees-1)], &v)
	}
	switch {
	case s.short:
		return m.walk(k, from, rest)
	case s.best == len(m.rules):
		return -1
	}
	return s.best
}

const maxTrees = 4 // of a family; a power of two

// walk tries the rules one by one.
func (m *Matcher) walk(k *Key, from int, rest Checker) int {
	for i := from; i < len(m.rules); i++ {
		if m.rules[i].matches(k) && (!m.rules[i].Rest || rest.Check(i)) {
			return i
		}
	}
	return -1
}

func (r *Rule) matches(k *Key) bool {
	return inServices(r.Services, k) && (r.Dst == nil || r.Dst.Contains(k.Family, k.Dst)) &&
		(r.Src == nil || r.Src.Contains(k.Family, k.Src))
}

func inServices(services []Service, k *Key) bool {
	for i := range services {
		if s := &services[i]; s.KindLo <= k.Kind && k.Kind <= s.KindHi &&
			s.DstLo <= k.DstPort && k.DstPort <= s.DstHi && s.SrcLo <= k.SrcPort && k.SrcPort <= s.SrcHi {
			return true
		}
	}
	return false
}

// Contains reports whether the set holds an address of that family.
func (a *Addresses) Contains(family uint8, v [2]uint64) bool {
	i, j := 0, 0
	switch family {
	case 4:
		if len(a.V4) == 1 { // nearly always
			return uint64(a.V4[0].Lo) <= v[1] && v[1] <= uint64(a.V4[0].Hi)
		}
		for j = len(a.V4); i < j; {
			if h := int(uint(i+j) >> 1); uint64(a.V4[h].Lo) <= v[1] {
				i = h + 1
			} else {
				j = h
			}
		}
		return i > 0 && v[1] <= uint64(a.V4[i-1].Hi)
	case 6:
		for j = len(a.V6); i < j; {
			if h := int(uint(i+j) >> 1); !less(v, a.V6[h].Lo) {
				i = h + 1
			} else {
				j = h
			}
		}
		return i > 0 && !less(a.V6[i-1].Hi, v)
	}
	return false
}

func less(a, b [2]uint64) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }
