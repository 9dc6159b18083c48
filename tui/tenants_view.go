package tui

import (
	"cmp"
	"strconv"
	"strings"

	"sttwall/control"
)

func tenantColumns(s *listing[control.TenantHits]) []column[control.TenantHits] {
	return append([]column[control.TenantHits]{
		{Key: "tenant", Title: "TENANT", Min: 6, Max: 32,
			Less: func(a, b *control.TenantHits) int { return cmp.Compare(a.Tenant, b.Tenant) },
			Cell: func(t *control.TenantHits) cell { return cell{t.Tenant, toneStrong} }},
		{Key: "mode", Title: "MODE", Min: 7, Max: 7,
			Less: func(a, b *control.TenantHits) int { return cmp.Compare(modeText(a), modeText(b)) },
			Cell: func(t *control.TenantHits) cell {
				if t.Audit {
					return cell{modeText(t), toneAudit}
				}
				return cell{modeText(t), toneDim}
			},
			File: func(t *control.TenantHits) string { return strings.TrimPrefix(modeText(t), "~ ") }},
		{Key: "flows_now", Title: "FLOWS", Min: 6, Max: 6, Right: true, Largest: true,
			Less: func(a, b *control.TenantHits) int { return cmp.Compare(a.FlowsNow, b.FlowsNow) },
			Cell: func(t *control.TenantHits) cell { return cell{countText(uint64(t.FlowsNow)), toneText} },
			File: func(t *control.TenantHits) string { return strconv.Itoa(t.FlowsNow) }},
		{Key: "half_open", Title: "HALF-OPEN", Min: 9, Max: 9, Right: true, Largest: true, Drop: 8,
			Less: func(a, b *control.TenantHits) int { return cmp.Compare(a.HalfOpen, b.HalfOpen) },
			Cell: func(t *control.TenantHits) cell { return cell{countText(uint64(t.HalfOpen)), toneDim} },
			File: func(t *control.TenantHits) string { return strconv.Itoa(t.HalfOpen) }},
	}, hitColumns(s)...)
}

func modeText(t *control.TenantHits) string {
	if t.Audit {
		return "~ audit"
	}
	return "enforce"
}
