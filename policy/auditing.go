package policy

// Auditing returns the policy with every tenant in audit mode, for seeing what
// its rules would drop. Context IDs that no tenant claims get one without a
// name and without rules, in the OVN layout or not, unless they pass anyway.
// Limits begin with full buckets.
func (p *Policy) Auditing(ovn bool) *Policy {
	q := p.Fresh(p.settings.Flows)
	q.tenants = make([]tenant, len(p.tenants), len(p.tenants)+1)
	copy(q.tenants, p.tenants)
	for i := range q.tenants {
		q.tenants[i].Audit = true
	}
	if p.settings.DefaultAction != Accept {
		q.tenants = append(q.tenants, tenant{Tenant: Tenant{OVN: ovn, Audit: true, neighbors: true}})
		q.nobody = int32(len(q.tenants))
	}
	return q
}
