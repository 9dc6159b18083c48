package plain

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"
)

// anyAddress is a random inner address: near 10.0.0.0 and 2001:db8::, at an end of
// a family, or IPv4-mapped.
func anyAddress(r *rand.Rand) netip.Addr {
	v4 := netip.AddrFrom4([4]byte{10, 0, 0, byte(r.IntN(16))})
	switch r.IntN(14) {
	case 0:
		return netip.AddrFrom16(v4.As16())
	case 1, 2, 3, 4:
		b := netip.MustParseAddr("2001:db8::").As16()
		b[15] = byte(r.IntN(16))
		if r.IntN(4) == 0 {
			b[7] = 1 // the carry from one half to the other
			b[8], b[9], b[10], b[11], b[12], b[13], b[14], b[15] = 0, 0, 0, 0, 0, 0, 0, 0
		}
		return netip.AddrFrom16(b)
	case 5:
		return netip.MustParseAddr([]string{"0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8:0:0:ffff:ffff:ffff:ffff"}[r.IntN(5)])
	}
	return v4
}

func (m *maker) inner() Range {
	a := anyAddress(m.r)
	switch m.r.IntN(3) {
	case 0:
		return Range{a, a}
	case 1:
		n := a.BitLen() - m.r.IntN(6)
		if m.chance(5) {
			n = m.r.IntN(a.BitLen() + 1)
		}
		return prefix(a, n)
	}
	b := anyAddress(m.r)
	for b.BitLen() != a.BitLen() {
		b = anyAddress(m.r)
	}
	if b.Less(a) {
		a, b = b, a
	}
	return Range{a, b}
}

// prefix is the addresses that share the first n bits with a.
func prefix(a netip.Addr, n int) Range {
	lo, hi := a.AsSlice(), a.AsSlice()
	for i := n; i < 8*len(lo); i++ {
		lo[i/8] &^= 0x80 >> (i % 8)
		hi[i/8] |= 0x80 >> (i % 8)
	}
	first, _ := netip.AddrFromSlice(lo) // 4 or 16 bytes
	last, _ := netip.AddrFromSlice(hi)
	return Range{first, last}
}

func (m *maker) group(i int) *Group {
	g := &Group{Name: fmt.Sprintf("g%d", i)}
	if i == 0 || m.chance(2) {
		g.Entries = some(m, 3, func() Address {
			if i > 0 && m.chance(3) {
				return Address{Group: m.p.Groups[m.r.IntN(i)]}
			}
			return Address{Range: m.inner()}
		})
	}
	if g.Entries == nil || m.chance(4) {
		g.Lines = some(m, 3, m.inner)
		if m.chance(8) {
			g.Lines = []Range{} // the loader warns
		}
	}
	return g
}

func (m *maker) addresses() []Address {
	return some(m, 4, func() Address {
		a := Address{Not: m.chance(3)}
		switch k := m.r.IntN(10); {
		case k == 0:
			return Address{Any: true}
		case k < 4 && len(m.p.Groups) > 0:
			a.Group = m.p.Groups[m.r.IntN(len(m.p.Groups))]
		default:
			a.Range = m.inner()
		}
		return a
	})
}

// outer is an address or CIDR of an endpoint.
func (m *maker) outer() Range {
	a := anyEndpoint(m.r)
	n := a.BitLen()
	if m.chance(2) {
		n -= m.r.IntN(4)
	}
	return prefix(a, n)
}

func anyEndpoint(r *rand.Rand) netip.Addr {
	if r.IntN(4) == 0 {
		b := netip.MustParseAddr("2001:db8:47::").As16()
		b[15] = byte(r.IntN(8))
		return netip.AddrFrom16(b)
	}
	return netip.AddrFrom4([4]byte{10, 47, 0, byte(r.IntN(8))})
}

// numbers is a list of numbers from 0 to limit, near those of around.
func (m *maker) numbers(limit uint64, around ...uint64) []Number {
	return some(m, 4, func() Number { return m.number(limit, m.chance(3), around...) })
}

func (m *maker) number(limit uint64, not bool, around ...uint64) Number {
	lo := min(limit, around[m.r.IntN(len(around))]+uint64(m.r.IntN(3)))
	hi := lo
	if m.chance(2) {
		hi = min(limit, lo+uint64(m.r.IntN(5)))
	}
	if m.chance(20) {
		lo, hi = 0, limit
	}
	return Number{Not: not, Lo: lo, Hi: hi}
}

