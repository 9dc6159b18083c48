package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sttwall/ruletest"
)

func newCheckCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with rules files",
		Long: "check loads rules files as 'run' would and says what is wrong with them: file, line, column,\n" +
			"the source line, and what was expected. Then it runs the file's test blocks through the firewall.\n" +
			"The exit status is 1 if a file does not load or a test fails.",
		Example: "  sttwall check /etc/sttwall/rules.hcl",
		Args:    atLeastOne("rules file"),
		RunE: func(_ *cobra.Command, files []string) error {
			var failed bool
			for _, file := range files {
				rules, err := loadPolicy(s, file)
				if err != nil {
					failed = true
					continue
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
				fmt.Fprintf(s.out, "%s: fine: %d tenants, %d rules, %d tests\n", file, len(rules.Tenants()), len(rules.Rules()), len(rules.Tests()))
			}
			if failed {
				return errFindings
			}
			return nil
		},
	}
}

// failedTests counts tests, of which several steps may have failed.
func failedTests(failures []ruletest.Failure) int {
	names := make(map[string]bool)
	for _, f := range failures {
		names[f.Test] = true
	}
	return len(names)
}
