package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"sttwall/control"
	"sttwall/firewall"
	"sttwall/policy"
	"sttwall/reason"
	"sttwall/replay"
	"sttwall/suggest"
)

// suggestFlags are the flags of suggest.
type suggestFlags struct {
	rules, layout, checksums string
	options                  suggest.Options
	running                  bool
	control                  controlFlag
}

func newSuggestCommand(s streams) *cobra.Command {
	var f suggestFlags
	cmd := &cobra.Command{
		Use:   "suggest {CAPTURE... | --running}",
		Short: "Write rules for what captures show or audit mode has let pass",
		Long: "suggest writes the smallest readable set of rules that accepts what is in captures, with groups and\n" +
			"services as an operator would have written them, to standard output. With --rules it writes only what\n" +
			"those rules do not accept yet, and says into which tenant's block it belongs. What was seen and gets\n" +
			"no rule is named, with the reason: scans, what nobody answered, frames that no rule can let pass.\n" +
			"With --running it does so for what a running firewall has let pass in audit mode since its start, and\n" +
			"for the rules that are in force there.\n" +
			"Read what it writes before you use it: it knows what was done, not what may be.\n\nSee docs/suggest.md.",
		Example: "  sttwall suggest tunnel.pcap > rules.hcl\n" +
			"  sttwall suggest --rules rules.hcl --tenant acme mon.pcapng.gz tue.pcapng.gz\n" +
			"  sttwall suggest --running --tenant acme",
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case f.options.MaxRules < 1:
				return usageError{fmt.Errorf("--max-rules %d: want 1 at least", f.options.MaxRules)}
			case f.running:
				return suggestFromRunning(cmd, s, &f, args)
			case len(args) == 0:
				return usageError{errors.New("name a capture, - for standard input, or --running")}
			}
			return suggestFromCaptures(cmd.Context(), s, &f, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.rules, "rules", "", "rules `file`: what it accepts is left out, and its groups and services are used")
	flags.StringVar(&f.options.Tenant, "tenant", "", "only the rules of this tenant: a `name` of the rules file, or 'context-100' and the\nlike for context IDs that nobody claims")
	flags.IntVar(&f.options.MaxRules, "max-rules", 100, "at most so many rules for a tenant; what is over them is named")
	flags.BoolVar(&f.options.Exact, "exact", false, "single addresses and ports instead of the CIDRs and ranges around them")
	flags.StringVar(&f.layout, "layout", "plain", "context IDs that no tenant of the rules claims are 'plain' or 'ovn'")
	flags.BoolVar(&f.running, "running", false, "for what a running firewall has let pass in audit mode")
	f.control.add(flags)
	flags.StringVar(&f.checksums, "checksums", "auto", "outer TCP checksums, as for 'sttwall replay'")
	return cmd
}

// leftOut are frames that no suggestion is about, by reason.
type leftOut [reason.Count]int

func suggestFromCaptures(ctx context.Context, s streams, f *suggestFlags, captures []string) error {
	config := replay.Config{Inputs: captures, Stdin: s.in}
	var err error
	if config.Checksums, err = replay.ParseChecksums(f.checksums); err != nil {
		return usageError{fmt.Errorf("--checksums: %w", err)}
	}
	if f.layout != "plain" && f.layout != "ovn" {
		return usageError{fmt.Errorf("--layout %q: want plain or ovn", f.layout)}
	}
	rules, err := f.policy(s)
	if err != nil {
		return err
	}
	seen := suggest.NewCollector(0)
	var left leftOut
	config.Policy = rules.Auditing(f.layout == "ovn")
	config.Observer = func(e *firewall.FrameEvent) {
		if e.Verdict == firewall.Accept {
			seen.AddEndpoint(e.Src)
		}
		if e.Decision.Neighbor && e.Decision.Tenant == "" {
			seen.AddNeighbor(e.Header.ContextID, f.layout == "ovn")
		}
		var sighting suggest.Sighting
		if ok, why := sighting.Sight(e); ok {
			seen.Add(config.Policy, &sighting)
		} else {
			left[why]++
		}
	}
	summary, unread := replay.Run(ctx, config)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case summary.Files == 0:
		return unread
	}
	f.options.Endpoints = seen.Endpoints()
	f.options.Neighbors, f.options.OVN = seen.Neighbors(), f.layout == "ovn"
	found := suggest.Suggest(seen.Flows(), f.options)
	fmt.Fprintf(s.err, "frames: %d, in %d packets; packets that are not STT: %d\n", summary.Frames, summary.STT, summary.NotSTT)
	noteLeftOut(s.err, &left)
	if n := seen.Beyond(); n > 0 {
		fmt.Fprintf(s.err, "frames of flows for which there was no room: %d (there is for %d flows)\n", n, suggest.DefaultMaxFlows)
	}
	noteSuggestion(s.err, found.Rules, found.Covered, found.Apart)
	return errors.Join(unread, found.WriteHCL(s.out))
}

// suggestFromRunning asks a running firewall.
func suggestFromRunning(cmd *cobra.Command, s streams, f *suggestFlags, args []string) error {
	for _, name := range []string{"rules", "layout", "checksums"} {
		if cmd.Flags().Changed(name) {
			return usageError{fmt.Errorf("--%s is for captures: a running firewall has rules", name)}
		}
	}
	if len(args) > 0 {
		return usageError{errors.New("--running goes without captures")}
	}
	return f.control.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
		got, err := c.Suggest(ctx, control.SuggestQuery{Tenant: f.options.Tenant, MaxRules: f.options.MaxRules, Exact: f.options.Exact})
		if err != nil {
			return err
		}
		fmt.Fprintf(s.err, "flows that audit mode has let pass since %s: %d\n", got.Since.Local().Format(time.DateTime), got.Flows)
		if got.Lost > 0 {
			fmt.Fprintf(s.err, "frames that came too fast to be looked at: %d (what comes again is seen)\n", got.Lost)
		}
		if got.Beyond > 0 {
			fmt.Fprintf(s.err, "frames of flows for which there was no room: %d (put the rules that there are in force, and look again)\n", got.Beyond)
		}
		noteSuggestion(s.err, got.Rules, got.Covered, got.Apart)
		_, err = io.WriteString(s.out, got.Text)
		return err
	})
}

// policy loads --rules; without it there are no tenants, and no rules.
func (f *suggestFlags) policy(s streams) (*policy.Policy, error) {
	if f.rules == "" {
		none, diagnostics := policy.Load("no rules", nil)
		if diagnostics.HasErrors() {
			return nil, diagnostics
		}
		return none, nil
	}
	rules, err := loadPolicy(s, f.rules)
	f.options.Policy = rules
	return rules, err
}

// noteLeftOut says which frames no rule can let pass.
func noteLeftOut(w io.Writer, left *leftOut) {
	if n := left[reason.None]; n > 0 {
		fmt.Fprintf(w, "frames that need no further rule: %d (rules, their flow, ARP, neighbour discovery)\n", n)
	}
	for r := reason.None + 1; r < reason.Count; r++ {
		if left[r] > 0 {
			fmt.Fprintf(w, "frames that no further rule lets pass: %d: %s: %s\n    > %s\n", left[r], r, r.Meaning(), r.Remedy())
		}
	}
}

func noteSuggestion(w io.Writer, rules, covered, apart int) {
	if covered > 0 {
		fmt.Fprintf(w, "flows that the rules accept as they are: %d\n", covered)
	}
	if apart > 0 {
		fmt.Fprintf(w, "flows that get no rule: %d (the comments say which, and why)\n", apart)
	}
	fmt.Fprintf(w, "suggested rules: %d\n", rules)
}
