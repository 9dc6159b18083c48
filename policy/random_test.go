package policy

import (
	"fmt"
	"math/rand/v2"
	"net/netip"

	"sttwall/inspect"
)

func randomAddress(r *rand.Rand) netip.Addr {
	v4 := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
	switch r.IntN(12) {
	case 0:
		return netip.AddrFrom16(v4.As16()) // IPv4-mapped, which is IPv6
	case 1, 2, 3:
		b := netip.MustParseAddr("2001:db8::").As16()
		b[15] = byte(r.IntN(16))
		return netip.AddrFrom16(b)
	case 4:
		return netip.MustParseAddr([]string{"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"}[r.IntN(4)])
	}
	return v4
}

func randomRange(r *rand.Rand) modelAddress {
	a := randomAddress(r)
	switch r.IntN(3) {
	case 0:
		return modelAddress{lo: a, hi: a}
	case 1:
		bits := a.BitLen() - r.IntN(6)
		if r.IntN(4) == 0 {
			bits = r.IntN(a.BitLen() + 1)
		}
		p, err := a.Prefix(bits)
		if err != nil {
			panic(err)
		}
		hi := p.Addr().AsSlice()
		for i := bits; i < 8*len(hi); i++ {
			hi[i/8] |= 1 << (7 - i%8)
		}
		last, _ := netip.AddrFromSlice(hi)
		return modelAddress{lo: p.Addr(), hi: last, cidr: p.String()}
	}
	b := randomAddress(r)
	for b.BitLen() != a.BitLen() {
		b = randomAddress(r)
	}
	if b.Less(a) {
		a, b = b, a
	}
	return modelAddress{lo: a, hi: b}
}

func randomList(r *rand.Rand, groups []modelAddress) []modelAddress {
	if r.IntN(3) == 0 {
		return nil
	}
	list := make([]modelAddress, 0, 5)
	for range 1 + r.IntN(4) {
		switch k := r.IntN(10); {
		case k == 0:
			list = append(list, modelAddress{any: true})
		case k < 4 && len(groups) > 0:
			g := groups[r.IntN(len(groups))]
			g.negated = r.IntN(3) == 0
			list = append(list, g)
		default:
			a := randomRange(r)
			a.negated = r.IntN(3) == 0
			list = append(list, a)
		}
	}
	return list
}

func randomService(r *rand.Rand) modelService {
	protocols := []struct {
		name   string
		number uint8
	}{{"tcp", 6}, {"udp", 17}, {"sctp", 132}}
	icmps := []struct {
		name   string
		number uint8
	}{{"icmp", 1}, {"icmpv6", 58}}
	switch r.IntN(9) {
	case 0:
		return modelService{"any", func(f *inspect.Frame) bool { return f.IP != 0 }}
	case 1:
		return modelService{"arp", func(f *inspect.Frame) bool { return f.IP == 0 && f.EtherType == 0x0806 }}
	case 2:
		return modelService{"nd", func(f *inspect.Frame) bool {
			return f.IP != 0 && f.Protocol == 58 && f.HasICMP && 133 <= f.ICMPType && f.ICMPType <= 137
		}}
	case 3:
		n := r.IntN(256)
		return modelService{fmt.Sprintf("protocol/%d", n), func(f *inspect.Frame) bool { return f.IP != 0 && int(f.Protocol) == n }}
	case 4:
		p := icmps[r.IntN(2)]
		n := r.IntN(20)
		return modelService{fmt.Sprintf("%s/%d", p.name, n), func(f *inspect.Frame) bool {
			return f.IP != 0 && f.Protocol == p.number && f.HasICMP && int(f.ICMPType) == n
		}}
	case 5:
		p := icmps[r.IntN(2)]
		n, c := r.IntN(6), r.IntN(3)
		return modelService{fmt.Sprintf("%s/%d/%d", p.name, n, c), func(f *inspect.Frame) bool {
			return f.IP != 0 && f.Protocol == p.number && f.HasICMP && int(f.ICMPType) == n && int(f.ICMPCode) == c
		}}
	case 6:
		p := protocols[r.IntN(3)]
		return modelService{p.name, func(f *inspect.Frame) bool { return f.IP != 0 && f.Protocol == p.number }}
	}
	p := protocols[r.IntN(3)]
	lo := r.IntN(12)
	hi := lo + r.IntN(5)
	text := fmt.Sprintf("%s/%d-%d", p.name, lo, hi)
	if lo == hi {
		text = fmt.Sprintf("%s/%d", p.name, lo)
	}
	return modelService{text, func(f *inspect.Frame) bool {
		return f.IP != 0 && f.Protocol == p.number && f.HasPorts && lo <= int(f.DstPort) && int(f.DstPort) <= hi
	}}
}

