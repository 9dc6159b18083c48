package main

import (
	"fmt"

	"sttwall/policy"
)

// loadPolicy loads a rules file and prints what the loader has to say of it,
// with file, line, column and the source line.
func loadPolicy(s streams, path string) (*policy.Policy, error) {
	rules, diagnostics, files := policy.LoadFile(path)
	if len(diagnostics) > 0 {
		out := policy.Printout{Files: files, Color: colour(s.err)}
		if err := policy.WriteDiagnostics(s.err, diagnostics, out); err != nil {
			return nil, fmt.Errorf("printing what is wrong with %s: %w", path, err)
		}
	}
	if diagnostics.HasErrors() {
		return nil, errFindings
	}
	return rules, nil
}
