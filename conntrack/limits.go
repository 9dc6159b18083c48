package conntrack

import (
	"net/netip"
	"sync/atomic"

	"sttwall/inspect"
	"sttwall/reason"
)

// MaxTenants bounds [Packet.Tenant]: 0 to MaxTenants-1. Others share one count.
const MaxTenants = 1 << 20

const (
	tenantBits  = 10
	tenantChunk = 1 << tenantBits
)

// tenantTable counts by tenant, in chunks that are made when they are needed.
type tenantTable struct {
	chunks [MaxTenants / tenantChunk]atomic.Pointer[[tenantChunk]tenantCount]
	others tenantCount
}

type tenantCount struct{ flows, halfOpen atomic.Int64 }

func (t *tenantTable) of(tenant int32) *tenantCount {
	if tenant < 0 || tenant >= MaxTenants {
		return &t.others
	}
	slot := &t.chunks[tenant>>tenantBits]
	chunk := slot.Load()
	if chunk == nil {
		slot.CompareAndSwap(nil, new([tenantChunk]tenantCount))
		chunk = slot.Load()
	}
	return &chunk[tenant&(tenantChunk-1)]
}

// source is an inner address that has begun flows, of a tenant with such a limit.
type source struct {
	address [16]byte
	v4      bool
	tenant  int32
}

func sourceOf(tenant int32, a netip.Addr) source { return source{a.As16(), a.Is4(), tenant} }

// reserve counts a flow that is about to begin, or says which limit it meets.
// Flows whose time is over do not count against a limit for long.
func (t *Table) reserve(now int64, l *lookup, limits *Limits) reason.Reason {
	why := t.tryReserve(now, l, limits)
	if why != reason.None && t.sweepForLimit(now) {
		why = t.tryReserve(now, l, limits)
	}
	if t.refuse != nil && why == reason.None && t.refuse() {
		t.release(l, limits)
		why = reason.FlowTableFull
	}
	switch why {
	case reason.HalfOpenLimit:
		t.stats.refusedHalfOpen.Add(1)
	case reason.TenantFlows:
		t.stats.refusedTenant.Add(1)
	case reason.SourceFlows:
		t.stats.refusedSource.Add(1)
	case reason.EndpointFlows:
		t.stats.refusedEndpoint.Add(1)
	case reason.FlowTableFull:
		t.stats.refusedFull.Add(1)
	}
	return why
}

// sweepForLimit forgets flows whose time is over, now and then, and reports
// whether it did.
func (t *Table) sweepForLimit(now int64) bool {
	last := t.swept.Load()
	if now-last <= sweepEvery || !t.swept.CompareAndSwap(last, now) {
		return false
	}
	t.Expire(now, sweepBudget)
	return true
}

const (
	sweepEvery  = 10_000_000 // ns between two looks for flows that are over, where a limit is met
	sweepBudget = 256        // flows for each status and shard
)

func (t *Table) tryReserve(now int64, l *lookup, limits *Limits) reason.Reason {
	tenant := t.tenants.of(l.key.Tenant)
	halfOpen := l.halfOpen()
	if halfOpen {
		if n := tenant.halfOpen.Add(1); limits.HalfOpen > 0 && n > int64(limits.HalfOpen) {
			tenant.halfOpen.Add(-1)
			return reason.HalfOpenLimit
		}
	}
	if n := tenant.flows.Add(1); limits.Flows > 0 && n > int64(limits.Flows) {
		tenant.flows.Add(-1)
		if halfOpen {
			tenant.halfOpen.Add(-1)
		}
		return reason.TenantFlows
	}
	if limits.FlowsPerSource > 0 && !t.sources.add(sourceOf(l.key.Tenant, l.key.Src), limits.FlowsPerSource) {
		tenant.flows.Add(-1)
		if halfOpen {
			tenant.halfOpen.Add(-1)
		}
		return reason.SourceFlows
	}
	if !t.reserveOf(l) {
		t.releaseLimits(l, limits)
		return reason.EndpointFlows
	}
	if t.flows.Add(1) > int64(t.config.MaxFlows) && !t.makeRoom(now, l) {
		t.release(l, limits)
		return reason.FlowTableFull
	}
	return reason.None
}

// halfOpen reports whether the flow that the packet begins is a TCP flow without
// a whole handshake; one that is picked up in the middle is not.
func (l *lookup) halfOpen() bool { return l.tcp && l.segment.has(inspect.SYN) }

