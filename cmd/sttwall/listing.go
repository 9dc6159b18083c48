package main

import (
	"bytes"
	"context"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/control"
)

// listing is a command that asks for a list and shows it.
type listing[T any] struct {
	name, short, long string
	ask               func(context.Context, *control.Client) ([]T, error)
	head              []any
	row               func(*T) []any
	note              func(*T) string // stands below a row; nil: nothing
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
				var table bytes.Buffer
				out := newColumns(&table)
				out.row(l.head...)
				for i := range list {
					out.row(l.row(&list[i])...)
				}
				if err := out.Flush(); err != nil {
					return err
				}
				for i, line := range strings.SplitAfter(table.String(), "\n") {
					if i > 0 && i <= len(list) && l.note != nil {
						line += l.note(&list[i-1])
					}
					if _, err := io.WriteString(s.out, line); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "write a line of JSON for each")
	return cmd
}
