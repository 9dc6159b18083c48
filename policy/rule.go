package policy

import (
	"cmp"
	"net/netip"
	"slices"

	"sttwall/inspect"
	"sttwall/policy/classify"
	"sttwall/rewrite"
)

// rule is one compiled rule block. The matcher of its list holds source,
// destination and the boxes of services too; more is left to check.
type rule struct {
	verdict
	at          place
	source      *classify.Addresses // nil: any, also none
	destination *classify.Addresses
	services    []service
	more        *conditions // nil: no more
}

// verdict is what packets need of a rule that matches, or has accepted their
// flow.
type verdict struct {
	name      string // "tenant/rule"
	set       *rewrite.Set
	bucket    int32 // in Policy.buckets; -1: no limit
	action    Action
	mode      mode
	log       bool
	stateless bool
	overDrops bool
}

// temporary returns what is special about a temporary rule; nil for one of the
// file.
func (r *rule) temporary() *temporaryRule {
	if r.more == nil {
		return nil
	}
	return r.more.temporary
}

// mode says whether what is denied is dropped.
type mode uint8

const (
	modeInherit mode = iota // as the tenant says
	modeEnforce
	modeAudit
)

func (r *verdict) audits(t *tenant) bool {
	return r.mode == modeAudit || r.mode == modeInherit && t.Audit
}

// service is one alternative of a services list.
type service struct {
	box              classify.Service
	flagMask, flagIs uint16 // TCP flags: those of the mask must be as in flagIs
}

// conditions are those that few rules have.
type conditions struct {
	sourceMAC, destinationMAC spans // nil: any; so everywhere here
	vlan                      spans // no VLAN is 0
	pcp                       spans // untagged is 8
	etherTypes                spans
	arpOperations             spans
	flagMask, flagIs          uint16
	fragments                 fragmentSet
	from, to                  *classify.Addresses
	datapath, ingress, egress spans
	times                     *timeCondition
	flaggedServices           bool           // some service has TCP flags
	noServices                bool           // the rule's services are those of ethertype or arp_operation
	temporary                 *temporaryRule // nil: a rule of the file
}

const (
	noVLAN      = 0 // the VLAN ID of a priority tag (IEEE 802.1Q), and what untagged frames have here
	untaggedPCP = 8
)

// fragmentSet is a set of the three ways in which a packet can be whole or not;
// 0 is whole packets and first fragments.
type fragmentSet uint8

const (
	fragmentWhole fragmentSet = 1 << iota
	fragmentFirst
	fragmentLater
)

func fragmentOf(f *inspect.Frame) fragmentSet {
	switch {
	case !f.Fragmented:
		return fragmentWhole
	case f.Fragment.Offset == 0:
		return fragmentFirst
	}
	return fragmentLater
}

// namesLater reports whether the rule is about later fragments.
func (r *rule) namesLater() bool { return r.more != nil && r.more.fragments&fragmentLater != 0 }

// The OVN layout of a context ID, from the top bit: 9 zero bits, ingress port
// (15), egress port (16), datapath (24); ovn-architecture(7).
const (
	ovnBits         = 55
	ovnDatapathBits = 24
	ovnEgressBits   = 16
)

// OVNDatapath returns the logical datapath in a context ID of the OVN layout.
func OVNDatapath(id uint64) uint32 { return uint32(id & (1<<ovnDatapathBits - 1)) }

// OVNEgress returns the logical egress port.
func OVNEgress(id uint64) uint16 { return uint16(id >> ovnDatapathBits) }

// OVNIngress returns the logical ingress port, 15 bits.
func OVNIngress(id uint64) uint16 { return uint16(id>>(ovnDatapathBits+ovnEgressBits)) & 0x7fff }

// OVNReverse returns the context ID of the way back: the ports swapped. false
// where there is none, because the egress port is a multicast group, which has a
// number that no ingress port has.
func OVNReverse(id uint64) (uint64, bool) {
	in, out := OVNIngress(id), OVNEgress(id)
	if out > 0x7fff {
		return 0, false
	}
	return uint64(out)<<(ovnDatapathBits+ovnEgressBits) | uint64(in)<<ovnDatapathBits | uint64(OVNDatapath(id)), true
}

// span is a range of numbers, both ends inclusive.
type span struct{ lo, hi uint64 }

// spans are sorted and neither overlap nor touch. nil holds everything, an
// empty one that is not nil holds nothing.
type spans []span

func (s spans) contains(v uint64) bool {
	if s == nil {
		return true
	}
	for i := range s {
		if v <= s[i].hi {
			return s[i].lo <= v
		}
	}
	return false
}

// join sorts spans and joins those that overlap or touch.
func join(s spans) spans {
	slices.SortFunc(s, func(a, b span) int { return cmp.Compare(a.lo, b.lo) })
	out := s[:0]
	for _, r := range s {
		if n := len(out); n > 0 && (out[n-1].hi == ^uint64(0) || r.lo <= out[n-1].hi+1) {
			out[n-1].hi = max(out[n-1].hi, r.hi)
			continue
		}
		out = append(out, r)
	}
	return out
}

