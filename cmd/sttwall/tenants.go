package main

import (
	"context"

	"github.com/spf13/cobra"

	"sttwall/control"
	"sttwall/filter"
)

func newTenantsCommand(s streams) *cobra.Command {
	return listing[control.TenantHits]{
		name: "tenants", short: "Show what each tenant of the running firewall has sent",
		long: "tenants shows the tenants that are in force, and for each the frames and bytes that had its context IDs, the\n" +
			"flows that it has now and that it began, what was dropped or would have been but for audit mode, and when its\n" +
			"last frame came.",
		ask:  func(ctx context.Context, c *control.Client) ([]control.TenantHits, error) { return c.Tenants(ctx) },
		head: []any{"TENANT", "FRAMES", "BYTES", "FLOWS NOW", "HALF-OPEN", "BEGUN", "DROPPED", "WOULD DROP", "LAST HIT"},
		record: func(t *control.TenantHits, to *filter.Record) {
			to.Tenant, to.Bytes, to.Packets = t.Tenant, t.Bytes, t.Frames
		},
		fields: []string{"tenant", "bytes", "packets", "text"}, example: "tenant:ac* bytes:>1G",
		row: func(t *control.TenantHits) []any {
			return []any{t.Tenant, t.Frames, t.Bytes, t.FlowsNow, t.HalfOpen, t.Flows, t.Dropped, t.Audited, hitText(&t.Hits)}
		},
	}.command(s)
}
