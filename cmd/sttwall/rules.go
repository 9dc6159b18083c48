package main

import (
	"context"

	"github.com/spf13/cobra"

	"sttwall/control"
	"sttwall/filter"
)

func newRulesCommand(s streams) *cobra.Command {
	return listing[control.RuleHits]{
		name: "rules", short: "Show what each rule of the running firewall has decided",
		long: "rules shows the rules that are in force, in the order of the file, and what each has decided: frames, bytes,\n" +
			"flows begun, what it dropped or would have but for audit mode, and when it was hit last. One that never was is\n" +
			"unused since it is in force. Counters go on over a reload where the rule's name stays.",
		ask:  func(ctx context.Context, c *control.Client) ([]control.RuleHits, error) { return c.Rules(ctx) },
		head: []any{"RULE", "FRAMES", "BYTES", "FLOWS", "DROPPED", "WOULD DROP", "LAST HIT"},
		record: func(r *control.RuleHits, to *filter.Record) {
			to.Rule, to.Tenant, to.Bytes, to.Packets = r.Rule, tenantOf(r.Rule), r.Bytes, r.Frames
		},
		fields: []string{"tenant", "rule", "bytes", "packets", "text"}, example: "tenant:acme packets:0",
		row: func(r *control.RuleHits) []any {
			return []any{r.Rule, r.Frames, r.Bytes, r.Flows, r.Dropped, r.Audited, hitText(&r.Hits)}
		},
	}.command(s)
}
