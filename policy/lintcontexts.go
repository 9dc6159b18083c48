package policy

import (
	"slices"

	"sttwall/policy/space"
)

// contextForm is how the context IDs of tenants are written as sets of packets.
type contextForm uint8

const (
	// byLayout: those of the plain layout are numbers, which have no parts; those of
	// the OVN layout have parts and nothing else. So no set has something of both,
	// and that is so unless the policy is mixed.
	byLayout contextForm = iota
	// inParts: all have the parts of the OVN layout, up to the largest ID of it.
	inParts
)

// mixed reports whether context IDs that tenants claim as numbers, in any of these
// policies, can be those of an OVN tenant in any of them.
func mixed(policies ...*Policy) bool {
	for _, p := range policies {
		for i, t := range p.contexts.tenant {
			if p.tenants[t].OVN {
				return true
			}
			for _, q := range policies {
				if q.datapaths.meets(p.contexts.lo[i], p.contexts.hi[i]) {
					return true
				}
			}
		}
	}
	return false
}

// meets reports whether an ID from lo to hi has one of the datapaths.
func (m *datapathMap) meets(lo, hi uint64) bool {
	const all = 1<<ovnDatapathBits - 1
	first, last := uint32(lo&all), uint32(hi&all)
	within := func(lo, hi uint32) bool {
		i, _ := slices.BinarySearch(m.hi, lo)
		return i < len(m.lo) && m.lo[i] <= hi
	}
	switch {
	case len(m.tenant) == 0 || lo>>ovnBits != 0:
		return false
	case hi-lo >= all:
		return true
	case first <= last:
		return within(first, last)
	}
	return within(first, all) || within(0, last)
}

// namesParts reports whether the rule is about parts of context IDs.
func (r *rule) namesParts() bool {
	return r.more != nil && (r.more.datapath != nil || r.more.ingress != nil || r.more.egress != nil)
}

// contextsOf returns the context IDs of a tenant. Those that the OVN layout does
// not have are left out of an OVN tenant's: no rule decides about them.
func (p *Policy) contextsOf(tenant int32, form contextForm) []space.Product {
	ovn := p.tenants[tenant].OVN
	narrow, wide := p.claimed(tenant)
	if !ovn && form == byLayout {
		return opaque(append(narrow, wide...))
	}
	own := p.datapaths.of(tenant)
	byDatapath := own.products()
	byNumber, _ := parts(narrow, ovn)
	low, _ := parts(wide, ovn)
	if form == inParts {
		// The more specific claim has what both claim.
		byDatapath = apart(byDatapath, p.narrowParts(tenant, &own))
		if low != nil {
			low = apart(low, p.datapaths.products())
		}
	}
	return slices.Concat(byNumber, low, byDatapath)
}

// of returns the claims of one tenant.
func (m *datapathMap) of(tenant int32) (own datapathMap) {
	for i, t := range m.tenant {
		if t == tenant {
			own.lo, own.hi, own.tenant = append(own.lo, m.lo[i]), append(own.hi, m.hi[i]), append(own.tenant, t)
		}
	}
	return own
}

// products returns the IDs that have one of the datapaths; nil if there are none.
func (m *datapathMap) products() []space.Product {
	if len(m.tenant) == 0 {
		return nil
	}
	var datapaths []space.Range
	for i := range m.tenant {
		datapaths = append(datapaths, space.Range{Lo: space.V(uint64(m.lo[i])), Hi: space.V(uint64(m.hi[i]))})
	}
	return []space.Product{space.Product{}.With(space.Datapath, space.Datapath.Of(datapaths...))}
}

// claimed returns the IDs that a tenant claims as numbers, by claims that are more
// specific than a datapath and by those that are less.
func (p *Policy) claimed(tenant int32) (narrow, wide []space.Range) {
	for i, t := range p.contexts.tenant {
		if t != tenant {
			continue
		}
		r := space.Range{Lo: space.V(p.contexts.lo[i]), Hi: space.V(p.contexts.hi[i])}
		if p.contexts.wide[i] {
			wide = append(wide, r)
		} else {
			narrow = append(narrow, r)
		}
	}
	return narrow, wide
}

