package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

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
}

func newSuggestCommand(s streams) *cobra.Command {
	var f suggestFlags
	cmd := &cobra.Command{
		Use:   "suggest CAPTURE...",
		Short: "Write rules for what a capture shows",
		Long: "suggest writes the smallest readable set of rules that accepts what is in captures, with groups and\n" +
			"services as an operator would have written them, to standard output. With --rules it writes only what\n" +
			"those rules do not accept yet, and says into which tenant's block it belongs. What was seen and gets\n" +
			"no rule is named, with the reason: scans, what nobody answered, frames that no rule can let pass.\n" +
			"Read what it writes before you use it: it knows what was done, not what may be. docs/suggest.md",
		Example: "  sttwall suggest tunnel.pcap > rules.hcl\n" +
			"  sttwall suggest --rules rules.hcl --tenant acme monday.pcapng.gz tuesday.pcapng.gz",
		Args: atLeastOne("capture, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			return suggestFromCaptures(cmd.Context(), s, &f, args)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.rules, "rules", "", "rules `file`: what it accepts is left out, and its groups and services are used")
	flags.StringVar(&f.options.Tenant, "tenant", "", "only the rules of this tenant: a `name` of the rules file, or 'context-100' and the\nlike for context IDs that nobody claims")
	flags.IntVar(&f.options.MaxRules, "max-rules", 100, "at most so many rules for a tenant; what is over them is named")
	flags.BoolVar(&f.options.Exact, "exact", false, "single addresses and ports instead of the CIDRs and ranges around them")
	flags.StringVar(&f.layout, "layout", "plain", "context IDs that no tenant of the rules claims are 'plain' or 'ovn'")
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
	if f.options.MaxRules < 1 {
		return usageError{fmt.Errorf("--max-rules %d: want 1 at least", f.options.MaxRules)}
	}
	rules, err := f.policy(s)
	if err != nil {
		return err
	}
	seen := suggest.NewCollector(0)
	var left leftOut
	config.Policy = rules.Auditing(f.layout == "ovn")
	config.Observer = func(e *firewall.FrameEvent) {
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
	found := suggest.Suggest(seen.Flows(), f.options)
	fmt.Fprintf(s.err, "frames: %d, in %d packets; packets that are not STT: %d\n", summary.Frames, summary.STT, summary.NotSTT)
	noteLeftOut(s.err, &left)
	if n := seen.Beyond(); n > 0 {
		fmt.Fprintf(s.err, "frames of flows for which there was no room: %d (there is for %d flows)\n", n, suggest.DefaultMaxFlows)
	}
	noteSuggestion(s.err, found)
	return errors.Join(unread, found.WriteHCL(s.out))
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

func noteSuggestion(w io.Writer, found *suggest.Suggestion) {
	if found.Covered > 0 {
		fmt.Fprintf(w, "flows that the rules accept as they are: %d\n", found.Covered)
	}
	if found.Apart > 0 {
		fmt.Fprintf(w, "flows that get no rule: %d (the comments say which, and why)\n", found.Apart)
	}
	fmt.Fprintf(w, "suggested rules: %d\n", found.Rules)
}
