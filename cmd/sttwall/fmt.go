package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"

	"sttwall/policy"
)

func newFmtCommand(s streams) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt FILE...",
		Short: "Format rules files",
		Long: "fmt writes rules files in HCL's usual form: indented by two spaces, \"=\" in line. Nothing but white\n" +
			"space changes. It names the files that it has changed; a file that does not load is left alone.\n" +
			"'-' is standard input, which is written to standard output.",
		Example: "  sttwall fmt /etc/sttwall/rules.hcl\n  sttwall fmt --check rules.hcl\n  sttwall suggest tunnel.pcap | sttwall fmt -",
		Args:    atLeastOne("rules file, or - for standard input"),
		RunE: func(_ *cobra.Command, files []string) error {
			var failed bool
			for _, file := range files {
				if file == "-" {
					if err := formatStream(s, check); err != nil {
						return err
					}
					continue
				}
				if _, err := loadPolicy(s, file); err != nil {
					failed = true
					continue
				}
				changed, err := format(file, check)
				if err != nil {
					return err
				}
				if changed {
					fmt.Fprintln(s.out, file)
					failed = failed || check
				}
			}
			if failed {
				return errFindings
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing; the exit status is 1 if a file would change")
	return cmd
}

// formatStream formats standard input.
func formatStream(s streams, check bool) error {
	text, err := io.ReadAll(io.LimitReader(s.in, policy.MaxFileSize+1))
	if err != nil {
		return err
	}
	rules, diagnostics := policy.Load("stdin", text)
	if rules == nil {
		out := policy.Printout{Files: map[string]*hcl.File{"stdin": {Bytes: text}}, Color: colour(s.err)}
		return errors.Join(policy.WriteDiagnostics(s.err, diagnostics, out), errFindings)
	}
	formatted := hclwrite.Format(text)
	switch {
	case !check:
		_, err = s.out.Write(formatted)
		return err
	case !bytes.Equal(text, formatted):
		return errFindings
	}
	return nil
}

// format formats a file and reports whether it changes. The new text takes the
// old one's place in one step.
func format(path string, check bool) (bool, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return false, err
	}
	formatted := hclwrite.Format(text)
	if bytes.Equal(text, formatted) || check {
		return !bytes.Equal(text, formatted), nil
	}
	// A link stays one.
	path, err = filepath.EvalSymlinks(path)
	if err != nil {
		return false, err
	}
	info, err := os.Stat(path)
	if err != nil {
		return false, err
	}
	next, err := os.CreateTemp(filepath.Dir(path), ".sttwall-fmt-*")
	if err != nil {
		return false, err
	}
	defer os.Remove(next.Name()) // gone already unless something failed
	_, err = next.Write(formatted)
	if owner, ok := info.Sys().(*syscall.Stat_t); ok {
		err = errors.Join(err, next.Chown(int(owner.Uid), int(owner.Gid)))
	}
	err = errors.Join(err, next.Chmod(info.Mode().Perm()), next.Sync(), next.Close())
	if err != nil {
		return false, err
	}
	return true, os.Rename(next.Name(), path)
}
