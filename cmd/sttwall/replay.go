package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sttwall/replay"
)

func newReplayCommand(s streams) *cobra.Command {
	var (
		config       = replay.Config{Stdin: s.in, Out: s.out}
		rules, write string
		asJSON       bool
		checksums    string
	)
	cmd := &cobra.Command{
		Use:   "replay --rules FILE CAPTURE...",
		Short: "Run captures through the firewall, without privileges",
		Long: "replay takes the packets of captures (pcap, pcapng, gzip of either, '-' for standard input)\n" +
			"through the same code that decides live traffic, with the clock of the captures, and prints\n" +
			"the verdict on each frame and what was counted.\n\n" +
			"Several captures are one stream: give the files of a ring in their order. Packets that are\n" +
			"not STT would not have been queued: they are counted, have no verdict, and are not written.",
		Example: "  sttwall replay --rules rules.hcl tunnel.pcap\n" +
			"  sttwall replay --rules rules.hcl --json --write left.pcapng tunnel.pcapng.gz\n" +
			"  tcpdump -i eth0 -Uw - 'tcp dst port 7471' | sttwall replay --rules rules.hcl -",
		Args: atLeastOne("capture, or - for standard input"),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			config.Inputs = args
			if config.Checksums, err = replay.ParseChecksums(checksums); err != nil {
				return usageError{fmt.Errorf("--checksums: %w", err)}
			}
			if asJSON {
				config.Format = replay.JSON
			}
			if rules == "" {
				return usageError{errors.New("--rules is missing")}
			}
			if config.Policy, err = loadPolicy(s, rules); err != nil {
				return err
			}
			if write == "" {
				_, err = replay.Run(cmd.Context(), config)
				return err
			}
			out, err := createCapture(write, args)
			if err != nil {
				return err
			}
			config.Write = out
			_, err = replay.Run(cmd.Context(), config)
			return errors.Join(err, out.Close())
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&rules, "rules", "", "rules `file` (required)")
	flags.BoolVar(&asJSON, "json", false, "one JSON object a line: the frames, then a summary")
	flags.BoolVar(&config.Hash, "hash", false, "with --json: the start of the SHA-256 of each inner frame")
	flags.StringVar(&write, "write", "", "write what would have left to this pcapng `file`")
	flags.StringVar(&checksums, "checksums", "auto", "outer TCP checksums: 'auto' takes those that an offload had yet to finish,\n'require' wants each to be right, 'ignore' takes all")
	return cmd
}

// createCapture creates the file for --write, unless that is one of the inputs:
// creating it would empty it before it is read.
func createCapture(path string, inputs []string) (*os.File, error) {
	if path == "-" {
		return nil, usageError{errors.New("--write: standard output has the verdicts; name a file")}
	}
	if there, err := os.Stat(path); err == nil {
		for _, input := range inputs {
			if in, err := os.Stat(input); err == nil && os.SameFile(there, in) {
				return nil, usageError{fmt.Errorf("--write: %s is an input", path)}
			}
		}
	}
	return os.Create(path)
}
