package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"

	"github.com/spf13/cobra"

	floods "sttwall/internal/flood"
)

func newFloodCommand(s streams) *cobra.Command {
	var (
		o      floods.Options
		write  string
		logs   bool
		asJSON bool

		waiting int
	)
	cmd := &cobra.Command{
		Use:   "flood",
		Short: "See what becomes of others while one endpoint attacks",
		Long: "flood builds four endpoints on this host, runs the firewall between them as a process of its own, and has one endpoint\n" +
			"send floods of many sorts while two others send what the rules accept. For each it prints which part of the accepted\n" +
			"packets still arrived, compared with the same flood dropped before it reaches the firewall, and the firewall's memory\n" +
			"beside the bound that follows from its settings. The exit status is 1 if less than 0.9 arrived, or memory went over\n" +
			"the bound. It needs root and the nft command.",
		Example: "  sttwall flood\n  sttwall flood --attack flows --attack half-open",
		Args:    arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			for _, name := range o.Names {
				if !slices.ContainsFunc(floods.Attacks(), func(a floods.Attack) bool { return a.Name == name }) {
					return usageError{fmt.Errorf("--attack %s: there is none of this name", name)}
				}
			}
			if waiting > 0 {
				w, err := floods.Wait(cmd.Context(), waiting)
				if err != nil {
					return err
				}
				fmt.Fprintf(s.out, "queues of %d packets, the firewall stopped: %d super-segments wait, of 64,000 bytes; %d MiB of memory, %.1f KiB each; then %d were dropped\n",
					w.QueueLength, w.Packets, w.Memory>>20, float64(w.Memory)/float64(max(1, w.Packets))/1024, w.Dropped)
				return nil
			}
			if logs {
				o.Log = s.err
			}
			var rows []floods.Row
			var bad bool
			clear := func() {}
			if terminal(s.err) {
				clear = func() { fmt.Fprint(s.err, "\r\x1b[K") }
				o.Progress = func(what string) { fmt.Fprintf(s.err, "\r\x1b[K... %s", what) }
			}
			err := floods.Run(cmd.Context(), o, func(r *floods.Row) {
				clear()
				rows, bad = append(rows, *r), bad || r.Wrong() != ""
				if asJSON {
					json.NewEncoder(s.out).Encode(r)
					return
				}
				r.Write(s.out)
			})
			if err != nil {
				clear()
				return interrupted(cmd.Context(), err, "%s made", counted(len(rows), "attack"))
			}
			if write != "" {
				text, err := os.ReadFile(write)
				if err != nil {
					return err
				}
				out, err := floods.Replace(string(text), rows)
				if err != nil {
					return fmt.Errorf("%s: %w", write, err)
				}
				if err := os.WriteFile(write, []byte(out), 0o644); err != nil {
					return err
				}
			}
			if bad {
				return errFindings
			}
			return nil
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&o.Names, "attack", nil, "make this `attack` alone; can be given again")
	flags.IntVar(&o.Good, "good", 10_000, "how many packets a second the others send")
	flags.DurationVar(&o.Half, "half", 0, "how long each half of a round lasts; 0 is 2 s")
	flags.IntVar(&o.Rounds, "rounds", 4, "how many rounds, of which the medians are taken")
	flags.BoolVar(&asJSON, "json", false, "one JSON object a line instead of text")
	flags.IntVar(&waiting, "waiting", 0, "instead, stop a firewall whose queues take so many `packets` each,\nfill them with super-segments, and tell what memory of the kernel they take")
	flags.BoolVar(&logs, "logs", false, "show the firewall's log")
	flags.StringVar(&write, "write", "", "write the table into this `file`, between its marks")
	return cmd
}
