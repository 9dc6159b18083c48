package plain

import (
	"fmt"
	"math/rand/v2"
	"slices"
)

// Random makes a policy of few and close values, so that its rules meet each
// other and the packets of [Edges]. A few of its policies have claims that
// conflict.
func Random(r *rand.Rand) *Policy {
	m := maker{r: r, p: new(Policy)}
	p := m.p
	p.DefaultAction = m.one("", "accept", "drop", "reject")
	for i := range r.IntN(4) {
		p.Groups = append(p.Groups, m.group(i))
	}
	for i := range r.IntN(4) {
		p.Services = append(p.Services, m.namedService(i))
	}
	if m.one("", "", "before") != "" {
		p.Before = m.rules("before_tenants", 3, true)
	}
	if m.one("", "", "after") != "" {
		p.After = m.rules("after_tenants", 3, true)
	}
	for i := range 1 + r.IntN(4) {
		p.Tenants = append(p.Tenants, m.tenant(fmt.Sprintf("t%d", i)))
	}
	return p
}

type maker struct {
	r *rand.Rand
	p *Policy
}

func (m *maker) one(of ...string) string { return of[m.r.IntN(len(of))] }

// chance is true once in n times.
func (m *maker) chance(n int) bool { return m.r.IntN(n) == 0 }

// some gives 1 to n entries.
func some[T any](m *maker, n int, entry func() T) []T {
	out := make([]T, 0, n)
	for range 1 + m.r.IntN(n) {
		out = append(out, entry())
	}
	return out
}

func (m *maker) rules(owner string, most int, ovn bool) []*Rule {
	n := 1 + m.r.IntN(most)
	out := make([]*Rule, n)
	for i := range out {
		out[i] = m.rule(owner, i, ovn)
	}
	return out
}

// rule makes a rule that has one condition out of few or of many.
func (m *maker) rule(owner string, i int, ovn bool) *Rule {
	rare := []int{3, 8, 25, 25, 1000}[m.r.IntN(5)]
	r := &Rule{
		Owner: owner, Name: fmt.Sprintf("r%d", i), Action: m.one("accept", "accept", "drop", "reject"),
		Log: m.chance(2), Stateless: m.chance(4), Mode: m.one("", "", "", "", "audit", "enforce"),
	}
	if m.chance(2) {
		r.Services = some(m, 4, func() Service { return m.serviceEntry(m.chance(3)) })
	}
	if m.chance(3) {
		r.Source = m.addresses()
	}
	if m.chance(3) {
		r.Destination = m.addresses()
	}
	if hasEtherType(r.Services) {
		// > So a
		// > rule with an `ethertype` service has no `source` and no `destination` (`["any"]` is allowed).
		r.Source, r.Destination = nil, nil
		if m.chance(3) {
			r.Source = []Address{{Any: true}}
		}
	}
	if m.chance(rare) {
		r.SourceMAC = m.macs()
	}
	if m.chance(rare) {
		r.DestinationMAC = m.macs()
	}
	if m.chance(rare) {
		r.VLAN = m.vlan()
	}
	if m.chance(rare) {
		r.PCP = m.numbers(7, 0, 3, 6)
	}
	if m.chance(rare) {
		r.EtherType = m.etherType()
	}
	if m.chance(min(2*rare, 16)) {
		r.ARPOperation = m.numbers(65535, 0, 1, 65534)
	}
	if m.chance(rare) {
		r.TCPFlags = m.flags()
	}
	if m.chance(rare) {
		r.Fragment = some(m, 2, func() string { return m.one("whole", "first", "later") })
	}
	if m.chance(rare) {
		r.FromEndpoint = some(m, 2, m.outer)
	}
	if m.chance(rare) {
		r.ToEndpoint = some(m, 2, m.outer)
	}
	if ovn { // and its ports are met by few packets
		if m.chance(min(rare, 5)) {
			r.Datapath = m.numbers(1<<24-1, 0, 7, 1<<24-3)
		}
		if m.chance(min(rare, 6)) {
			r.IngressPort = m.numbers(1<<15-1, 0, 3, 1<<15-3)
		}
		if m.chance(min(rare, 6)) {
			r.Port = m.numbers(1<<16-1, 0, 4, 1<<15-1, 1<<16-3)
		}
	}
	if m.chance(2 * rare) {
		r.Times = some(m, 2, m.window)
	}
	if m.chance(8) {
		r.Limit = m.limit()
	}
	if r.Action == "accept" && m.chance(8) {
		r.Set.HasDSCP = m.chance(2)
		if r.Set.HasDSCP {
			r.Set.DSCP = []uint8{0, 1, 8, 18, 33, 46, 63}[m.r.IntN(7)]
		}
		if !r.Set.HasDSCP || m.chance(2) {
			r.Set.MSSMax = []uint16{536, 1360, 65535}[m.r.IntN(3)]
		}
	}
	return r
}

