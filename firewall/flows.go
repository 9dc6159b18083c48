package firewall

import (
	"sttwall/conntrack"
	"sttwall/inspect"
	"sttwall/policy"
)

// FlowView is a flow, and what is decided about its packets.
type FlowView struct {
	conntrack.Flow
	// Tenant is its name; "" if no tenant has the flow any more.
	Tenant string
	// Decision is that of the rules that hold now about its first packet.
	Decision policy.Decision
}

// FlowLook shows flows as the rules that held at one moment see them. Not for
// concurrent use.
type FlowLook struct {
	shared  *Shared
	st      *standing
	tenants tenantIndexes
	now     int64

	row    FlowRow
	flow   conntrack.Flow
	origin inspect.Frame
}

// FlowLook begins a look at the flows of now.
func (s *Shared) FlowLook(now int64) *FlowLook {
	st := s.look(now)
	l := &FlowLook{shared: s, st: st, tenants: st.tenantIndexes(), now: now}
	l.row.look = l
	return l
}

// Policy returns the policy whose rules decide.
func (l *FlowLook) Policy() *policy.Policy { return l.st.policy }

// FlowRow is a flow of which only that is found out for which it is asked.
type FlowRow struct {
	*conntrack.Row
	look *FlowLook
}

// Rows shows all flows to visit until it returns false. A row is borrowed until it
// returns. Packets are decided meanwhile.
func (l *FlowLook) Rows(visit func(*FlowRow) bool) {
	l.shared.flows.Rows(l.now, conntrack.Cursor{}, func(r *conntrack.Row) bool {
		l.row.Row = r
		return visit(&l.row)
	})
}

// Flow fills v with one flow as it is now; false if it is gone.
func (l *FlowLook) Flow(h conntrack.Handle, v *FlowView) bool {
	if !l.shared.flows.Look(h, &v.Flow) {
		return false
	}
	// Where the rules have to judge it, its first packet is needed.
	if v.Flow.Generation != l.st.generation {
		if _, _, _, ok := l.shared.flows.Origin(h, &l.origin); !ok {
			return false
		}
	}
	l.st.fill(l.now, l.tenants, &l.origin, v)
	return true
}

// TenantIndex is that of the flow's tenant in the policy; -1 if no tenant has it any
// more.
func (r *FlowRow) TenantIndex() int32 { return r.look.tenants.of(r.Row.Tenant()) }

// View fills v with the flow and what is decided about it.
func (r *FlowRow) View(v *FlowView) {
	r.Show(&v.Flow)
	if v.Flow.Generation != r.look.st.generation {
		r.Origin(&r.look.origin)
	}
	r.look.st.fill(r.look.now, r.look.tenants, &r.look.origin, v)
}

// Decision fills d with what is decided about the flow.
func (r *FlowRow) Decision(d *policy.Decision) {
	l := r.look
	generation, rule, mark := r.Judged()
	tenant := r.TenantIndex()
	switch {
	case tenant < 0:
		*d = policy.Decision{TenantIndex: -1, RuleIndex: -1}
	case generation == l.st.generation:
		*d = policy.Decision{Tenant: l.st.policy.Tenant(tenant).Name, TenantIndex: tenant}
		follow(l.st.policy, rule, mark, d)
	default:
		r.Show(&l.flow)
		r.Origin(&l.origin)
		*d = l.st.judge(l.now, l.tenants, &l.flow, &l.origin)
	}
}

// WalkFlows shows flows to visit; see [conntrack.Table.Walk]. Packets are decided
// meanwhile.
func (s *Shared) WalkFlows(now int64, from conntrack.Cursor, visit func(*FlowView) bool) (next conntrack.Cursor, more bool) {
	var (
		st    *standing
		index tenantIndexes
		v     FlowView
	)
	return s.flows.Walk(now, from, func(f *conntrack.Flow, origin *inspect.Frame) bool {
		if is := s.look(now); is != st {
			st, index = is, is.tenantIndexes()
		}
		v.Flow = *f
		st.fill(now, index, origin, &v)
		return visit(&v)
	})
}

func (st *standing) view(now int64, tenants tenantIndexes, f *conntrack.Flow, origin *inspect.Frame) FlowView {
	v := FlowView{Flow: *f}
	st.fill(now, tenants, origin, &v)
	return v
}

// fill says of the flow in v what is decided about it. origin is looked at if other
// rules have accepted it.
func (st *standing) fill(now int64, tenants tenantIndexes, origin *inspect.Frame, v *FlowView) {
	tenant := tenants.of(v.Key.Tenant)
	if tenant < 0 {
		v.Tenant = ""
		v.Decision = policy.Decision{TenantIndex: -1, RuleIndex: -1}
		return
	}
	v.Tenant = st.policy.Tenant(tenant).Name
	if v.Generation == st.generation {
		v.Decision = policy.Decision{Tenant: v.Tenant, TenantIndex: tenant}
		follow(st.policy, v.Rule, v.Mark, &v.Decision)
		return
	}
	v.Decision = st.judge(now, tenants, &v.Flow, origin)
}
