package main

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"

	"sttwall/policy"
)

// loadPolicy loads a rules file and prints what the loader has to say of it,
// with file, line, column and the source line.
func loadPolicy(s streams, path string) (*policy.Policy, error) {
	rules, said, err := readPolicy(path, policy.Printout{Color: colour(s.err)})
	io.WriteString(s.err, said)
	return rules, err
}

// readPolicy loads a rules file and returns what the loader has to say of it. The
// error is errFindings where the file does not load.
func readPolicy(path string, o policy.Printout) (rules *policy.Policy, said string, err error) {
	rules, _, said, err = readPolicyFiles(path, o)
	return rules, said, err
}

// readPolicyFiles is readPolicy, and returns the files that were read: that of the rules
// and those of addresses.
func readPolicyFiles(path string, o policy.Printout) (rules *policy.Policy, read []string, said string, err error) {
	rules, diagnostics, files := policy.LoadFile(path)
	if len(diagnostics) > 0 {
		var out bytes.Buffer
		o.Files = files
		if err := policy.WriteDiagnostics(&out, diagnostics, o); err != nil {
			return nil, nil, "", fmt.Errorf("printing what is wrong with %s: %w", path, err)
		}
		said = out.String()
	}
	if diagnostics.HasErrors() {
		return nil, nil, said, errFindings
	}
	return rules, slices.Sorted(maps.Keys(files)), said, nil
}
