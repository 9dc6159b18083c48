package suggest

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"sttwall/inspect"
	"sttwall/policy/classify"
)

// define takes over what the policy names.
func (b *builder) define() {
	p := b.options.Policy
	if p == nil {
		return
	}
	for _, name := range p.Tenants() {
		b.names[name] = true
	}
	d := p.Definitions()
	for _, name := range slices.Sorted(maps.Keys(d.Groups)) {
		b.names[name] = true
		if ranges := rangesOf(d.Groups[name]); len(ranges) > 0 {
			b.out.groups = append(b.out.groups, group{name: name, whole: ranges, exists: true})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Services)) {
		b.names[name] = true
		if m, ok := matchOfBoxes(d.Services[name]); ok {
			b.out.services = append(b.out.services, service{name: name, matches: []Match{m}, exists: true})
		}
	}
}

// rulesOf returns the names of rules that the tenant has.
func (b *builder) rulesOf(t *tenant) names {
	n := names{}
	if t.known && b.options.Policy != nil {
		for _, r := range b.options.Policy.Rules() {
			if of, name, _ := strings.Cut(r, "/"); of == t.name {
				n[name] = true
			}
		}
	}
	return n
}

func rangesOf(s *classify.Addresses) (out []Range) {
	for _, r := range s.V4 {
		var lo, hi [4]byte
		binary.BigEndian.PutUint32(lo[:], r.Lo)
		binary.BigEndian.PutUint32(hi[:], r.Hi)
		out = append(out, Range{netip.AddrFrom4(lo), netip.AddrFrom4(hi)})
	}
	for _, r := range s.V6 {
		var a [2][16]byte
		for i, h := range [...][2]uint64{r.Lo, r.Hi} {
			binary.BigEndian.PutUint64(a[i][:8], h[0])
			binary.BigEndian.PutUint64(a[i][8:], h[1])
		}
		out = append(out, Range{netip.AddrFrom16(a[0]), netip.AddrFrom16(a[1])})
	}
	return out
}

// matchOfBoxes returns what a service is if that is one range of ports of one
// protocol.
func matchOfBoxes(boxes []classify.Service) (Match, bool) {
	if len(boxes) != 1 {
		return Match{}, false
	}
	s := boxes[0]
	m := Match{Protocol: uint8(s.KindLo), HasPorts: true, First: uint16(s.DstLo), Last: uint16(s.DstHi)}
	hasPorts := m.Protocol == inspect.ProtocolTCP || m.Protocol == inspect.ProtocolUDP || m.Protocol == inspect.ProtocolSCTP
	return m, hasPorts && s.KindLo == s.KindHi && s.SrcHi == classify.Absent && s.DstHi < classify.Absent
}
