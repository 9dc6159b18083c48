package main

import (
	"github.com/spf13/cobra"

	"sttwall/internal/lab"
)

func newDemoCommand(s streams) *cobra.Command {
	options := lab.Options{Stderr: s.err}
	var once, headless bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See the firewall work, on this host, without set-up",
		Long: "demo builds a network of namespaces on this host: tenants with the same addresses behind two STT\n" +
			"endpoints, and the firewall between them on a real NFQUEUE. It needs no root where user namespaces\n" +
			"are allowed, and leaves nothing behind.\n\n" +
			"On a terminal it opens the live screen on traffic that goes on until you leave: web, DNS, a bulk\n" +
			"transfer, a port scan that is being stopped, a liar about the L4 offset, a tenant in audit mode.\n" +
			"Without a terminal, or with --once, it tries what should pass and what should not, and prints what\n" +
			"happened to each; the exit status is 1 if any line is not as expected.",
		Example: "  sttwall demo\n  sttwall demo --once\n  sttwall demo --no-screen      # and ask it from another terminal",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case headless:
				return runLiveDemo(cmd.Context(), s, options.Queues)
			}
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
	flags.BoolVar(&headless, "no-screen", false, "have the live traffic without the screen, until ^C, and print how to ask\nthe firewall from elsewhere")
	flags.IntVar(&options.Queues, "queues", 0, "how many queues and workers; 0 is 2")
	flags.BoolVar(&options.JSON, "json", false, "one JSON object a line instead of the table")
	cmd.MarkFlagsMutuallyExclusive("once", "no-screen")
	return cmd
}
