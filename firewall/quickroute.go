package firewall

import "sttwall/policy"

// quickRoutes remembers where frames may come from: of an outer source and a context
// ID, whose they are. A place that another one takes is found out anew, which costs
// little: context IDs are as many as tenants like. The zero value is ready.
type quickRoutes struct {
	of      *standing // that all places are by
	places  [quickPlaces]quickRoute
	sources [quickPlaces]quickSource
}

const quickPlaces = 256 // a byte names one

// quickRoute is a context ID from an outer source that its tenant may come from.
type quickRoute struct {
	high, low   uint64 // outer source; IPv4 addresses are mapped
	context     uint64
	tenant      int32 // index
	id          int32 // number in the tables
	known       bool  // all of this is
	there       bool  // it may
	ovn         bool
	anyEndpoint bool
	loose       bool
}

// quickSource is an outer source.
type quickSource struct {
	high, low uint64
	known     bool
	listed    bool // it is one of the endpoints
}

// follow forgets all if other rules hold now.
func (r *quickRoutes) follow(st *standing) {
	if r.of != st {
		*r = quickRoutes{of: st}
	}
}

// find returns the route, or nil where the general way has to decide. It is good until
// the next call.
func (r *quickRoutes) find(high, low, context uint64, scratch *policy.Packet) *quickRoute {
	at := &r.places[r.place(high, low, context)]
	if at.low != low || at.context != context || at.high != high || !at.known {
		*at = quickRoute{high: high, low: low, context: context, known: true}
		at.there = r.listed(high, low) && r.of.route(at, scratch)
	}
	if !at.there {
		return nil
	}
	return at
}

// place is where a route is kept, or, without a context ID, a source.
func (*quickRoutes) place(high, low, context uint64) uint8 {
	return uint8((high ^ low ^ context*0x9e3779b97f4a7c15) * 0xd6e8feb86659fd93 >> 56)
}

// listed reports whether frames may come from a source at all.
func (r *quickRoutes) listed(high, low uint64) bool {
	if r.of.endpoints == nil {
		return true
	}
	at := &r.sources[r.place(high, low, 0)]
	if at.low != low || at.high != high || !at.known {
		*at = quickSource{high, low, true, r.of.endpoints.Contains(addressOf(high, low))}
	}
	return at.listed
}

// route finds out whose the frames of a route from a listed source are; false where
// that is nobody, or they may not come from there, or their tenant has bindings to be
// looked at. The scratch is changed.
func (st *standing) route(to *quickRoute, scratch *policy.Packet) bool {
	tenant := st.policy.TenantOf(to.context)
	if tenant < 0 {
		return false
	}
	t := &st.tenantRoutes[tenant]
	to.tenant, to.id = tenant, t.id
	to.ovn, to.anyEndpoint, to.loose = t.ovn, t.anyEndpoint, t.loose
	switch {
	case t.bound:
		return false
	case t.endpoints:
		scratch.ContextID, scratch.From = to.context, addressOf(to.high, to.low)
		d := policy.Decision{TenantIndex: tenant}
		return st.policy.Admit(scratch, &d) && !d.Audit
	}
	return true
}

// tenantRoute is what the quick way needs to know of a tenant, next to those of others:
// of thousands of tenants a packet reads a line of memory that eight have in common.
type tenantRoute struct {
	id                      int32 // number in the tables
	ovn, anyEndpoint, loose bool
	endpoints, bound        bool // it has endpoints of its own, bindings to be looked at
}

// tenantRoutesOf returns the routes of a policy's tenants by index. ids are their
// numbers.
func tenantRoutesOf(p *policy.Policy, ids []int32) []tenantRoute {
	list := make([]tenantRoute, len(ids))
	for i, id := range ids {
		t := p.Tenant(int32(i))
		list[i] = tenantRoute{id, t.OVN, t.AnyEndpoint, t.TCPLoose, len(t.Endpoints) > 0, t.AntiSpoof != nil}
	}
	return list
}
