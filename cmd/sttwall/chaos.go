package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"sttwall/internal/chaos"
)

func newChaosCommand(s streams) *cobra.Command {
	var (
		in     chaos.Input
		asJSON bool
		write  string
	)
	cmd := &cobra.Command{
		Use:   "chaos",
		Short: "See what becomes of traffic when things go wrong",
		Long: "chaos builds the network of the demo on this host, runs the firewall in it as a process of its own, has traffic go\n" +
			"through it, and puts in one fault after the other: it kills the firewall, stops it, fills its queues, its tables and its\n" +
			"disk, takes links, files and sockets away. For each it prints what was seen, how much was lost, and how long recovery took.\n" +
			"Denied packets of many sorts are sent all the time. The exit status is 1 if one of them arrived where it must not,\n" +
			"if a byte of an accepted transfer was changed, or if recovery did not come.\n\n" +
			"Faults that make the firewall fail in one of its three cases are tried with the case closed, with it opened by\n" +
			"--fail-open, and with another one opened. With --for faults come at random, closed, and memory, open files and goroutines\n" +
			"are looked at.",
		Example: "  sttwall chaos\n  sttwall chaos --fault kill --fault disk\n  sttwall chaos --for 1h --seed 7",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if in.For < 0 {
				return usageError{fmt.Errorf("--for %v: must not be negative", in.For)}
			}
			for _, name := range in.Faults {
				if !slices.Contains(chaos.Names(), name) {
					return usageError{fmt.Errorf("--fault %s: want one of %s", name, strings.Join(chaos.Names(), ", "))}
				}
			}
			if in.Seed == 0 {
				in.Seed = uint64(time.Now().UnixNano())
			}
			p := &chaosPrinter{streams: s, json: asJSON, seed: in.Seed, random: in.For > 0}
			ok, err := chaos.Run(cmd.Context(), chaos.Options{Input: in, Stderr: s.err, Receive: p.receive})
			if err != nil {
				p.clear()
			}
			if err := errors.Join(interrupted(cmd.Context(), err, "%s", counted(p.tried(), "fault")+" put in"), p.err); err != nil {
				return err
			}
			if write != "" {
				if err := p.report(write); err != nil {
					return err
				}
			}
			if !ok {
				return errFindings
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&in.Faults, "fault", nil, "try this `fault` alone: "+strings.Join(chaos.Names(), ", ")+". Can be given again")
	flags.DurationVar(&in.For, "for", 0, "random faults for so long, instead of each one once")
	flags.Uint64Var(&in.Seed, "seed", 0, "of what is random; 0 is the time")
	flags.BoolVar(&in.ClosedOnly, "closed", false, "try nothing with --fail-open")
	flags.BoolVar(&in.Logs, "logs", false, "show the firewalls' logs")
	flags.BoolVar(&asJSON, "json", false, "one JSON object a line instead of text")
	flags.StringVar(&write, "write", "", "write the table into this `file`, between its marks")
	return cmd
}

// chaosPrinter prints what a run of chaos tells.
type chaosPrinter struct {
	streams
	json, random bool
	seed         uint64
	rows         []chaos.Row
	samples      []chaos.Sample
	summary      *chaos.Summary
	err          error
}

func (p *chaosPrinter) receive(t *chaos.Told) {
	if t.Row != nil {
		p.rows = append(p.rows, *t.Row)
	}
	if t.Sample != nil {
		p.samples = append(p.samples, *t.Sample)
	}
	if t.Summary != nil {
		p.summary = t.Summary
	}
	if p.json {
		if t.Progress == "" {
			p.err = errors.Join(p.err, json.NewEncoder(p.out).Encode(t))
		}
		return
	}
	switch {
	case t.Progress != "":
		if terminal(p.err2()) {
			fmt.Fprintf(p.err2(), "\r\x1b[K... %s", t.Progress)
		}
	case t.Row != nil:
		p.clear()
		p.err = errors.Join(p.err, t.Row.Write(p.out))
	case t.Summary != nil:
		p.clear()
		p.err = errors.Join(p.err, t.Summary.Write(p.out, p.seed, p.samples))
	}
}

// tried is how many faults were put in so far.
func (p *chaosPrinter) tried() (n int) {
	for i := range p.rows {
		if p.rows[i].Skipped == "" {
			n++
		}
	}
	return n
}

func (p *chaosPrinter) err2() io.Writer { return p.streams.err }

func (p *chaosPrinter) clear() {
	if terminal(p.err2()) {
		fmt.Fprint(p.err2(), "\r\x1b[K")
	}
}

// report puts the table into a file.
func (p *chaosPrinter) report(path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	block := chaos.Markdown(p.rows)
	name := "faults"
	if p.random {
		name, block = "random", chaos.RandomMarkdown(p.rows, p.samples, p.summary, p.seed)
	}
	out, err := chaos.Replace(string(text), name, block)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return os.WriteFile(path, []byte(out), 0o644)
}
