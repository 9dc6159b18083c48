package main

import (
	"github.com/spf13/cobra"

	"sttwall/internal/lab"
)

func newDemoCommand(s streams) *cobra.Command {
	options := lab.Options{Stderr: s.err}
	var once bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the firewall work, on this host, without set-up",
		Long: "demo builds a network of namespaces on this host: two tenants with the same addresses behind two STT\n" +
			"endpoints, and the firewall between them on a real NFQUEUE. It tries what should pass and what should\n" +
			"not, and prints what happened to each. It needs no root where user namespaces are allowed, and leaves\n" +
			"nothing behind. The exit status is 1 if any line is not as expected.",
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ok, err := lab.RunDemo(cmd.Context(), options, s.out)
			if err != nil {
				return err
			}
			if !ok {
				return errFindings
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&once, "once", false, "run the scenario once and end; in this version always so")
	flags.IntVar(&options.Queues, "queues", 0, "how many queues and workers; 0 is 2")
	flags.BoolVar(&options.JSON, "json", false, "one JSON object a line instead of the table")
	return cmd
}
