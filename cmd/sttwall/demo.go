package main

import (
	"context"
	"errors"
	"os"

	"github.com/spf13/cobra"

	"sttwall/internal/lab"
)

func newDemoCommand(s streams) *cobra.Command {
	options := lab.Options{Stderr: s.err}
	var (
		once, noScreen bool
		look           screenFlags
	)
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
		Example: "  sttwall demo\n  sttwall demo --once\n  sttwall demo --no-screen      # the live traffic alone",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			screen, err := look.config()
			switch {
			case err != nil:
				return usageError{err}
			case once && noScreen:
				return usageError{errors.New("--once and --no-screen: want one of them")}
			case options.JSON && noScreen:
				return usageError{errors.New("--json and --no-screen: it is --once that writes lines")}
			case options.Evasion && noScreen:
				return usageError{errors.New("--evasion and --no-screen: want one of them")}
			case noScreen:
				return liveWithoutScreen(cmd.Context(), s, options.Queues)
			case !once && !options.JSON && !options.Evasion && canShow(s):
				return liveOnScreen(cmd.Context(), s, liveScreen{screen, options.Queues})
			}
			return demoOnce(cmd.Context(), s, options)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&once, "once", false, "run the scenario once and end, on a terminal too")
	flags.BoolVar(&options.Evasion, "evasion", false, "send the attacks of docs/evasion.md over real queues, on all ways, and say\nwhat became of them")
	flags.BoolVar(&noScreen, "no-screen", false, "have the live traffic without the screen, until ^C, and print how to ask\nabout it from elsewhere")
	flags.IntVar(&options.Queues, "queues", 0, "how many queues and workers; 0 is 2")
	flags.BoolVar(&options.JSON, "json", false, "one JSON object a line instead of the table; implies --once")
	look.add(flags)
	return cmd
}

// canShow reports whether the live screen can be shown where the program runs.
func canShow(s streams) bool {
	term := os.Getenv("TERM")
	return terminal(s.in) && terminal(s.out) && term != "" && term != "dumb"
}

// demoOnce runs the scenario.
func demoOnce(ctx context.Context, s streams, o lab.Options) error {
	ok, err := lab.RunDemo(ctx, o, s.out)
	if err != nil {
		return err
	}
	if !ok {
		return errFindings
	}
	return nil
}
