package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/spf13/cobra"

	"sttwall/control"
)

// droppedVerdicts selects what `drops` shows frame by frame.
const droppedVerdicts = "verdict:drop,reject,audit"

// recentFlags are those of `drops` that are about frames, and not about sums.
type recentFlags struct {
	recent string // how many; "": none
	follow bool
	only   *filterFlag
	where  controlFlag
	json   bool
}

// defaultRecent is how many frames --recent shows without a number.
const defaultRecent = "20"

// withFrames adds to `drops` what shows single frames.
func withFrames(cmd *cobra.Command, s streams) *cobra.Command {
	var f recentFlags
	sums := cmd.RunE // of drops alone
	flags := cmd.Flags()
	flags.StringVar(&f.recent, "recent", "", "show the last `N` frames that were dropped, rejected or let pass by audit mode alone instead of sums")
	flags.Lookup("recent").NoOptDefVal = defaultRecent
	flags.BoolVarP(&f.follow, "follow", "f", false, "show frames as they are dropped, until ^C")
	filtered := flags.Lookup("filter")
	f.only = filtered.Value.(*filterFlag)
	few := f.only.of // frames have all fields, the sums few: known when both flags are
	f.only.of = nil
	filtered.Usage += "; with --recent and --follow all of docs/filter.md"
	cmd.Long += "\n\nWith --recent or --follow it shows single frames, a line each, with all of what a filter can ask for. Not all of a flood are\n" +
		"kept or told; how many were not is said."
	cmd.Example = "  sttwall drops\n  sttwall drops --recent 100 --filter 'tenant:acme dport:443'\n  sttwall drops --follow --json"
	before := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if f.recent == defaultRecent && len(args) == 1 { // "--recent 100" as "--recent=100"
			f.recent, args = args[0], nil
		}
		return before(cmd, args)
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n := 0
		if f.recent != "" {
			var err error
			if n, err = strconv.Atoi(f.recent); err != nil || n < 1 || n > control.MaxRecent {
				return usageError{fmt.Errorf("--recent %q: want 1 to %d", f.recent, control.MaxRecent)}
			}
		}
		if n == 0 && !f.follow {
			f.only.of = few
			if err := f.only.Set(f.only.text); f.only.parsed != nil && err != nil {
				return usageError{fmt.Errorf("--filter: %w", err)}
			}
			return sums(cmd, args)
		}
		if flags.Changed("watch") {
			return usageError{errors.New("--watch shows sums: --follow goes on with single frames")}
		}
		f.where.path, _ = flags.GetString("control")
		f.json, _ = flags.GetBool("json")
		return f.where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
			if n > 0 {
				if err := f.showRecent(ctx, c, s, n); err != nil || !f.follow {
					return err
				}
			}
			return f.showDrops(ctx, c, s)
		})
	}
	return cmd
}

// showRecent shows the last frames.
func (f *recentFlags) showRecent(ctx context.Context, c *control.Client, s streams, n int) error {
	got, err := c.RecentDrops(ctx, control.FrameQuery{Filter: f.only.text, Limit: n})
	if err != nil {
		return err
	}
	for i := range got.Frames {
		frame := &got.Frames[i]
		if err := f.show(s.out, frame, &frame.Event); err != nil {
			return err
		}
	}
	if got.Skipped > 0 {
		fmt.Fprintf(s.err, "%s since the start were not kept: they came too fast\n", counted(int(got.Skipped), "frame"))
	}
	return nil
}

// showDrops shows frames as they are dropped.
func (f *recentFlags) showDrops(ctx context.Context, c *control.Client, s streams) error {
	err := c.Events(ctx, both(droppedVerdicts, f.only.text), func(e *control.Event) error { return f.show(s.out, e, e) })
	if errors.Is(err, context.Canceled) {
		return nil // ^C: all is well
	}
	return err
}

func (f *recentFlags) show(w io.Writer, value any, e *control.Event) (err error) {
	if f.json {
		return newLines(w).Encode(value)
	}
	_, err = fmt.Fprintln(w, eventText(e))
	return err
}
