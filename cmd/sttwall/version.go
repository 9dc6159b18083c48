package main

import (
	"errors"
	"fmt"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func newVersionCommand(s streams) *cobra.Command {
	var bom bool
	cmd := &cobra.Command{
		Use:   "version",
		Short: "Print the version and what it was built from",
		Long: "version prints the version of this program, the commit and the Go that it was built from. With --sbom it prints\n" +
			"a bill of materials, CycloneDX 1.6 in JSON: each module that is linked into this program, with its version and its\n" +
			"sum, and Go's standard library. Programs that look for known vulnerabilities read it.",
		Example: "  sttwall version\n" +
			"  sttwall version --sbom > sttwall.cdx.json",
		Args: arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			if bom {
				info, ok := debug.ReadBuildInfo()
				if !ok {
					return errors.New("--sbom: this program was built without module information")
				}
				return writeBOM(s.out, info)
			}
			_, err := fmt.Fprintln(s.out, version())
			return err
		},
	}
	cmd.Flags().BoolVar(&bom, "sbom", false, "print what it was built of, as CycloneDX 1.6")
	return cmd
}

// version says what the toolchain wrote into the binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "sttwall (built without module information)"
	}
	version, revision := info.Main.Version, ""
	if version == "" {
		version = "(devel)"
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" {
			revision = " " + setting.Value
		}
	}
	return fmt.Sprintf("sttwall %s%s %s", version, revision, info.GoVersion)
}