// narrowParts returns what other tenants claim as numbers that have one of the
// tenant's datapaths, or nothing if that is too much to be told apart.
func (p *Policy) narrowParts(tenant int32, datapaths *datapathMap) []space.Product {
	var found []space.Range
	for i, t := range p.contexts.tenant {
		if lo, hi := p.contexts.lo[i], p.contexts.hi[i]; t != tenant && !p.contexts.wide[i] && datapaths.meets(lo, hi) {
			found = append(found, space.Range{Lo: space.V(lo), Hi: space.V(hi)})
		}
	}
	out, exact := parts(found, true)
	if !exact {
		return nil // what holds more would take more from the tenant than it has lost
	}
	return out
}

// every returns all context IDs, as that form has numbers.
func every(form contextForm) []space.Product {
	all := []space.Range{{Hi: space.Context.Max()}}
	if form == byLayout {
		return opaque(all)
	}
	out, _ := parts(all, false)
	return out
}

// opaque returns IDs as numbers.
func opaque(ids []space.Range) []space.Product {
	if len(ids) == 0 {
		return nil
	}
	return []space.Product{space.Product{}.With(space.Context, space.Context.Of(ids...)).
		With(space.Datapath, space.Datapath.Values(space.NoDatapath)).
		With(space.Ingress, space.Ingress.Values(space.NoIngress)).With(space.Egress, space.Egress.Values(space.NoEgress))}
}

// maxParts bounds the products that stand for the IDs of a tenant.
const maxParts = 128

// parts returns IDs by their parts, and those that have none as numbers, unless
// they are of an OVN tenant. Where that were too many products, it is fewer that
// hold more, and not exact.
func parts(ids []space.Range, ovn bool) (out []space.Product, exact bool) {
	const last = 1<<ovnBits - 1
	type ports struct{ in, out [2]uint64 }
	var (
		high  []space.Range
		order []ports
		of    = map[ports][]space.Range{}
	)
	for _, r := range ids {
		if r.Hi.Lo > last && !ovn {
			high = append(high, space.Range{Lo: space.V(max(r.Lo.Lo, last+1)), Hi: r.Hi})
		}
		if r.Lo.Lo > last {
			continue
		}
		cut(r.Lo.Lo, min(r.Hi.Lo, last), ovnDatapathBits, func(above, datapath [2]uint64) {
			cut(above[0], above[1], ovnEgressBits, func(in, out [2]uint64) {
				k := ports{in, out}
				if of[k] == nil {
					order = append(order, k)
				}
				of[k] = append(of[k], space.Range{Lo: space.V(datapath[0]), Hi: space.V(datapath[1])})
			})
		})
	}
	out = opaque(high)
	if len(order) > maxParts {
		var datapaths []space.Range
		for _, k := range order {
			datapaths = append(datapaths, of[k]...)
		}
		return append(out, space.Product{}.With(space.Datapath, space.Datapath.Of(datapaths...)).
			With(space.Ingress, space.Ingress.Between(0, space.NoIngress-1)).With(space.Egress, space.Egress.Between(0, space.NoEgress-1))), false
	}
	for _, k := range order {
		out = append(out, space.Product{}.With(space.Datapath, space.Datapath.Of(of[k]...)).
			With(space.Ingress, space.Ingress.Between(k.in[0], k.in[1])).With(space.Egress, space.Egress.Between(k.out[0], k.out[1])))
	}
	return out, true
}

// cut cuts the numbers from lo to hi into at most three pieces, each of which is all
// pairs of some high parts and some low ones, of that many bits.
func cut(lo, hi uint64, bits int, piece func(high, low [2]uint64)) {
	all := uint64(1)<<bits - 1
	first, last := lo>>bits, hi>>bits
	if first == last {
		piece([2]uint64{first, first}, [2]uint64{lo & all, hi & all})
		return
	}
	if lo&all != 0 {
		piece([2]uint64{first, first}, [2]uint64{lo & all, all})
		first++
	}
	if hi&all != all {
		piece([2]uint64{last, last}, [2]uint64{0, hi & all})
		last--
	}
	if first <= last {
		piece([2]uint64{first, last}, [2]uint64{0, all})
	}
}

// apart returns products without what is in others.
func apart(products, others []space.Product) []space.Product {
	for i := range others {
		var next []space.Product
		for j := range products {
			next = append(next, products[j].Subtract(&others[i])...)
		}
		products = next
	}
	return products
}
