package policy

import (
	"net/netip"
	"slices"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"

	"sttwall/conntrack"
)

// tenants compiles the tenant blocks and resolves who owns which context ID.
func (l *loader) tenants(body *hclsyntax.Body) {
	names := make(map[string]hcl.Range)
	var headers []hcl.Range
	for _, b := range body.Blocks {
		if b.Type != "tenant" {
			continue
		}
		name, ok := l.name(b)
		if ok {
			l.declare(names, b.Type, name, b.LabelRanges[0])
		}
		// A tenant without a usable name is compiled all the same, for its other
		// mistakes.
		l.tenant(b, name)
		headers = append(headers, b.DefRange())
	}
	if len(headers) == 0 && l.errors == 0 {
		l.warnf(*startOf(l.filename), "No tenants", "Expected a tenant block; without one, %s is the answer to every frame.", l.policy.settings.DefaultAction)
		return
	}
	contexts, conflicts := resolveClaims(l.claims)
	for _, c := range conflicts {
		l.reportConflict(c)
	}
	l.policy.contexts = contexts
	l.policy.datapaths = l.resolveDatapaths()
	if l.errors == 0 {
		for _, t := range l.policy.unreachable() {
			l.warnf(headers[t], "Tenant never reached",
				"Expected some context ID that is tenant %q's alone; more specific claims of other tenants take all of them.", l.policy.tenants[t].Name)
		}
	}
}

func (l *loader) reportConflict(c conflict) {
	first, second := l.policy.tenants[c.earlier.tenant].Name, l.policy.tenants[c.later.tenant].Name
	how := "cross"
	if c.earlier.lo == c.later.lo && c.earlier.hi == c.later.hi {
		how = "are equal"
	}
	l.errorf(c.later.at, "Context IDs claimed twice",
		"Tenant %q claims %s here, tenant %q claims %s at %s, and the two %s. Expected claims apart from each other, or one inside the other: then the inner one wins.",
		second, l.text(c.later.at), first, l.text(c.earlier.at), c.earlier.at, how)
}

// tenant compiles one tenant block and its rules.
func (l *loader) tenant(b *hclsyntax.Block, name string) {
	l.check(b.Body, b.DefRange(), tenantSchema)
	index := int32(len(l.policy.tenants))
	t := tenant{
		Tenant: Tenant{
			Name:          name,
			DefaultAction: l.policy.settings.DefaultAction,
			TCPLoose:      l.policy.settings.TCPLoose,
			neighbors:     true,
		},
		at: l.place(b),
	}
	var datapaths *hclsyntax.Attribute
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "context_ids":
			l.contextIDs(a, index)
		case "context_layout":
			t.OVN = l.choice(a, []string{"plain", "ovn"}, nil) == 1
		case "datapaths":
			datapaths = a
		case "endpoints":
			if t.Endpoints = l.prefixes(a); len(t.Endpoints) > 0 {
				t.setEndpoints(prefixSet(t.Endpoints))
			}
			l.warnUnlisted(a, t.Endpoints)
		case "default_action":
			t.DefaultAction = l.action(a)
		case "mode":
			t.Audit = l.choice(a, modeWords, mistakenModes) == 1
		case "neighbor_discovery":
			t.neighbors = l.choice(a, []string{"pass", "rules"}, map[string]string{"accept": "pass"}) == 0
		case "pairing":
			t.AnyEndpoint = l.choice(a, []string{"endpoint", "tenant"}, nil) == 1
		case "tcp_loose":
			t.TCPLoose = l.truth(a)
		}
	}
	switch {
	case datapaths != nil && !t.OVN:
		l.errorf(datapaths.NameRange, "No OVN layout", `Expected datapaths only with context_layout = "ovn"; elsewhere a context ID has no parts.`)
	case datapaths != nil:
		l.datapaths(datapaths, index)
	case b.Body.Attributes["context_ids"] == nil:
		l.errorf(b.DefRange(), "Missing argument", `Expected "context_ids" or "datapaths" in a tenant.`)
	}
	if p := l.single(b.Body, limitsSchema); p != nil {
		l.limits(p, &t.Limits)
	}
	if p := l.single(b.Body, antiSpoofSchema); p != nil {
		t.AntiSpoof = l.antiSpoof(p, &t)
	}
	t.rules = l.ruleBlocks(b.Body, name, t.OVN)
	l.policy.tenants = append(l.policy.tenants, t)
}

