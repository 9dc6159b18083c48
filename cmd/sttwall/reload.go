package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"sttwall/control"
)

func newReloadCommand(s streams) *cobra.Command {
	var (
		where  controlFlag
		asJSON bool
	)
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Have the running firewall read its rules file again",
		Long: "reload has the running firewall read its rules file again and put it in force, in one step and without\n" +
			"losing a packet; flows that the new rules deny end. A file that does not load changes nothing: what is\n" +
			"wrong with it is printed as 'check' does, and the exit status is 1. SIGHUP does the same.",
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				r, err := c.Reload(ctx)
				if err != nil {
					var refused *control.Error
					if errors.As(err, &refused) {
						io.WriteString(s.err, refused.Diagnostics)
					}
					return err
				}
				for _, w := range r.Warnings {
					fmt.Fprintln(s.err, w)
				}
				if asJSON {
					return newLines(s.out).Encode(r)
				}
				_, err = fmt.Fprintf(s.out, "the rules are in force: %s; %s\n", rulesText(r.Tenants, r.Rules), flowsEnded(r.FlowsEnded))
				return err
			})
		},
	}
	where.add(cmd.Flags())
	cmd.Flags().BoolVar(&asJSON, "json", false, "write JSON")
	return cmd
}
