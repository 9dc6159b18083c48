package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/spf13/cobra"
)

func newFmtCommand(s streams) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt FILE...",
		Short: "Format rules files",
		Long: "fmt writes rules files in HCL's usual form: indented by two spaces, \"=\" in line. Nothing but white\n" +
			"space changes. It names the files that it has changed; a file that does not load is left alone.",
		Example: "  sttwall fmt /etc/sttwall/rules.hcl\n  sttwall fmt --check rules.hcl",
		Args:    atLeastOne("rules file"),
		RunE: func(_ *cobra.Command, files []string) error {
			var failed bool
			for _, file := range files {
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
	err = errors.Join(err, next.Chmod(info.Mode().Perm()), next.Sync(), next.Close())
	if err != nil {
		return false, err
	}
	return true, os.Rename(next.Name(), path)
}
