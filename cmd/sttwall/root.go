package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"
)

// Exit statuses.
const (
	statusFine    = 0
	statusRefused = 1
	statusUsage   = 2
)

// errFindings ends a command with status 1 without a further message: what
// there is to say was printed already.
var errFindings = errors.New("findings")

// usageError marks a mistake on the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// execute runs the command line and returns the exit status.
func execute(ctx context.Context, args []string, s streams) int {
	root := newRootCommand(s)
	root.SetArgs(append([]string{}, args...)) // for nil cobra takes the program's
	command, err := root.ExecuteContextC(ctx)
	var usage usageError
	switch {
	case err == nil:
		return statusFine
	case errors.Is(err, errFindings):
		return statusRefused
	case errors.As(err, &usage):
		fmt.Fprintf(s.err, "sttwall: %s\nTry '%s --help'.\n", cleanLines(err.Error()), command.CommandPath())
		return statusUsage
	}
	fmt.Fprintf(s.err, "sttwall: %s\n", cleanLines(err.Error()))
	return statusRefused
}

func newRootCommand(s streams) *cobra.Command {
	root := &cobra.Command{
		Use:   "sttwall",
		Short: "A firewall for STT overlay networks",
		Long: "sttwall sits inline between the tunnel endpoints of an STT overlay, takes their packets\n" +
			"from NFQUEUE, puts the frames together, and lets pass what the rules of each tenant allow.\n\n" +
			"Begin with 'sttwall demo': it needs no set-up.",
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q%s", args[0], meant(cmd.SuggestionsFor(args[0])))}
			}
			return nil
		},
		RunE:          func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		SilenceErrors: true,

		SuggestionsMinimumDistance: 2,

		SilenceUsage: true,
	}
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	plain := s.plain()
	root.AddCommand(
		newRunCommand(s), newTopCommand(s),
		newReplayCommand(s), newSuggestCommand(s),
		newCheckCommand(s), newFmtCommand(s), newExplainCommand(streams{s.in, plain.out, s.err}),
		newStatsCommand(plain), newFlowsCommand(plain), newRulesCommand(plain), newTenantsCommand(plain), withFrames(newDropsCommand(plain), plain), newEventsCommand(plain),
		newTraceCommand(plain), newCaptureCommand(s),
		newReloadCommand(plain), newBlockCommand(plain), newAllowCommand(plain), newUnblockCommand(plain), newTemporaryCommand(plain),
		newNFTCommand(s), newDoctorCommand(plain),
		newDemoCommand(s), newBenchCommand(streams{s.in, plain.out, s.err}), newChaosCommand(s), newFloodCommand(s), newSoakCommand(s),
		newEndpointCommand(s), newProbeCommand(s),
		newVersionCommand(s), newManCommand(s),
	)
	root.SetUsageTemplate(strings.ReplaceAll(root.UsageTemplate(), "Flags.FlagUsages", fmt.Sprintf("Flags.FlagUsagesWrapped %d", textWidth)))
	for _, c := range append(root.Commands(), root) {
		var paragraphs []string
		for _, p := range strings.Split(c.Long, "\n\n") {
			paragraphs = append(paragraphs, wrapped(p, "", ""))
		}
		c.Long = strings.TrimSpace(strings.Join(paragraphs, "\n"))
		c.Flags().VisitAll(func(f *pflag.Flag) { f.Usage = strings.Join(strings.Fields(f.Usage), " ") })
		if c.Name() == "run" {
			groupFlags(c, runFlags)
		}
	}
	return root
}

// arguments turns a mistake in the number of arguments into a usage error.
func arguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usageError{err}
		}
		return nil
	}
}

// atLeastOne wants an argument, and says what is to be named.
func atLeastOne(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{fmt.Errorf("name a %s", what)}
		}
		return nil
	}
}

// oneQuoted wants one argument, and says what more than one may come from.
func oneQuoted(what string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch len(args) {
		case 0:
			return usageError{fmt.Errorf("name a %s, in quotes: see docs/packets.md", what)}
		case 1:
			return nil
		}
		return usageError{fmt.Errorf("%d words: put the %s in quotes, or the shell takes it apart, and '>' for itself", len(args), what)}
	}
}

// meant asks whether one of these was.
func meant(suggestions []string) string {
	if len(suggestions) == 0 {
		return ""
	}
	return ": did you mean " + strings.Join(suggestions, " or ") + "?"
}

// colour reports whether out is a terminal that wants colour.
func colour(out any) bool {
	if os.Getenv("NO_COLOR") != "" {
		return false
	}
	return terminal(out)
}

func terminal(out any) bool {
	file, ok := unwrap(out).(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