// without returns what of 0 to limit is in s and not in t. nil is everything.
func (s spans) without(t spans, limit uint64) spans {
	if s == nil {
		s = spans{{0, limit}}
	}
	out := spans{}
	for _, r := range s {
		lo, done := r.lo, false
		for _, x := range t {
			if x.hi < lo || x.lo > r.hi {
				continue
			}
			if x.lo > lo {
				out = append(out, span{lo, x.lo - 1})
			}
			if x.hi >= r.hi {
				done = true
				break
			}
			lo = x.hi + 1
		}
		if !done {
			out = append(out, span{lo, r.hi})
		}
	}
	return out
}

// check is the state of one evaluation; it implements [classify.Checker].
type check struct {
	policy *Policy
	tenant *tenant
	packet *Packet
	key    classify.Key
	later  bool    // the packet is a later fragment
	first  int32   // of the list at hand
	some   []int32 // the rules that the matcher has, if it is not all of the list
}

func (c *check) begin(p *Policy, t *tenant, k *Packet) {
	c.policy, c.tenant, c.packet = p, t, k
	fillKey(&c.key, k.Frame)
	c.later = fragmentOf(k.Frame) == fragmentLater
}

// list makes c ready for a list and returns its matcher; nil if the list has no
// rule for the packet.
func (c *check) list(l *ruleList) *classify.Matcher {
	c.first, c.some = l.start, nil
	if !c.later {
		return l.matcher
	}
	if l.later == nil {
		return nil
	}
	c.some = l.later.rules
	return l.later.matcher
}

// index returns the index in Policy.rules of what the matcher calls rule i.
func (c *check) index(i int) int32 {
	if c.some != nil {
		return c.some[i]
	}
	return c.first + int32(i)
}

// Check implements [classify.Checker].
func (c *check) Check(i int) bool {
	r := &c.policy.rules[c.index(i)]
	return r.more.holds(c, r)
}

func (m *conditions) holds(c *check, r *rule) bool {
	if m.temporary != nil && !m.temporary.holds(c) {
		return false
	}
	f := c.packet.Frame
	if m.flagMask != 0 && !(f.HasTCP && f.TCPFlags&m.flagMask == m.flagIs) ||
		m.fragments != 0 && (f.IP == 0 || m.fragments&fragmentOf(f) == 0) ||
		!m.etherTypes.contains(uint64(f.EtherType)) ||
		m.arpOperations != nil && !(isARP(f) && m.arpOperations.contains(uint64(f.ARPOperation))) {
		return false
	}
	if m.sourceMAC != nil && !m.sourceMAC.contains(macNumber(f.EthSrc)) ||
		m.destinationMAC != nil && !m.destinationMAC.contains(macNumber(f.EthDst)) {
		return false
	}
	if m.vlan != nil || m.pcp != nil {
		vlan, pcp := outerTag(f)
		if !m.vlan.contains(vlan) || !m.pcp.contains(pcp) {
			return false
		}
	}
	if m.from != nil && !contains(m.from, c.packet.From) || m.to != nil && !contains(m.to, c.packet.To) {
		return false
	}
	if m.datapath != nil || m.ingress != nil || m.egress != nil {
		id := c.packet.ContextID
		if !c.tenant.OVN || !m.datapath.contains(uint64(OVNDatapath(id))) ||
			!m.ingress.contains(uint64(OVNIngress(id))) || !m.egress.contains(uint64(OVNEgress(id))) {
			return false
		}
	}
	if m.times != nil && !m.times.contains(c.packet.Wall) {
		return false
	}
	return !m.flaggedServices || slices.ContainsFunc(r.services, func(s service) bool { return s.matches(&c.key, f) })
}

// matches decides about one service; the matcher has found only that one of the
// rule's boxes holds the packet.
func (s *service) matches(k *classify.Key, f *inspect.Frame) bool {
	b := &s.box
	return b.KindLo <= k.Kind && k.Kind <= b.KindHi &&
		b.SrcLo <= k.SrcPort && k.SrcPort <= b.SrcHi &&
		b.DstLo <= k.DstPort && k.DstPort <= b.DstHi &&
		(s.flagMask == 0 || f.HasTCP && f.TCPFlags&s.flagMask == s.flagIs)
}

func isARP(f *inspect.Frame) bool { return f.IP == 0 && f.EtherType == inspect.EtherTypeARP }

func macNumber(m [6]byte) uint64 {
	var n uint64
	for _, b := range m {
		n = n<<8 | uint64(b)
	}
	return n
}

// outerTag returns the VLAN ID and priority of the outermost tag. A tag with VLAN ID
// 0 puts a frame into no VLAN: receivers and hosts take it as untagged.
func outerTag(f *inspect.Frame) (vlan, pcp uint64) {
	if f.TagCount == 0 {
		return noVLAN, untaggedPCP
	}
	return uint64(f.Tags[0] & 0x0fff), uint64(f.Tags[0] >> 13)
}

// contains searches a set for an address; one that is not valid is in none.
func contains(s *classify.Addresses, a netip.Addr) bool {
	switch {
	case a.Is4():
		return s.Contains(4, halves(a))
	case a.Is6():
		return s.Contains(6, halves(a))
	}
	return false
}

func less(a, b [2]uint64) bool { return a[0] < b[0] || a[0] == b[0] && a[1] < b[1] }
