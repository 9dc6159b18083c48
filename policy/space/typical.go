package space

// Typical returns a packet of the product that looks like one that an operator
// meets: whole and untagged if it may be, of a well-known service, with addresses
// from inside the ranges. It is the same each time. False if there is no possible
// packet in the product.
func (p *Product) Typical() (Point, bool) {
	if !p.Possible() {
		return Point{}, false
	}
	part := *p
	for i := range regards {
		r := &regards[i]
		row := &r.rows[r.first(p)]
		for _, f := range r.fields {
			part[f] = part[f].Intersect(row[f])
		}
	}
	var x Point
	for f := range Fields {
		x[f] = typical(f, part[f], &part)
	}
	return x, true
}

// preferred are well-known values, the best first. Addresses are those for
// examples: RFC 5737 and RFC 3849, and a private network inside.
var preferred = [Fields][]Value{
	Context:      {V(100)},
	Src:          {V(10<<24 | 10), {0x20010db8 << 32, 0x10}},
	Dst:          {V(10<<24 | 20), {0x20010db8 << 32, 0x20}},
	Kind:         {V(tcp), V(udp), V(icmp), V(icmpv6), V(89), V(47), V(NotIP | 0x88cc)},
	SrcPort:      {V(40000), V(50000), V(NoPort), V(443)},
	DstPort:      {V(443), V(80), V(22), V(53), V(3306), V(8080), V(NoPort)},
	EthSrc:       {V(DescribedSrc)},
	EthDst:       {V(DescribedDst)},
	VLAN:         {V(NoVLAN), V(100)},
	PCP:          {V(NoPriority), V(0)},
	ARPOperation: {V(NoARP), V(1)},
	TCPFlags:     {V(NoFlags), V(0x02), V(0x10), V(0x18), V(0x12), V(0x04), V(0x11)},
	Fragment:     {V(Whole)},
	From:         {TypicalFrom},
	To:           {TypicalTo},
	Datapath:     {V(NoDatapath), V(7)},
	Ingress:      {V(NoIngress), V(1)},
	Egress:       {V(NoEgress), V(2)},
}

// MAC addresses of a packet that is described without any, and that of an ARP request.
const (
	DescribedSrc = 0x02_00_00_00_00_01
	DescribedDst = 0x02_00_00_00_00_02
	Broadcast    = 1<<48 - 1
)

// TypicalFrom and TypicalTo are those outer addresses (RFC 5737).
var (
	TypicalFrom = Value{0, 0xffff_c0_00_02_0a}
	TypicalTo   = Value{0, 0xffff_c0_00_02_14}
)

// preferredICMP are echo requests and replies of ICMP and ICMPv6.
var preferredICMP = []Value{V(8 << 8), V(0), V(128 << 8), V(129 << 8)}

func typical(f Field, s Set, p *Product) Value {
	ranges := f.Ranges(s)
	wanted := preferred[f]
	types := f == DstPort && p.isICMP() // where an edge, code 0, is as good as any
	if types {
		wanted = preferredICMP
		if p[Kind].Contains(V(icmpv6)) {
			wanted = preferredICMP[2:]
		}
	}
	if (f == Src || f == Dst) && p[Family].Equal(onlyIPv6) {
		wanted = wanted[1:] // the first is a number that an IPv6 address can have, too
	}
	if f == EthDst && p[Kind].Equal(onlyARP) {
		wanted = []Value{V(Broadcast), V(DescribedDst)}
	}
	edge := types || f == EthDst // an edge is as good as any
	for _, v := range wanted {
		if i := from(ranges, v); i < len(ranges) && !v.less(ranges[i].Lo) && (edge || inside(ranges[i], v)) {
			return v
		}
	}
	// The widest range has most to say.
	widest := ranges[0]
	for _, r := range ranges[1:] {
		if widest.Hi.minus(widest.Lo).less(r.Hi.minus(r.Lo)) {
			widest = r
		}
	}
	width := widest.Hi.minus(widest.Lo)
	step := uint64(10)
	if width.Hi == 0 && width.Lo < 2*step {
		step = (width.Lo + 1) / 2
	}
	return widest.Lo.plus(step)
}

// inside reports whether a value of the range is not on its edge, which in short
// ranges all are.
func inside(r Range, v Value) bool {
	width := r.Hi.minus(r.Lo)
	return width.Hi == 0 && width.Lo < 3 || v != r.Lo && v != r.Hi
}

// isICMP reports whether every packet of the product is ICMP or ICMPv6.
func (p *Product) isICMP() bool { return icmpKinds.Covers(p[Kind]) }

var onlyARP = Kind.Values(NotIP | 0x0806)

var icmpKinds = Kind.Values(icmp, icmpv6)