// warnUnlisted warns of endpoints of a tenant that may send nothing at all.
func (l *loader) warnUnlisted(a *hclsyntax.Attribute, endpoints []netip.Prefix) {
	listed := l.policy.settings.Endpoints
	for _, p := range endpoints {
		if len(listed) > 0 && !slices.ContainsFunc(listed, p.Overlaps) {
			l.warnf(a.Expr.Range(), "Endpoint not in settings",
				"Expected endpoints of settings.endpoints; %s is in none of them, so nothing that comes from there passes.", prefixText(p))
		}
	}
}

func (l *loader) limits(b *hclsyntax.Block, out *conntrack.Limits) {
	l.check(b.Body, b.DefRange(), limitsSchema)
	for _, a := range sortedAttributes(b.Body) {
		switch a.Name {
		case "flows":
			out.Flows = int(l.number(a, 1, maxFlows))
		case "flows_per_source":
			out.FlowsPerSource = int(l.number(a, 1, maxFlows))
		case "half_open":
			out.HalfOpen = int(l.number(a, 1, maxFlows))
		}
	}
}

// datapathClaim is one entry of a datapaths list.
type datapathClaim struct {
	lo, hi uint32
	tenant int32
	at     hcl.Range
}

func (l *loader) datapaths(a *hclsyntax.Attribute, tenant int32) {
	const limit, example = 1<<ovnDatapathBits - 1, "[7, 12]"
	n := &numberList{limit: limit}
	for _, v := range l.list(a, example, "A tenant without datapaths would never be met.") {
		s, hint, right := n.parse(v.text)
		if x, ok := v.uint(limit); ok {
			s = span{x, x}
		} else if v.kind != kindString || !right {
			l.errorf(v.at, "Invalid datapath", "Expected numbers from 0 to %d and ranges of them, as in %s; this is %s.%s", limit, example, v.source, hint)
			continue
		}
		l.datapathClaims = append(l.datapathClaims, datapathClaim{uint32(s.lo), uint32(s.hi), tenant, v.at})
	}
}

// datapathMap finds the tenant of a context ID by its OVN datapath.
type datapathMap struct {
	lo, hi []uint32
	tenant []int32
}

func (m *datapathMap) find(id uint64) int32 {
	if len(m.lo) == 0 {
		return -1
	}
	d := OVNDatapath(id)
	i, found := slices.BinarySearch(m.lo, d)
	if !found {
		i--
	}
	if i < 0 || d > m.hi[i] {
		return -1
	}
	return m.tenant[i]
}

// resolveDatapaths sorts the claims; two on one datapath are a mistake.
func (l *loader) resolveDatapaths() (m datapathMap) {
	claims := l.datapathClaims
	slices.SortStableFunc(claims, func(a, b datapathClaim) int { return int(a.lo) - int(b.lo) })
	for i, c := range claims {
		if i > 0 && c.lo <= m.hi[i-1] {
			first, second := claims[i-1], c
			if first.at.Start.Byte > second.at.Start.Byte {
				first, second = second, first
			}
			l.errorf(second.at, "Datapath claimed twice", "Tenant %q claims %s here, and tenant %q %s at %s. Expected each datapath once.",
				l.policy.tenants[second.tenant].Name, l.text(second.at), l.policy.tenants[first.tenant].Name, l.text(first.at), first.at)
			c.hi = max(c.hi, m.hi[i-1])
		}
		m.lo, m.hi, m.tenant = append(m.lo, c.lo), append(m.hi, c.hi), append(m.tenant, c.tenant)
	}
	return m
}

// unreachable returns the tenants that have claims but no context ID: more
// specific claims of others take all of them.
func (p *Policy) unreachable() (out []int32) {
	reached := make([]bool, len(p.tenants))
	for _, t := range p.contexts.tenant {
		reached[t] = true
	}
	for _, t := range p.datapaths.tenant {
		reached[t] = true
	}
	for t, ok := range reached {
		if !ok {
			out = append(out, int32(t))
		}
	}
	return out
}
