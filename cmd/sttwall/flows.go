package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sttwall/control"
)

func newFlowsCommand(s streams) *cobra.Command {
	var (
		where  controlFlag
		query  control.FlowQuery
		only   filterFlag
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show the flows that the running firewall knows",
		Long: "flows shows every inner flow: its tenant, ends, state, the rule that accepts it, what went each way,\n" +
			"its age, and when it is forgotten if no packet comes. WOULD BE is what the rules say without audit mode.",
		Example: "  sttwall flows --tenant acme\n  sttwall flows --audit --json\n  sttwall flows --filter 'dst:10.1.0.0/24 dport:443 bytes:>1M'",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				query.Filter = only.text
				for {
					page, err := c.Flows(ctx, query)
					if err != nil {
						return err
					}
					if asJSON {
						err = writeLines(s.out, page.Flows)
					} else {
						err = writeFlows(s, &page, query.After == "")
					}
					if err != nil || page.Next == "" {
						return err
					}
					query.After = page.Next
				}
			})
		},
	}
	flags := cmd.Flags()
	where.add(flags)
	flags.StringVar(&query.Tenant, "tenant", "", "only those of the tenant with this `name`")
	flags.BoolVar(&query.Audit, "audit", false, "only those that audit mode lets pass")
	only.add(flags, "those")
	flags.BoolVar(&asJSON, "json", false, "write a line of JSON for each")
	return cmd
}

// writeFlows writes a page; the first one has a head.
func writeFlows(s streams, page *control.FlowPage, first bool) error {
	out := newColumns(s.out)
	if first {
		out.row("TENANT", "PROTOCOL", "SOURCE", "DESTINATION", "STATE", "RULE", "WOULD BE", "PACKETS", "BYTES", "AGE", "EXPIRES")
	}
	for i := range page.Flows {
		f := &page.Flows[i]
		src, dst := ends(&f.Inner)
		protocol, would := f.Protocol, f.WouldBe
		if f.ICMPID != nil {
			protocol += fmt.Sprintf(" id %d", *f.ICMPID)
		}
		if would != "" {
			would += " (" + f.Reason + ")"
		}
		out.row(f.Tenant, protocol, src, dst, f.State, f.Rule, would,
			fmt.Sprintf("%d/%d", f.Original.Packets, f.Reply.Packets), fmt.Sprintf("%d/%d", f.Original.Bytes, f.Reply.Bytes),
			forText(page.Time.Sub(f.Begun)), forText(f.Expires.Sub(page.Time)))
	}
	return out.Flush()
}
