package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"sttwall/internal/soak"
)

func newSoakCommand(s streams) *cobra.Command {
	var (
		in         soak.Input
		write, csv string
		asJSON     bool
	)
	cmd := &cobra.Command{
		Use:   "soak",
		Short: "See whether the firewall stays as it is, for hours",
		Long: "soak builds the network of the demo on this host, runs the firewall in it as a process of its own, and has traffic go\n" +
			"through it: transfers over TCP whose bytes are compared, questions over UDP, and packets of many sorts that must not arrive.\n" +
			"Meanwhile rules are loaded again, endpoints and temporary rules added and removed, and screens attached. Memory, open files,\n" +
			"goroutines and latency are measured.\n\n" +
			"The exit status is 1 if one of them rises, if an accepted datagram was lost outside overload, or if something arrived that\n" +
			"must not. docs/soak.md says how that is judged.",
		Example: "  sttwall soak --for 2h\n  sttwall soak --for 2h --csv soak.csv --write docs/soak.md",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.For < soak.Least {
				return usageError{fmt.Errorf("--for %v: want %v at least", in.For, soak.Least)}
			}
			if in.Seed == 0 {
				in.Seed = uint64(time.Now().UnixNano())
			}
			var samples []soak.Sample
			var end *soak.End
			progress := terminal(s.err)
			err := soak.Run(cmd.Context(), soak.Options{Input: in, Stderr: s.err, Receive: func(t *soak.Told) {
				switch {
				case t.Sample != nil:
					samples = append(samples, *t.Sample)
				case t.End != nil:
					end = t.End
				case progress:
					fmt.Fprintf(s.err, "\r\x1b[K... %s", t.Progress)
				}
			}})
			if progress {
				fmt.Fprint(s.err, "\r\x1b[K")
			}
			err = interrupted(cmd.Context(), err, "%v of %v were over", gone(samples), in.For)
			if csv != "" {
				err = errors.Join(err, writeSamples(csv, samples)) // also of a run that was broken off
			}
			if err != nil {
				return err
			}
			if end == nil {
				return errors.New("the run has ended without a word")
			}
			verdict := soak.Judge(samples, end)
			if asJSON {
				err = json.NewEncoder(s.out).Encode(struct {
					End     *soak.End     `json:"end"`
					Verdict soak.Verdict  `json:"verdict"`
					Samples []soak.Sample `json:"samples"`
				}{end, verdict, samples})
			} else {
				err = soak.Write(s.out, samples, end)
			}
			if err == nil && write != "" {
				err = writeSoak(write, samples, end)
			}
			if err == nil && !verdict.OK() {
				err = errFindings
			}
			return err
		},
	}
	flags := cmd.Flags()
	flags.DurationVar(&in.For, "for", 10*time.Minute, "how long traffic goes through the firewall")
	flags.Uint64Var(&in.Seed, "seed", 0, "of what is random; 0 is the time")
	flags.BoolVar(&in.Logs, "logs", false, "show the firewall's log")
	flags.StringVar(&csv, "csv", "", "write the samples into this `file`")
	flags.StringVar(&write, "write", "", "write the verdict into this `file`, between its marks, and the pictures\ninto the folder pictures beside it")
	flags.BoolVar(&asJSON, "json", false, "one JSON object instead of text")
	return cmd
}

// gone is how long a run has had traffic, by its last sample.
func gone(samples []soak.Sample) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	return samples[len(samples)-1].After.Round(time.Second)
}

func writeSamples(path string, samples []soak.Sample) error {
	return writeTo(path, func(w io.Writer) error { return soak.WriteCSV(w, samples) })
}

func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// writeSoak puts a run into a document, and its pictures beside it.
func writeSoak(path string, samples []soak.Sample, end *soak.End) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	release, err := os.ReadFile("/proc/sys/kernel/osrelease")
	if err != nil {
		return err
	}
	where := fmt.Sprintf("Linux %.40s with %d processors", trimmed(release), runtime.NumCPU())
	out, err := soak.Replace(string(text), soak.Markdown(samples, end, where))
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	if err := os.WriteFile(path, []byte(out), 0o644); err != nil {
		return err
	}
	folder := filepath.Join(filepath.Dir(path), "pictures")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for name, svg := range soak.Charts(samples, where) {
		if err := os.WriteFile(filepath.Join(folder, name), svg, 0o644); err != nil {
			return err
		}
	}
	return nil
}

func trimmed(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == '\n' {
		b = b[:len(b)-1]
	}
	return string(b)
}
