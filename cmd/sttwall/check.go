package main

import (
	"fmt"

	"github.com/spf13/cobra"
)

func newCheckCommand(s streams) *cobra.Command {
	return &cobra.Command{
		Use:   "check FILE...",
		Short: "Say what is wrong with rules files",
		Long: "check loads rules files as 'run' would and says what is wrong with them: file, line, column,\n" +
			"the source line, and what was expected. The exit status is 1 if a file does not load.",
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
				fmt.Fprintf(s.out, "%s: fine: %d tenants, %d rules\n", file, len(rules.Tenants()), len(rules.Rules()))
			}
			if failed {
				return errFindings
			}
			return nil
		},
	}
}