// release takes back what reserve has counted.
func (t *Table) release(l *lookup, limits *Limits) {
	t.releaseLimits(l, limits)
	t.endpoints.remove(l.from)
	t.flows.Add(-1)
}

func (t *Table) releaseLimits(l *lookup, limits *Limits) {
	tenant := t.tenants.of(l.key.Tenant)
	tenant.flows.Add(-1)
	if l.halfOpen() {
		tenant.halfOpen.Add(-1)
	}
	if limits.FlowsPerSource > 0 {
		t.sources.remove(sourceOf(l.key.Tenant, l.key.Src))
	}
}

// makeRoom gives up one flow, of the shard of the new one if it can: those whose
// time is over, or that nobody has answered.
func (t *Table) makeRoom(now int64, l *lookup) bool {
	_, first := t.shardOf(t.hash(&l.packed))
	for i := range t.shards {
		if t.makeRoomIn(now, uint32((int(first)+i)%len(t.shards))) {
			return true
		}
	}
	return false
}

func (t *Table) makeRoomIn(now int64, n uint32) bool {
	s := &t.shards[n]
	s.mu.Lock()
	defer t.leave(n)
	return t.expireSome(s, n, now, 1) > 0 || t.evict(s, n)
}

// uncount takes a flow that ends out of the counts of its tenant and source.
func (t *Table) uncount(e *entry) {
	k := e.key()
	tenant := t.tenants.of(k.Tenant)
	tenant.flows.Add(-1)
	if e.flags&flagHalfOpen != 0 {
		tenant.halfOpen.Add(-1)
	}
	if e.flags&flagCounted != 0 {
		t.sources.remove(sourceOf(k.Tenant, k.Src))
	}
	t.endpoints.remove(e.from[0])
}

// countHalfOpen takes a TCP flow out of the count of half-open ones when it no
// longer is.
func (t *Table) countHalfOpen(e *entry) {
	if e.flags&flagHalfOpen == 0 || e.status == statusSynSent || e.status == statusSynReceived {
		return
	}
	e.flags &^= flagHalfOpen
	k := e.key()
	t.tenants.of(k.Tenant).halfOpen.Add(-1)
}

// counters are of the whole table.
type counters struct {
	created, expired, evicted, ended, moved                                     atomic.Uint64
	refusedFull, refusedTenant, refusedSource, refusedHalfOpen, refusedEndpoint atomic.Uint64
}

// Stats is what the table holds and has done.
type Stats struct {
	Flows                      int    // now
	Created, Expired           uint64 // begun; over by time
	Evicted                    uint64 // given up unreplied, because the table was full
	Ended                      uint64 // by [Table.End]
	Moved                      uint64 // sides that went on at another endpoint, see [Packet.MayMove]
	RefusedFull, RefusedTenant uint64 // not begun: no room; the tenant's limit
	RefusedSource              uint64 // the source's limit
	RefusedHalfOpen            uint64
	RefusedEndpoint            uint64 // the share of the outer endpoint
}

// Stats returns the sums.
func (t *Table) Stats() Stats {
	c := &t.stats
	return Stats{
		Flows: int(t.flows.Load()), Created: c.created.Load(), Expired: c.expired.Load(), Evicted: c.evicted.Load(), Ended: c.ended.Load(), Moved: c.moved.Load(),
		RefusedFull: c.refusedFull.Load(), RefusedTenant: c.refusedTenant.Load(),
		RefusedSource: c.refusedSource.Load(), RefusedHalfOpen: c.refusedHalfOpen.Load(), RefusedEndpoint: c.refusedEndpoint.Load(),
	}
}

// HalfOpen returns how many flows of all tenants are half-open TCP.
func (t *Table) HalfOpen() int {
	n := t.tenants.others.halfOpen.Load()
	for i := range t.tenants.chunks {
		if chunk := t.tenants.chunks[i].Load(); chunk != nil {
			for j := range chunk {
				n += chunk[j].halfOpen.Load()
			}
		}
	}
	return int(n)
}

// MaxFlows returns the bound on flows.
func (t *Table) MaxFlows() int { return t.config.MaxFlows }

// TenantStats returns how many flows a tenant has, and how many of them are
// half-open TCP.
func (t *Table) TenantStats(tenant int32) (flows, halfOpen int) {
	c := t.tenants.of(tenant)
	return int(c.flows.Load()), int(c.halfOpen.Load())
}
