package main

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/control"
	"sttwall/filter"
)

// listing is a command that asks for a list and shows it.
type listing[T any] struct {
	name, short, long string
	ask               func(context.Context, *control.Client) ([]T, error)
	head              []any
	row               func(*T) []any
	note              func(*T) string // stands below a row; nil: nothing
	// record makes a record of a row, with these fields, for filters; nil: there is
	// none.
	record  func(*T, *filter.Record)
	fields  []string
	example string // of a filter
}

func (l listing[T]) command(s streams) *cobra.Command {
	var (
		where  controlFlag
		only   filterFlag
		again  watchFlag
		asJSON bool
	)
	cmd := &cobra.Command{
		Use: l.name, Short: l.short, Long: l.long,
		Args: arguments(again.noArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				return again.run(ctx, shown{streams: s, what: l.name, json: asJSON}, func(ctx context.Context, w io.Writer, _ int) error {
					list, err := l.ask(ctx, c)
					if err != nil {
						return err
					}
					if l.record != nil {
						list = slices.DeleteFunc(list, func(row T) bool {
							var r filter.Record
							l.record(&row, &r)
							return !only.selects(&r)
						})
					}
					if asJSON {
						return writeLines(w, list)
					}
					return l.write(w, list)
				})
			})
		},
	}
	flags := cmd.Flags()
	where.add(flags)
	if l.record != nil {
		only.addFor(flags, l.name, l.example, l.fields)
	}
	flags.BoolVar(&asJSON, "json", false, "write a line of JSON for each")
	again.add(flags)
	return cmd
}

func (l listing[T]) write(w io.Writer, list []T) error {
	var table columns
	table.row(l.head...)
	for i := range list {
		table.row(l.row(&list[i])...)
	}
	lines := table.lines()
	if l.note != nil {
		for i := range list {
			lines[i+1] += l.note(&list[i])
		}
	}
	_, err := io.WriteString(w, strings.Join(lines, ""))
	return err
}

// tenantOf is the tenant of a rule by its name: tenant/rule.
func tenantOf(rule string) string {
	tenant, _, _ := strings.Cut(rule, "/")
	return tenant
}
