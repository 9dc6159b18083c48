package policy

import (
	"unsafe"

	"sttwall/internal/prefetch"
	"sttwall/policy/classify"
)

const (
	// expectAtOnce is of how many packets [Policy.Expect] asks for the memory at the
	// same time.
	expectAtOnce = 64
	// tenantsInCache is how many tenants stay in a small second cache, beside the rest:
	// each is some 300 bytes of what packets look at.
	tenantsInCache = 1024
)

// Cold reports whether there are so many tenants or context IDs that most are in
// memory and not in a near cache, so that [Policy.Expect] pays.
func (p *Policy) Cold() bool { return len(p.tenants) > tenantsInCache || p.contexts.exact.cold() }

// Expect asks for what Find and Decide look at for packets with these context IDs:
// the places of the IDs, the tenants and the first of their rules. A worker that
// expects a batch of packets has the waits for all of them together, where each
// packet alone has four, one after the other (see [conntrack.Table.Expect]). It
// decides nothing, and does nothing where [Policy.Cold] is false.
func (p *Policy) Expect(contextIDs []uint64) {
	if !p.Cold() {
		return
	}
	for len(contextIDs) > 0 {
		n := min(len(contextIDs), expectAtOnce)
		p.expect(contextIDs[:n])
		contextIDs = contextIDs[n:]
	}
}

// ExpectTenants asks for what [Policy.TenantOf] looks at for these context IDs, and
// like Expect does nothing where [Policy.Cold] is false.
func (p *Policy) ExpectTenants(contextIDs []uint64) {
	if p.Cold() && len(p.contexts.exact.lines) > 0 {
		for _, id := range contextIDs {
			p.contexts.exact.expect(id)
		}
	}
}

func (p *Policy) expect(contextIDs []uint64) {
	var (
		tenants  [expectAtOnce]*tenant
		matchers [expectAtOnce]*classify.Matcher
		found    int
		withRule int
	)
	if p.contexts.exact.cold() {
		for _, id := range contextIDs {
			p.contexts.exact.expect(id)
		}
	}
	for _, id := range contextIDs {
		if i := p.tenantOf(id); i >= 0 {
			tenants[found] = &p.tenants[i]
			prefetch.Line(unsafe.Pointer(tenants[found]))
			found++
		}
	}
	for _, t := range tenants[:found] {
		if m := t.rules.matcher; m != nil {
			m.Expect()
			prefetch.Line(unsafe.Pointer(&p.verdicts[t.rules.start]))
			matchers[withRule] = m
			withRule++
		}
	}
	for _, m := range matchers[:withRule] {
		m.ExpectRules()
	}
}
