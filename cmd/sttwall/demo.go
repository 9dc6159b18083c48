package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sttwall/internal/lab"
)

func newDemoCommand(s streams) *cobra.Command {
	options := lab.Options{Stderr: s.err}
	var (
		once, noScreen bool
		place          string
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
			"happened to each; the exit status is 1 if any line is not as expected.\n\n" +
			"--place has the firewall sit elsewhere in that network, with the same lines. routed: its host routes\n" +
			"between the endpoints, the queue is in PREROUTING. output: what the endpoints send leaves from its\n" +
			"host, the queue is in OUTPUT. bridge: its host bridges between the endpoints. bridge-vlan: likewise,\n" +
			"and all packets on the bridge have an 802.1Q tag. vrf: as routed, with its interfaces in a VRF, where\n" +
			"the kernel has that. host: its host is one of the endpoints, the queue is in PREROUTING for what\n" +
			"comes and in OUTPUT for what goes. all: one after the other.",
		Example: "  sttwall demo\n  sttwall demo --once\n  sttwall demo --once --place bridge\n  sttwall demo --no-screen      # the live traffic alone",
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
			case place != "" && noScreen:
				return usageError{errors.New("--place and --no-screen: it is the scenario that can be elsewhere")}
			case noScreen:
				return liveWithoutScreen(cmd.Context(), s, options.Queues)
			case !once && !options.JSON && !options.Evasion && place == "" && canShow(s):
				return liveOnScreen(cmd.Context(), s, liveScreen{screen, options.Queues})
			case place == allPlaces:
				return demoEverywhere(cmd.Context(), s, options)
			case place != "":
				if err := options.Position.UnmarshalText([]byte(place)); err != nil {
					return usageError{fmt.Errorf("--place: %w, or %s", err, allPlaces)}
				}
			}
			return demoOnce(cmd.Context(), s, options)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&once, "once", false, "run the scenario once and end, on a terminal too")
	flags.BoolVar(&options.Evasion, "evasion", false, "send the attacks of docs/evasion.md over real queues, on all ways, and say\nwhat became of them")
	flags.StringVar(&place, "place", "", "where the firewall sits: routed, output, bridge, bridge-vlan, vrf, host\nor all; implies --once. Without it: routed")
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

// allPlaces is what --place takes for one after the other.
const allPlaces = "all"

// demoEverywhere runs the scenario in every place, also where it went wrong in one.
func demoEverywhere(ctx context.Context, s streams, o lab.Options) error {
	failed := false
	for _, o.Position = range lab.Positions() {
		if !o.JSON {
			fmt.Fprintf(s.out, "\nplace %s\n", o.Position)
		}
		err := demoOnce(ctx, s, o)
		if ctx.Err() != nil {
			return err
		}
		if err != nil {
			failed = true
			if !errors.Is(err, errFindings) {
				fmt.Fprintf(s.err, "sttwall: demo: place %s: %v\n", o.Position, err)
			}
		}
	}
	if failed {
		return errFindings
	}
	return nil
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
