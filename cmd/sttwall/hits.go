package main

import (
	"context"

	"github.com/spf13/cobra"

	"sttwall/control"
)

// listing is a command that asks for a list and shows it.
type listing[T any] struct {
	name, short, long string
	ask               func(context.Context, *control.Client) ([]T, error)
	head              []any
	row               func(*T) []any
}

func (l listing[T]) command(s streams) *cobra.Command {
	var (
		where  controlFlag
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: l.name, Short: l.short, Long: l.long,
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				list, err := l.ask(ctx, c)
				if err != nil {
					return err
				}
				if asJSON {
					return writeLines(s.out, list)
				}
				out := newColumns(s.out)
				out.row(l.head...)
				for i := range list {
					out.row(l.row(&list[i])...)
				}
				return out.Flush()
			})
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "write a line of JSON for each")
	return cmd
}

func newRulesCommand(s streams) *cobra.Command {
	return listing[control.RuleHits]{
		name: "rules", short: "Show what each rule of the running firewall has decided",
		long: "rules shows the rules that are in force, in the order of the file, and what each has decided: frames, bytes,\n" +
			"flows begun, what it dropped or would have but for audit mode, and when it was hit last. One that never was is\n" +
			"unused since it is in force. Counters go on over a reload where the rule's name stays.",
		ask:  func(ctx context.Context, c *control.Client) ([]control.RuleHits, error) { return c.Rules(ctx) },
		head: []any{"RULE", "FRAMES", "BYTES", "FLOWS", "DROPPED", "WOULD DROP", "LAST HIT"},
		row: func(r *control.RuleHits) []any {
			return []any{r.Rule, r.Frames, r.Bytes, r.Flows, r.Dropped, r.Audited, hitText(&r.Hits)}
		},
	}.command(s)
}

func newTenantsCommand(s streams) *cobra.Command {
	return listing[control.TenantHits]{
		name: "tenants", short: "Show what each tenant of the running firewall has sent",
		long: "tenants shows the tenants that are in force, and for each the frames and bytes that had its context IDs, the\n" +
			"flows that it has now and that it began, what was dropped or would have been but for audit mode, and when its\n" +
			"last frame came.",
		ask:  func(ctx context.Context, c *control.Client) ([]control.TenantHits, error) { return c.Tenants(ctx) },
		head: []any{"TENANT", "FRAMES", "BYTES", "FLOWS NOW", "HALF-OPEN", "BEGUN", "DROPPED", "WOULD DROP", "LAST HIT"},
		row: func(t *control.TenantHits) []any {
			return []any{t.Tenant, t.Frames, t.Bytes, t.FlowsNow, t.HalfOpen, t.Flows, t.Dropped, t.Audited, hitText(&t.Hits)}
		},
	}.command(s)
}

func newDropsCommand(s streams) *cobra.Command {
	return listing[control.Drop]{
		name: "drops", short: "Show what the running firewall has dropped, by reason, and what to do about it",
		long: "drops shows how often each reason was met since the start, and what to look at. docs/reasons.md has them all.\n" +
			"Drops of the nftables table and of the kernel's queue are counted where they can be seen.",
		ask:  func(ctx context.Context, c *control.Client) ([]control.Drop, error) { return c.Drops(ctx) },
		head: []any{"COUNT", "REASON", "WHERE", "WHAT TO DO"},
		row:  func(d *control.Drop) []any { return []any{d.Count, d.Reason, d.Where, d.Remedy} },
	}.command(s)
}