// randomClaim cuts the 64 bits, or a few IDs at either end, by halves, so that
// claims often nest and sometimes meet.
func randomClaim(r *rand.Rand) modelClaim {
	if r.IntN(3) > 0 {
		base := []uint64{0, 1000, ^uint64(0) - 40}[r.IntN(3)]
		lo := base + uint64(r.IntN(40))
		return modelClaim{lo, lo + uint64(r.IntN(int(40-(lo-base))))}
	}
	n := r.IntN(65)
	free := uint64(0)
	if n < 64 {
		free = ^uint64(0) >> n
	}
	lo := r.Uint64() & []uint64{0, ^uint64(0)}[r.IntN(2)] &^ free
	return modelClaim{lo, lo | free}
}

func randomModel(r *rand.Rand) *model {
	m := &model{defaultAction: []string{"accept", "drop"}[r.IntN(2)]}
	for i := range r.IntN(3) {
		g := randomRange(r)
		g.group = fmt.Sprintf("g%d", i)
		m.groups = append(m.groups, g)
	}
	for i := range 1 + r.IntN(5) {
		t := modelTenant{name: fmt.Sprintf("t%d", i), defaultAction: []string{"", "accept", "drop"}[r.IntN(3)], neighborsByRule: r.IntN(3) > 0}
		for range 1 + r.IntN(3) {
			t.claims = append(t.claims, randomClaim(r))
		}
		for j := range r.IntN(7) {
			rule := modelRule{
				name:   fmt.Sprintf("r%d", j),
				accept: r.IntN(2) == 0, log: r.IntN(2) == 0,
				source: randomList(r, m.groups), destination: randomList(r, m.groups),
			}
			for range r.IntN(4) {
				rule.services = append(rule.services, randomService(r))
			}
			t.rules = append(t.rules, rule)
		}
		m.tenants = append(m.tenants, t)
	}
	return m
}

// randomFrame makes a frame as inspect could decode it.
func randomFrame(r *rand.Rand) *inspect.Frame {
	f := &inspect.Frame{L4Offset: -1}
	switch r.IntN(12) {
	case 0: // neither IP nor ARP
		f.EtherType = []uint16{0x88cc, 0x8035, 0x0600}[r.IntN(3)]
		return f
	case 1:
		f.EtherType = inspect.EtherTypeARP
		f.Src = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
		f.Dst = netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
		return f
	}
	f.IP, f.EtherType = 4, inspect.EtherTypeIPv4
	f.Src, f.Dst = randomAddress(r), randomAddress(r)
	for f.Dst.BitLen() != f.Src.BitLen() {
		f.Dst = randomAddress(r)
	}
	if f.Src.Is6() {
		f.IP, f.EtherType = 6, inspect.EtherTypeIPv6
	}
	f.Protocol = []uint8{1, 6, 6, 17, 58, 132, uint8(r.IntN(256))}[r.IntN(7)]
	if r.IntN(6) == 0 { // a later fragment
		f.Fragmented = true
		return f
	}
	f.L4Offset = 34
	switch f.Protocol {
	case 6, 17, 132:
		f.HasPorts = true
		f.SrcPort, f.DstPort = uint16(r.IntN(16)), uint16(r.IntN(16))
	case 1, 58:
		f.HasICMP = true
		f.ICMPType, f.ICMPCode = uint8(r.IntN(20)), uint8(r.IntN(3))
		if r.IntN(3) == 0 {
			f.ICMPType = uint8(125 + r.IntN(16))
		}
	}
	return f
}

func randomContext(r *rand.Rand, m *model) uint64 {
	if r.IntN(8) == 0 {
		return r.Uint64()
	}
	t := m.tenants[r.IntN(len(m.tenants))]
	c := t.claims[r.IntN(len(t.claims))]
	return []uint64{c.lo, c.hi, c.lo - 1, c.hi + 1, c.lo + (c.hi-c.lo)/2}[r.IntN(5)]
}