var vlans, etherTypes = []uint64{0, 9, 100, 2047, 4093}, []uint64{0x0800, 0x86dd, 0x0806, 0x88cc, 0x88cd, 0x0600}

func (m *maker) vlan() []Number {
	// > VLAN IDs are from 1 to 4095.
	list := m.numbers(4095, vlans...)
	for i := range list {
		list[i].Lo, list[i].Hi = max(1, list[i].Lo), max(1, list[i].Hi)
	}
	if m.chance(3) {
		list = append(list, Number{None: true, Not: m.chance(2)})
	}
	return list
}

func (m *maker) etherType() []Number {
	entry := func(not bool) Number {
		n := etherTypes[m.r.IntN(len(etherTypes))]
		switch {
		case m.chance(4):
			return Number{not, false, n, n + uint64(m.r.IntN(6))}
		case m.chance(4):
			return Number{not, false, n, n + uint64(m.r.IntN(0x10000-int(n)))}
		}
		return Number{not, false, n, n}
	}
	list := []Number{entry(m.chance(3))}
	for range m.r.IntN(3) {
		list = append(list, entry(m.chance(3)))
	}
	return list
}

func anyMAC(r *rand.Rand) [6]byte {
	a := [6]byte{0x02, 0, 0, 0, 0, byte(r.IntN(8))}
	switch r.IntN(8) {
	case 0:
		a[0] = 0x03
	case 1:
		a = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, byte(0xfe + r.IntN(2))}
	case 2:
		a[2] = 0x80
	}
	return a
}

func (m *maker) macs() []MAC {
	return some(m, 3, func() MAC {
		e := MAC{Not: m.chance(3), Bits: 48}
		switch m.r.IntN(6) {
		case 0:
			return MAC{Not: e.Not, Word: "multicast"}
		case 1:
			return MAC{Not: e.Not, Word: "broadcast"}
		case 2, 3:
			e.Bits = []int{0, 1, 7, 8, 16, 17, 24, 40, 45, 46, 47}[m.r.IntN(11)]
		}
		a := anyMAC(m.r)
		for i := range e.Bits {
			e.Address[i/8] |= a[i/8] & (0x80 >> (i % 8))
		}
		return e
	})
}

func (m *maker) flags() []Flag {
	var list []Flag
	for _, b := range m.r.Perm(9)[:1+m.r.IntN(3)] {
		if m.chance(2) {
			b = []int{1, 4}[m.r.IntN(2)] // syn, ack
		}
		if !slices.ContainsFunc(list, func(f Flag) bool { return f.Bit == b }) {
			list = append(list, Flag{Not: m.chance(2), Bit: b})
		}
	}
	return list
}

var portEdges = []uint16{0, 1, 5, 53, 67, 443, 546, 3784, 65533}

func (m *maker) port() PortRange {
	lo := portEdges[m.r.IntN(len(portEdges))] + uint16(m.r.IntN(3))
	hi := lo
	if m.chance(2) {
		hi = uint16(min(65535, int(lo)+m.r.IntN(6)))
	}
	if m.chance(20) {
		lo, hi = 0, 65535
	}
	return PortRange{lo, hi}
}

func (m *maker) icmp(s *Service, protocol uint8) {
	names := icmpNames[protocol]
	s.Type, s.Code = -1, -1
	if m.chance(4) {
		return
	}
	s.Type = m.r.IntN(256)
	if !m.chance(4) {
		types := sortedKeys(names.types)
		s.Type = types[m.r.IntN(len(types))]
	}
	if m.chance(2) {
		s.Type = names.unreachable
	}
	if m.chance(2) {
		s.Code = []int{0, 1, 2, 3, 4, 5, 9, 13, 255}[m.r.IntN(9)]
	}
}

