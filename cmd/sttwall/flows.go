package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/control"
)

// flowsCommand is a line of `flows`.
type flowsCommand struct {
	streams
	query   control.FlowQuery
	reverse bool
	limit   int // 0: none was given
	asJSON  bool
}

func newFlowsCommand(s streams) *cobra.Command {
	var (
		where controlFlag
		only  filterFlag
		again watchFlag
		f     = flowsCommand{streams: s}
	)
	cmd := &cobra.Command{
		Use:   "flows",
		Short: "Show the flows that the running firewall knows",
		Long: "flows shows every inner flow: its tenant, ends, state, the rule that accepts it, what went each way,\n" +
			"its age, and when it is forgotten if no packet comes. WOULD BE is what the rules say without audit mode.\n\n" +
			"With --sort it shows the first of them by rate, bytes, packets, age and last (the largest first), or by\n" +
			"expires, tenant, context, protocol, src, src_port, dst, dst_port, state, verdict, rule, from and to. BYTES/S\n" +
			"is what went lately, or on average since the flow began. With --watch they are sorted by rate unless told\n" +
			"otherwise.",
		Example: "  sttwall flows --tenant acme\n  sttwall flows --audit --json\n  sttwall flows --filter 'dst:10.1.0.0/24 dport:443 bytes:>1M'\n" +
			"  sttwall flows --sort rate --limit 20 --watch",
		Args: arguments(again.noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.query.Filter = only.text
			if f.query.Sort == "" && again.every > 0 {
				f.query.Sort = "rate"
			}
			if err := f.check(cmd.Flags().Changed("limit")); err != nil {
				return usageError{err}
			}
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				return again.run(ctx, shown{streams: s, what: "flows", json: f.asJSON}, func(ctx context.Context, w io.Writer, rows int) error {
					if f.query.Sort != "" {
						return f.sorted(ctx, c, w, rows)
					}
					return f.all(ctx, c, w)
				})
			})
		},
	}
	flags := cmd.Flags()
	where.add(flags)
	flags.StringVar(&f.query.Tenant, "tenant", "", "only those of the tenant with this `name`")
	flags.BoolVar(&f.query.Audit, "audit", false, "only those that audit mode lets pass")
	only.add(flags, "those")
	flags.StringVar(&f.query.Sort, "sort", "", "sort by this `key`, and show the first")
	flags.BoolVar(&f.reverse, "reverse", false, "sort the other way round")
	flags.IntVar(&f.limit, "limit", 0, fmt.Sprintf("at most this `number` of them; sorted ones are %d without it, and %d at most", control.DefaultFlows, control.MaxFlows))
	flags.BoolVar(&f.asJSON, "json", false, "write a line of JSON for each")
	again.add(flags)
	return cmd
}

// check completes the query, or says what is wrong with the flags.
func (f *flowsCommand) check(limited bool) error {
	switch {
	case limited && f.limit < 1:
		return fmt.Errorf("--limit %d: want 1 or more", f.limit)
	case f.query.Sort == "" && f.reverse:
		return errors.New("--reverse is for --sort")
	case f.query.Sort == "":
		return nil
	case !slices.Contains(control.FlowSorts, f.query.Sort):
		return fmt.Errorf("--sort %.40q: want one of %s", f.query.Sort, strings.Join(control.FlowSorts, ", "))
	case f.limit > control.MaxFlows:
		return fmt.Errorf("--limit %d: want at most %d with --sort", f.limit, control.MaxFlows)
	}
	// What is asked for is the most, and the latest.
	largest := slices.Contains([]string{"rate", "bytes", "packets", "age", "last"}, f.query.Sort)
	f.query.Descending = largest != f.reverse
	return nil
}

// sorted writes the first flows of an order.
func (f *flowsCommand) sorted(ctx context.Context, c *control.Client, w io.Writer, rows int) error {
	query := f.query
	if query.Limit = f.limit; query.Limit == 0 && rows > 0 {
		query.Limit = min(max(1, rows-2), control.MaxFlows) // there is a head, and what is not shown
	}
	page, err := c.Flows(ctx, query)
	if err != nil {
		return err
	}
	if f.asJSON {
		return writeLines(w, page.Flows)
	}
	if err := f.write(new(columns), w, &page, true); err != nil {
		return err
	}
	switch more := page.Matched - len(page.Flows); {
	case more <= 0 || f.limit > 0:
	case rows > 0:
		_, err = fmt.Fprintf(w, "... and %d more\n", more)
	default:
		fmt.Fprintf(f.err, "%d more are not shown: see --limit\n", more)
	}
	return err
}

// all writes all flows, page by page.
func (f *flowsCommand) all(ctx context.Context, c *control.Client, w io.Writer) error {
	query, left := f.query, f.limit
	var table columns
	for {
		if left > 0 {
			query.Limit = min(left, control.DefaultFlows)
		}
		page, err := c.Flows(ctx, query)
		if err != nil {
			return err
		}
		if f.asJSON {
			err = writeLines(w, page.Flows)
		} else {
			err = f.write(&table, w, &page, query.After == "")
		}
		if err != nil || page.Next == "" {
			return err
		}
		if left > 0 {
			if left -= len(page.Flows); left <= 0 {
				return nil
			}
		}
		query.After = page.Next
	}
}

// write writes a page; the first one has a head.
func (f *flowsCommand) write(table *columns, w io.Writer, page *control.FlowPage, first bool) error {
	rates := f.query.Sort != ""
	row := func(cells []any, rate any) {
		if rates {
			cells = slices.Insert(cells, 9, rate)
		}
		table.row(cells...)
	}
	if first {
		row([]any{"TENANT", "PROTOCOL", "SOURCE", "DESTINATION", "STATE", "RULE", "WOULD BE", "PACKETS", "BYTES", "AGE", "EXPIRES"}, "BYTES/S")
	}
	for i := range page.Flows {
		f := &page.Flows[i]
		src, dst := ends(&f.Inner)
		protocol, would, rate := f.Protocol, f.WouldBe, ""
		if f.ICMPID != nil {
			protocol += fmt.Sprintf(" id %d", *f.ICMPID)
		}
		if would != "" {
			would += " (" + f.Reason + ")"
		}
		if f.OriginalRate != nil && f.ReplyRate != nil {
			rate = fmt.Sprintf("%.0f/%.0f", f.OriginalRate.Bytes, f.ReplyRate.Bytes)
		}
		row([]any{f.Tenant, protocol, src, dst, f.State, f.Rule, would,
			fmt.Sprintf("%d/%d", f.Original.Packets, f.Reply.Packets), fmt.Sprintf("%d/%d", f.Original.Bytes, f.Reply.Bytes),
			forText(page.Time.Sub(f.Begun)), forText(f.Expires.Sub(page.Time))}, rate)
	}
	return table.flush(w)
}
