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