func sortedKeys(m map[int]string) []int {
	var out []int
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (m *maker) serviceEntry(etherTypes bool) Service {
	s := Service{Type: -1, Code: -1}
	switch s.Word = m.one("any", "arp", "nd", "dhcp", "bfd", "vrrp", "dns", "tcp", "tcp", "udp", "udp", "sctp", "icmp", "icmpv6", "protocol", "ethertype", "service", "service"); s.Word {
	case "tcp", "udp", "sctp":
		if !m.chance(4) {
			p := m.port()
			s.Ports = &p
		}
	case "icmp", "icmpv6":
		m.icmp(&s, protocolNumbers[s.Word])
	case "protocol":
		s.Number = uint16([]int{0, 1, 6, 17, 47, 50, 58, 59, 89, 112, 132, 255}[m.r.IntN(12)])
	case "ethertype":
		s.Number = []uint16{0x88cc, 0x88cd, 0x0600, 0xffff}[m.r.IntN(4)]
		if !etherTypes {
			return Service{Word: "any", Type: -1, Code: -1}
		}
	case "service":
		if len(m.p.Services) == 0 {
			return Service{Word: "tcp", Type: -1, Code: -1}
		}
		s.Named = m.p.Services[m.r.IntN(len(m.p.Services))]
	}
	return s
}

func (m *maker) namedService(i int) *NamedService {
	s := &NamedService{Name: fmt.Sprintf("s%d", i), Protocol: -1, Type: -1, Code: -1}
	if m.chance(3) {
		s.Services = some(m, 3, func() Service { return m.serviceEntry(m.chance(4)) })
		return s
	}
	s.Protocol = []int{-1, 1, 6, 6, 6, 17, 17, 58, 89, 132}[m.r.IntN(10)]
	switch s.Protocol {
	case 6, 17, 132:
		if m.chance(2) {
			s.Ports = some(m, 3, m.port)
		}
		if m.chance(3) {
			s.SourcePorts = some(m, 3, m.port)
		}
		if s.Protocol == 6 && m.chance(2) {
			s.Flags = m.flags()
		}
	case 1, 58:
		var e Service
		m.icmp(&e, uint8(s.Protocol))
		s.Type, s.Code = e.Type, e.Code
	}
	return s
}

// hasEtherType says whether a list names an ethertype, itself or through others.
func hasEtherType(list []Service) bool {
	return slices.ContainsFunc(list, func(s Service) bool {
		return s.Word == "ethertype" || s.Named != nil && hasEtherType(s.Named.Services)
	})
}

var zoneNames = []string{"", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "Pacific/Apia", "America/St_Johns"}

func (m *maker) window() Window {
	w := Window{From: -1, To: -1, Zone: m.one(zoneNames...)}
	minute := func() int {
		return []int{0, 1, 90, 120, 150, 180, 8 * 60, 18 * 60, 23*60 + 59, 24 * 60, m.r.IntN(24 * 60)}[m.r.IntN(11)]
	}
	if !m.chance(3) {
		w.From = minute()
	}
	if !m.chance(3) {
		w.To = minute()
	}
	if m.chance(2) {
		w.Days = some(m, 3, func() Number {
			a, b := uint64(m.r.IntN(7)), uint64(m.r.IntN(7))
			if m.chance(2) {
				b = a
			}
			return Number{Lo: a, Hi: b}
		})
	}
	first := m.date()
	if m.chance(3) {
		w.NotBefore = first.Format(time.DateOnly)
	}
	if m.chance(3) {
		w.NotAfter = first.AddDate(0, 0, m.r.IntN(20)).Format(time.DateOnly)
	}
	return w
}

// date is a day of 2026, often one on which some zone changes its clock.
func (m *maker) date() time.Time {
	day := time.Date(2026, 1, 1+m.r.IntN(365), 0, 0, 0, 0, time.UTC)
	if m.chance(2) {
		day = changes[m.r.IntN(len(changes))]
	}
	return day
}

// changes are days of 2026 on which clocks change: Berlin, New York, Lord Howe.
var changes = []time.Time{
	time.Date(2026, 3, 29, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 25, 0, 0, 0, 0, time.UTC),
	time.Date(2026, 3, 8, 0, 0, 0, 0, time.UTC), time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC),
	time.Date(2026, 4, 5, 0, 0, 0, 0, time.UTC), time.Date(2026, 10, 4, 0, 0, 0, 0, time.UTC),
}

func (m *maker) limit() *Limit {
	// Rates of which a token takes a whole number of ns.
	rates := []Limit{
		{1, 1e9, 0, false}, {2, 1e9, 0, false}, {1000, 1e9, 0, false}, {60, 60e9, 0, false}, {10, 60e9, 0, false},
		{240, 60e9, 0, false}, {100, 3600e9, 0, false}, {1, 24 * 3600e9, 0, false},
	}
	l := rates[m.r.IntN(len(rates))]
	if m.chance(2) {
		l.Burst = 1 + int64(m.r.IntN(3))
	}
	l.Drop = m.chance(2)
	return &l
}
