package space

import (
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// order is how products are read: what it is, from where, to where, the rest.
var order = []Field{
	Context, Datapath, Ingress, Egress, Kind, Family, Src, SrcPort, Dst, DstPort, TCPFlags, ARPOperation,
	Fragment, EthSrc, EthDst, VLAN, PCP, From, To,
}

// String describes the product in the words of the rules language, without the
// fields that can have any value: "tcp, destination 10.1.0.0/24, port 443". Long
// sets are cut, and say so.
func (p Product) String() string {
	var parts []string
	if s, ok := p.withoutPorts(); ok {
		parts = append(parts, Context.String()+" "+Context.describe(s, &p))
		p[Datapath], p[Ingress], p[Egress] = Set{}, Set{}, Set{}
	}
	for _, f := range order {
		s := p[f]
		if s.IsEverything() || p.implied(f) {
			continue
		}
		text := f.describe(s, &p)
		switch {
		case f == Kind, f == Family, f == Fragment:
			parts = append(parts, text)
		case f == DstPort && p.isICMP():
			parts = append(parts, text)
		default:
			parts = append(parts, f.String()+" "+text)
		}
	}
	if len(parts) == 0 {
		return "every packet"
	}
	return strings.Join(parts, ", ")
}

// withoutPorts returns the context IDs of which both ports are 0, if there are no
// others: OVN has none like that, so it is a number of the plain layout that has been
// compared with its IDs.
func (p *Product) withoutPorts() (Set, bool) {
	if !p[Context].IsEverything() || !p[Ingress].Equal(Ingress.Values(0)) || !p[Egress].Equal(Egress.Values(0)) || p[Datapath].Contains(V(NoDatapath)) {
		return Set{}, false
	}
	return Context.Of(Datapath.Ranges(p[Datapath])...), true
}

// implied reports whether what the product says of a field follows from the rest
// of it: from the kinds for most, and from the addresses for the family.
func (p *Product) implied(f Field) bool {
	switch f {
	case Context, EthSrc, EthDst, From, To, Kind:
		return false
	case Datapath, Ingress, Egress:
		// The plain layout is what goes without saying.
		if p[f].Equal(f.Of(Range{f.Max(), f.Max()})) {
			return true
		}
	case Fragment:
		if p[f].Equal(NotLater) {
			return true
		}
	case Family:
		return p[Family].Equal(onlyIPv4) && (p.tellsFamily(Src) || p.tellsFamily(Dst)) || p[Family].Equal(onlyIPv6) && (p.tellsFamily(Src) || p.tellsFamily(Dst))
	case Src, Dst:
		if !p.tellsFamily(f) && !p[Family].IsEverything() {
			return true
		}
	}
	rest := *p
	rest[f] = Set{}
	for i := range regards {
		r := &regards[i]
		if !slices.Contains(r.fields, f) {
			continue
		}
		for j := range r.rows {
			if both, ok := rest.Intersect(&r.rows[j]); ok && !p[f].Covers(both[f]) {
				return false
			}
		}
	}
	return true
}

var (
	onlyIPv4     = Family.Values(4)
	onlyIPv6     = Family.Values(6)
	allIPv4      = Src.Between(0, 1<<32-1)
	zeroAddress  = Src.Values(0)
	noIPFamily   = Family.Values(0)
	laterOnly    = Fragment.Values(LaterFragment)
	fragmentsAll = Fragment.Values(FirstFragment, LaterFragment)
)

// tellsFamily reports whether addresses are written out and show their version.
func (p *Product) tellsFamily(f Field) bool {
	s := p[f]
	switch {
	case s.IsEverything():
		return false
	case p[Family].Equal(onlyIPv4):
		return !s.Covers(allIPv4)
	case p[Family].Equal(noIPFamily):
		return !s.Covers(allIPv4) && !s.Equal(zeroAddress)
	}
	return true
}

// shown is how many elements of a set are written out.
const shown = 4

func (f Field) describe(s Set, p *Product) string {
	if s.IsEmpty() {
		return "nothing"
	}
	switch f {
	case TCPFlags:
		return describeFlags(s)
	case Fragment:
		switch {
		case s.Equal(laterOnly):
			return "later fragments"
		case s.Equal(fragmentsAll):
			return "fragments"
		}
	}
	ranges, not := f.shorter(s, p)
	var parts []string
	for i, r := range ranges {
		if i == shown {
			parts = append(parts, fmt.Sprintf("and %d more", len(ranges)-shown))
			break
		}
		parts = append(parts, f.describeRange(r, p))
	}
	text := strings.Join(parts, ", ")
	if len(parts) > 1 {
		text = "{" + text + "}"
	}
	if !not {
		return text
	}
	return "not " + text
}

// shorter returns the ranges of the set or those of its complement, inside what
// the field can be here, and whether it is the complement.
func (f Field) shorter(s Set, p *Product) (ranges []Range, not bool) {
	whole := Set{}
	switch f {
	case Src, Dst:
		if p[Family].Equal(onlyIPv4) || p[Family].Equal(noIPFamily) {
			whole = allIPv4
		}
	case SrcPort, DstPort, ARPOperation:
		if !s.Contains(V(NoPort)) {
			whole = f.Between(0, 0xffff)
		}
	case VLAN:
		if !s.Contains(V(NoVLAN)) {
			whole = f.Between(NoVLAN+1, f.Max().Lo)
		}
	case PCP:
		if !s.Contains(V(NoPriority)) {
			whole = f.Between(0, NoPriority-1)
		}
	case Datapath, Ingress, Egress:
		if !s.Contains(f.Max()) {
			whole = f.Of(Range{Value{}, f.Max().prev()})
		}
	}
	others := f.Ranges(f.Subtract(whole, s))
	if len(others) > 0 && len(others) < len(f.Ranges(s)) {
		return others, true
	}
	return f.Ranges(s), false
}

func (f Field) describeRange(r Range, p *Product) string {
	switch f {
	case Src, Dst, From, To:
		return f.describeAddresses(r, p)
	case DstPort:
		if p.isICMP() && r.Hi.Lo < NoPort {
			return describeICMP(r)
		}
	}
	if r.Lo == r.Hi {
		return f.describeValue(r.Lo)
	}
	if f == Kind && r == (Range{V(0), V(255)}) {
		return "IP"
	}
	if f == Kind && r == (Range{V(NotIP), f.Max()}) {
		return "not IP"
	}
	// What is "none" does not go into a range: of VLANs the lowest, else the highest.
	if f == VLAN && r.Lo == V(NoVLAN) {
		return f.describeRange(Range{V(NoVLAN + 1), r.Hi}, p) + ", none"
	}
	if r.Hi == f.Max() && f.hasNone() {
		none := f.describeValue(r.Hi)
		if r.Hi = r.Hi.prev(); r.Lo == r.Hi {
			return f.describeValue(r.Lo) + ", " + none
		}
		return f.describeValue(r.Lo) + "-" + f.describeValue(r.Hi) + ", " + none
	}
	return f.describeValue(r.Lo) + "-" + f.describeValue(r.Hi)
}

// hasNone reports whether the highest value of the field is that there is none.
func (f Field) hasNone() bool {
	switch f {
	case SrcPort, DstPort, PCP, ARPOperation, Datapath, Ingress, Egress:
		return true
	}
	return false
}

var kindNames = map[uint64]string{
	icmp: "icmp", tcp: "tcp", udp: "udp", icmpv6: "icmpv6", sctp: "sctp", NotIP | 0x0806: "arp",
}

func (f Field) describeValue(v Value) string {
	if f.hasNone() && v == f.Max() || f == VLAN && v == V(NoVLAN) {
		return "none"
	}
	switch f {
	case Kind:
		switch name := kindNames[v.Lo]; {
		case name != "":
			return name
		case v.Lo < NotIP:
			return fmt.Sprintf("protocol %d", v.Lo)
		default:
			return fmt.Sprintf("ethertype 0x%04x", v.Lo&0xffff)
		}
	case Family:
		if v.Lo == 0 {
			return "not IP"
		}
		return fmt.Sprintf("IPv%d", v.Lo)
	case Context:
		if v.Lo > 9999 {
			return fmt.Sprintf("%#x", v.Lo)
		}
	case EthSrc, EthDst:
		m := v.MAC()
		return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
	case Fragment:
		return [...]string{"whole", "first fragments", "later fragments"}[v.Lo]
	}
	return strconv.FormatUint(v.Lo, 10)
}

// describeAddresses writes a range of addresses as a prefix if it is one.
func (f Field) describeAddresses(r Range, p *Product) string {
	mapped := Range{Value{0, 0xffff << 32}, Value{0, 0xffff<<32 | 0xffff_ffff}}
	is4 := false
	switch f {
	case Src, Dst:
		is4 = !p[Family].Equal(onlyIPv6) && r.Hi.Hi == 0 && r.Hi.Lo < 1<<32
	default:
		is4 = !r.Lo.less(mapped.Lo) && !mapped.Hi.less(r.Hi)
	}
	width := r.Hi.minus(r.Lo)
	host := bits.Len64(width.Lo)
	if width.Hi != 0 {
		host = 64 + bits.Len64(width.Hi)
	}
	toAddr, size := Value.IPv6, 128
	if is4 {
		toAddr, size = Value.IPv4, 32
	}
	whole, _ := Prefix(netip.PrefixFrom(r.Lo.IPv6(), 128-host))
	switch {
	case host == 0:
		return toAddr(r.Lo).String()
	case whole == r:
		return netip.PrefixFrom(toAddr(r.Lo), size-host).String()
	}
	return toAddr(r.Lo).String() + "-" + toAddr(r.Hi).String()
}

// describeICMP writes a range of type<<8|code.
func describeICMP(r Range) string {
	lo, hi := r.Lo.Lo, r.Hi.Lo
	switch {
	case lo == hi:
		return fmt.Sprintf("type %d code %d", lo>>8, lo&0xff)
	case lo&0xff != 0 || hi&0xff != 0xff:
		return fmt.Sprintf("type %d code %d to type %d code %d", lo>>8, lo&0xff, hi>>8, hi&0xff)
	case lo>>8 == hi>>8:
		return fmt.Sprintf("type %d", lo>>8)
	}
	return fmt.Sprintf("types %d-%d", lo>>8, hi>>8)
}

var flagNames = [...]string{"fin", "syn", "rst", "psh", "ack", "urg", "ece", "cwr", "ae"}

// describeFlags finds the flags that are the same in all of the set.
func describeFlags(s Set) string {
	set, clear := uint16(NoFlags-1), uint16(NoFlags-1)
	with := s.Intersect(TCPFlags.Between(0, NoFlags-1))
	for v := range uint64(NoFlags) {
		if with.Contains(V(v)) {
			set &= uint16(v)
			clear &^= uint16(v)
		}
	}
	if with.IsEmpty() {
		return "none"
	}
	var parts []string
	for i, name := range flagNames {
		switch bit := uint16(1) << i; {
		case set&bit != 0:
			parts = append(parts, name)
		case clear&bit != 0:
			parts = append(parts, "!"+name)
		}
	}
	text := strings.Join(parts, " ")
	if !MaskedFlags(set|clear, set).Equal(with) {
		n := uint64(0)
		for _, r := range TCPFlags.Ranges(with) {
			n += r.Hi.Lo - r.Lo.Lo + 1
		}
		text = strings.TrimSpace(fmt.Sprintf("%s (%d of the 512 combinations)", text, n))
	}
	if s.Contains(V(NoFlags)) {
		text += ", none"
	}
	return text
}
