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
func New(rules []Rule) *Matcher { return compile(rules, flatLimit()) }

// compile makes tables that are flat up to so many boxes.
func compile(rules []Rule, flat int) *Matcher {
	m := &Matcher{rules: rules}
	for i, family := range [tables]uint8{ofIP4: 4, ofOther4: 4, ofIP6: 6, ofOther6: 6, ofNone: 0} {
		all := everything(family)
		switch i {
		case ofIP4, ofIP6:
			all.hi[kindOf] = lastProtocol
		default:
			all.lo[kindOf] = firstEtherType
		}
		m.tables[i] = grow(rules, &all, flat)
	}
	return m
}

// Expect asks for what First looks at first, for IPv4; see package prefetch.
func (m *Matcher) Expect() { prefetch.TwoLines(unsafe.Pointer(&m.tables[ofIP4])) }

// ExpectRules asks for the first rules, or for the roots of the trees, for IPv4. It
// waits for what Expect asks for.
func (m *Matcher) ExpectRules() {
	switch t := &m.tables[ofIP4]; {
	case t.trees != nil:
		prefetch.Line(unsafe.Pointer(&t.trees.roots[0]))
	case len(t.blocks) > 0:
		prefetch.ThreeLines(unsafe.Pointer(&t.blocks[0]))
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
	if t.trees == nil {
		return m.inFlat(t, k, from, rest)
	}
	return m.inTrees(t.trees, k, from, rest)
}

// Key4 is a [Key] of an IPv4 packet. Its numbers stay in registers, which those of a
// larger struct would not.
type Key4 struct {
	Dst, Src uint32
	Carried  uint32 // see Carried
	SrcPort  uint32
}

// Carried has the protocol and the destination port of an IP packet in one number, so
// that the ports of one protocol are a range.
func Carried(protocol, dstPort uint32) uint32 { return protocol<<portBits | dstPort }

// What First4 returns instead of an index.
const (
	None   = -1 // no rule matches
	Unsure = -2 // First knows
)

// First4 is First for IPv4, from 0 on, and where nothing but the key has to be
// asked.
func (m *Matcher) First4(k Key4) int {
	var best uint32
	switch t := &m.tables[ofIP4]; t.pair[0].form {
	case isPair:
		best = t.inPair(k.Dst, k.Src, k.Carried)
	case isFlat:
		best = inBlocks(t.blocks, k.Dst, k.Src, k.Carried)
	default:
		v := words{dstWord: k.Dst, srcWord: k.Src, kindOf: k.Carried >> portBits, dstPort: k.Carried & (1<<portBits - 1), srcPort: k.SrcPort}
		best = t.trees.first(&v)
	}
	switch {
	case best == noRule:
		return None
	case best&asks != 0:
		return Unsure
	}
	return int(best >> askBits)
}

// inTrees looks for the first rule in trees.
func (m *Matcher) inTrees(t *trees, k *Key, from int, rest Checker) int {
	var v words
	v.of(k)
	if from == 0 {
		switch best := t.first(&v); {
		case best == noRule:
			return -1
		case best&asks == 0:
			return int(best >> askBits)
		}
	}
	s := search{rules: m.rules, key: k, from: from, best: len(m.rules), rest: rest}
	for i := range t.roots {
		s.leaf(t, t.leafOf(t.roots[i].at(&v), &v), &v)
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
