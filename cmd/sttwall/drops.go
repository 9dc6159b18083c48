package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"sttwall/control"
	"sttwall/filter"
)

func newDropsCommand(s streams) *cobra.Command {
	return listing[control.Drop]{
		name: "drops", short: "Show what was dropped, by reason, and what to do about it",
		long: "drops shows how often each reason was met since the start, when last, and what to look at. docs/reasons.md has them all.\n" +
			"Drops of the nftables table and of the kernel's queue are counted where they can be seen.",
		ask:    func(ctx context.Context, c *control.Client) ([]control.Drop, error) { return c.Drops(ctx) },
		head:   []any{"COUNT", "BYTES", "REASON", "WHERE", "LAST HIT"},
		record: func(d *control.Drop, to *filter.Record) { to.Reason, to.Bytes, to.Packets = d.Reason, d.Bytes, d.Count },
		fields: []string{"reason", "bytes", "packets", "text"}, example: "reason:frame_* packets:>100",
		row: func(d *control.Drop) []any {
			bytes, last := "", ""
			if d.Last != nil {
				bytes, last = fmt.Sprint(d.Bytes), clockText(*d.Last)
			}
			return []any{d.Count, bytes, d.Reason, d.Where, last}
		},
		note: func(d *control.Drop) string {
			return wrapped(d.Meaning, "    ", "    ") + wrapped(d.Remedy, "    > ", "      ")
		},
	}.command(s)
}
