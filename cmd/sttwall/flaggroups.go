package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// flagGroup is a part of a long list of flags in the help.
type flagGroup struct {
	title string
	names []string
}

// runFlags is how the help of `run` is read. What is in none of them comes first.
var runFlags = []flagGroup{
	{"What passes", []string{"hook", "fail-open", "other-tunnels", "gso-guard", "on-table-loss", "no-nft"}},
	{"Restarts", []string{"take-over", "handover", "state", "startup-guard", "frame-id-filter"}},
	{"Rights", []string{"user", "sandbox", "allow-read"}},
	{"Logs, captures and metrics", []string{
		"log", "report", "event-log", "event-log-drops", "event-log-stats", "drop-capture", "drop-capture-files", "drop-capture-size",
		"metrics", "metrics-rules", "metrics-tenants", "cpu-profile",
	}},
	{"Live screen", []string{"tui", "screen", "filter", "theme"}},
	{"Queues and workers", []string{"queue", "queues", "queue-length", "receive-buffer", "copy-range", "cpus", "driver"}},
	{"Reassembly, all queues together", []string{"max-held", "reassembly-frames", "reassembly-memory", "reassembly-source-memory", "reassembly-timeout"}},
}

// groupFlags has the help of a command show its flags in groups. It is called when the
// command has all of them and is part of the program.
func groupFlags(cmd *cobra.Command, groups []flagGroup) {
	cmd.SetUsageFunc(func(c *cobra.Command) error {
		_, err := fmt.Fprintf(c.OutOrStderr(), "Usage:\n  %s\n\nExamples:\n%s\n%s", c.UseLine(), c.Example, flagUsages(c.LocalFlags(), groups))
		return err
	})
}

// flagUsages returns the flags, in groups.
func flagUsages(flags *pflag.FlagSet, groups []flagGroup) string {
	sets := make([]*pflag.FlagSet, 1+len(groups))
	for i := range sets {
		sets[i] = pflag.NewFlagSet("", pflag.ContinueOnError)
	}
	flags.VisitAll(func(f *pflag.Flag) {
		in := slices.IndexFunc(groups, func(g flagGroup) bool { return slices.Contains(g.names, f.Name) })
		sets[in+1].AddFlag(f)
	})
	var text strings.Builder
	for i, set := range sets {
		title := "Flags"
		if i > 0 {
			title = groups[i-1].title
		}
		fmt.Fprintf(&text, "\n%s:\n%s", title, set.FlagUsagesWrapped(textWidth))
	}
	return text.String()
}
