package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/policy"
	"sttwall/policy/analyze"
	"sttwall/ruletest"
)

func newCheckCommand(s streams) *cobra.Command {
	var (
		against string
		strict  bool
		notes   bool
	)
	cmd := &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with rules files",
		Long: "check loads rules files as 'run' would and says what is wrong with them: file, line, column,\n" +
			"the source line, and what was expected. Then it runs the file's test blocks through the firewall,\n" +
			"and names rules that never match, or that nothing would miss, and groups and services that no rule uses.\n" +
			"The exit status is 1 if a file does not load or a test fails; with --strict also if anything is found.\n" +
			"--against shows which packets the file decides otherwise than another one, and an example of each class.",
		Example: "  sttwall check /etc/sttwall/rules.hcl\n  sttwall check --against /etc/sttwall/rules.hcl rules.new.hcl",
		Args:    atLeastOne("rules file"),
		RunE: func(_ *cobra.Command, files []string) error {
			var old *policy.Policy
			if against != "" {
				var err error
				if old, err = loadPolicy(s, against); err != nil {
					return err
				}
			}
			var failed bool
			for _, file := range files {
				rules, err := loadPolicy(s, file)
				if err != nil {
					failed = true
					continue
				}
				found := lint(s.out, rules, notes)
				if old != nil {
					writeChanges(s.out, policy.Compare(old, rules), policy.Uncompared(old, rules))
				}
				failures, err := ruletest.Run(rules)
				if err != nil {
					return fmt.Errorf("%s: %w", file, err)
				}
				for _, f := range failures {
					fmt.Fprintln(s.out, f)
				}
				if len(failures) > 0 {
					failed = true
					fmt.Fprintf(s.out, "%s: %d of %d tests failed\n", file, failedTests(failures), len(rules.Tests()))
					continue
				}
				if found > 0 && strict {
					failed = true
					continue
				}
				fmt.Fprintf(s.out, "%s: fine: %s, %s\n", file, rulesText(len(rules.Tenants()), len(rules.Rules())), counted(len(rules.Tests()), "test"))
			}
			if failed {
				return errFindings
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&against, "against", "", "show what changes against the rules in this `file`")
	flags.BoolVar(&strict, "strict", false, "exit status 1 if anything is found, notes aside")
	flags.BoolVar(&notes, "notes", false, "show also rules whose order matters")
	return cmd
}

// lint prints what is odd about rules that load, and returns how much of it is
// more than a note.
func lint(w io.Writer, rules *policy.Policy, notes bool) (found int) {
	for _, u := range rules.Unused() {
		fmt.Fprintf(w, "%s\n", u)
		found++
	}
	for _, f := range rules.Lint() {
		if (f.Kind == analyze.Crossing || f.Kind == analyze.GatewayNote) && !notes {
			continue
		}
		fmt.Fprintf(w, "%s:%d: %s\n", f.At.Filename, f.At.Start.Line, f.Message)
		if !f.Kind.Note() {
			found++
		}
	}
	return found
}

// failedTests counts tests, of which several steps may have failed.
func failedTests(failures []ruletest.Failure) int {
	names := make(map[string]bool)
	for _, f := range failures {
		names[f.Test] = true
	}
	return len(names)
}

// writeChanges prints what another file decides otherwise.
func writeChanges(w io.Writer, r analyze.Report, uncompared []string) {
	for _, c := range r.Changes {
		fmt.Fprintf(w, "%s\n    for example: %s\n", c, policy.ExampleText(&c.Example))
	}
	if r.More > 0 {
		fmt.Fprintf(w, "and %d more classes of packets\n", r.More)
	}
	if len(r.Unknown) > 0 {
		fmt.Fprintf(w, "not compared to the end, since they overlap with too many others: %v\n", r.Unknown)
	}
	switch {
	case len(r.Changes)+len(r.Unknown) > 0:
	case len(uncompared) > 0:
		fmt.Fprintln(w, "no packet is decided otherwise by rules and defaults")
	default:
		fmt.Fprintln(w, "no packet is decided otherwise")
	}
	const shown = 20
	if n := len(uncompared); n > shown {
		uncompared = append(uncompared[:shown:shown], fmt.Sprintf("%d more", n-shown))
	}
	if len(uncompared) > 0 {
		fmt.Fprintf(w, "changed too, and what that does to packets is not looked for: %s\n", strings.Join(uncompared, ", "))
	}
}