func (m *maker) tenant(name string) *Tenant {
	t := &Tenant{
		Name: name, OVN: m.chance(3), Audit: m.chance(3), NeighborsByRule: m.chance(2),
		DefaultAction: m.one("", "", "accept", "drop", "reject"),
	}
	if t.OVN && m.chance(2) {
		t.Datapaths = some(m, 2, func() Number { return m.number(1<<24-1, false, 0, 7, 100, 1<<24-5) })
	}
	if t.Datapaths == nil || m.chance(2) {
		t.Claims = some(m, 3, m.claim)
	}
	if m.chance(3) {
		t.Endpoints = some(m, 2, m.outer)
	}
	// Mistakes are left in only now and then.
	for tries := 0; tries < 40; tries++ {
		q := *m.p
		q.Tenants = append(slices.Clip(q.Tenants), t)
		if !q.Conflicts() || m.chance(60) {
			break
		}
		if t.Claims != nil {
			t.Claims = some(m, 3, m.claim)
		}
		if t.Datapaths != nil {
			t.Datapaths = some(m, 2, func() Number { return m.number(1<<24-1, false, uint64(m.r.IntN(1<<24))) })
		}
	}
	if m.chance(4) {
		for i := range 1 + m.r.IntN(4) {
			t.Bindings = append(t.Bindings, m.binding(t, fmt.Sprintf("b%d", i)))
		}
	}
	most := 8
	if m.chance(40) {
		most = 400 // more than the engine compares at once
	}
	if !m.chance(10) {
		t.Rules = m.rules(name, most, t.OVN)
	}
	for _, r := range t.Rules {
		if r.Datapath != nil && !m.chance(3) {
			r.Datapath = m.numbers(1<<24-1, m.datapathOf(t))
		}
	}
	return t
}

// datapathOf is one that the tenant has, or nearly.
func (m *maker) datapathOf(t *Tenant) uint64 {
	if len(t.Datapaths) > 0 && (len(t.Claims) == 0 || m.chance(2)) {
		return t.Datapaths[m.r.IntN(len(t.Datapaths))].Lo
	}
	return t.Claims[m.r.IntN(len(t.Claims))].Lo & (1<<24 - 1)
}

// claim cuts the 64 bits by halves, or a few IDs at some place, so that claims
// often nest; some are as large as a datapath.
func (m *maker) claim() Claim {
	switch m.r.IntN(4) {
	case 0:
		base := []uint64{0, 1 << 55, 5 << 24}[m.r.IntN(3)]
		size := uint64(1)<<31 - 2 + uint64(m.r.IntN(4)) // one less than how many
		lo := base + uint64(m.r.IntN(3))
		return Claim{lo, lo + size}
	case 1:
		n := m.r.IntN(65)
		free := uint64(0)
		if n < 64 {
			free = ^uint64(0) >> n
		}
		lo := m.r.Uint64() & []uint64{0, ^uint64(0)}[m.r.IntN(2)] &^ free
		return Claim{lo, lo | free}
	}
	base := []uint64{0, 1000, 3<<40 | 4<<24 | 7, ^uint64(0) - 40}[m.r.IntN(4)]
	lo := base + uint64(m.r.IntN(40))
	return Claim{lo, lo + uint64(m.r.IntN(int(40-(lo-base))))}
}
