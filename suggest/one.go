package suggest

import (
	"strings"

	"sttwall/inspect"
	"sttwall/policy"
)

// One returns the text of the narrowest rule that accepts a frame as the first of its
// flow, without comments, and under a name that is free; where no tenant claims the
// context ID it is a tenant's block with that rule, and isTenant is true. It is "" if
// rules cannot name such a frame by itself: later fragments, and ICMP errors, which
// pass with the flow that they are about.
//
// It is about inner addresses, protocol and destination port alone, as all that this
// package suggests.
func One(p *policy.Policy, contextID uint64, f *inspect.Frame) (text string, isTenant bool) {
	service, ok := exactMatchOf(f)
	if !ok {
		return "", false
	}
	d, claimed := p.Find(contextID)
	flow := Flow{Tenant: d.Tenant, OVN: allOVN(p), Service: service, Packets: 1, Replied: true}
	if claimed && d.TenantIndex >= 0 {
		flow.OVN = p.Tenant(d.TenantIndex).OVN
	}
	flow.Network = networkOf(contextID, flow.OVN)
	flow.Back = flow.Network
	if !service.anywhere() {
		flow.Src, flow.Dst = f.Src, f.Dst
	}
	found := Suggest([]Flow{flow}, Options{Policy: p, Exact: true, one: true})
	var out strings.Builder
	if found.Rules != 1 || found.WriteHCL(&out) != nil {
		return "", false
	}
	var lines []string
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			lines = append(lines, line)
		}
	}
	return strings.TrimSpace(strings.Join(lines, "")) + "\n", d.Tenant == ""
}

// exactMatchOf is matchOf for one frame alone: names such as "dns" and "dhcp" stand for
// more than that.
func exactMatchOf(f *inspect.Frame) (m Match, ok bool) {
	if m, ok = matchOf(f); !ok || m.Builtin == "" || f.IP == 0 {
		return m, ok
	}
	m = Match{Protocol: f.Protocol}
	switch {
	case f.HasPorts:
		m.HasPorts, m.First, m.Last = true, f.DstPort, f.DstPort
	case f.HasICMP:
		m.HasICMP, m.ICMPType = true, f.ICMPType
	}
	return m, true
}

// allOVN reports whether all tenants read context IDs as OVN does, so that one that
// nobody claims is of that kind too.
func allOVN(p *policy.Policy) bool {
	tenants := p.Tenants()
	for i := range tenants {
		if !p.Tenant(int32(i)).OVN {
			return false
		}
	}
	return len(tenants) > 0
}
