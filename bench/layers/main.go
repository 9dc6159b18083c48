// Command layers measures each layer of sttwall alone, beside what others have for
// the same work: in one run, in turns.
//
//	cd bench && go run ./layers            # all, some minutes
//	cd bench && go run ./layers --quick    # for a look
//	cd bench && go run ./layers --only parse,checksum --json
//
// Each contestant works for a slot of some milliseconds, then the next one; what is
// printed is the median of all rounds, in ns of processor time. A ratio is the median
// of what the rounds say, each for itself: how many times what sttwall takes. The same
// contests are Go benchmarks, for profiles:
//
//	go test ./layers -run - -bench Layers/layer=parse -cpuprofile cpu.prof
//
// Tests show that all who take part in a contest come to the same result.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

// layer is a part of sttwall that has peers.
type layer struct {
	name  string
	build func(*place) ([]*contest, error)
}

// place is where contests are held.
type place struct {
	quick bool      // small tables
	dir   string    // for files; it is there until the end
	notes io.Writer // for what is left out
}

var layers = []layer{
	{"decode", decodeContests},
	{"parse", parseContests},
	{"decide", decideContests},
	{"reassemble", reassembleContests},
	{"flows", flowContests},
	{"checksum", checksumContests},
	{"whole", wholeContests},
	{"capture", captureContests},
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "layers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	flags := flag.NewFlagSet("layers", flag.ContinueOnError)
	flags.SetOutput(progress)
	quick := flags.Bool("quick", false, "short slots, small tables: for a look, not for quoting")
	asJSON := flags.Bool("json", false, "one JSON object a line")
	rounds := flags.Int("rounds", 9, "how often each one takes its turn, at least 7")
	only := flags.String("only", "", "layers to measure, with commas; all if empty")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("argument %q: there are flags only", flags.Arg(0))
	}
	if *rounds < 7 {
		return fmt.Errorf("--rounds %d: a median of fewer than 7 says little", *rounds)
	}
	wanted, err := choose(*only)
	if err != nil {
		return err
	}
	slot := 20 * time.Millisecond
	if *quick {
		slot = 4 * time.Millisecond
	}
	dir, err := os.MkdirTemp("", "layers")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	print := table(out)
	if *asJSON {
		print = jsonLines(out)
	}
	for _, l := range wanted {
		contests, err := l.build(&place{quick: *quick, dir: dir, notes: progress})
		if err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
		for _, c := range contests {
			fmt.Fprintf(progress, "%s %s\n", l.name, c.job)
			rows, err := c.measure(ctx, l.name, *rounds, slot)
			if ctx.Err() != nil {
				return errors.New("interrupted; what was whole by then is above")
			}
			if err != nil {
				return fmt.Errorf("%s, %s: %w", l.name, c.job, err)
			}
			for i := range rows {
				if err := print(&rows[i]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// choose returns the layers with these names.
func choose(names string) ([]layer, error) {
	if names == "" {
		return layers, nil
	}
	var out []layer
	for _, name := range strings.Split(names, ",") {
		i := slices.IndexFunc(layers, func(l layer) bool { return l.name == name })
		if i < 0 {
			var known []string
			for _, l := range layers {
				known = append(known, l.name)
			}
			return nil, fmt.Errorf("no layer %q; there are %s", name, strings.Join(known, ", "))
		}
		out = append(out, layers[i])
	}
	return out, nil
}

// Row is one contestant in one case.
type Row struct {
	Layer   string  `json:"layer"`
	Variant string  `json:"variant"`
	Case    string  `json:"case"`
	NS      float64 `json:"ns"`    // for one unit: a packet, a segment, a decision
	Ratio   float64 `json:"ratio"` // how many times what sttwall takes
	// Allocs are for one unit; none for a command.
	Allocs *float64 `json:"allocs,omitempty"`
}

func jsonLines(out io.Writer) func(*Row) error {
	encoder := json.NewEncoder(out)
	return func(r *Row) error { return encoder.Encode(r) }
}

func table(out io.Writer) func(*Row) error {
	const columns = "%-10s  %-26s  %-22s  %10s  %7s  %7s\n"
	head := true
	return func(r *Row) error {
		if head {
			head = false
			if _, err := fmt.Fprintf(out, columns, "LAYER", "CASE", "VARIANT", "NS", "RATIO", "ALLOCS"); err != nil {
				return err
			}
		}
		allocs := "-"
		if r.Allocs != nil {
			allocs = fmt.Sprintf("%.2f", *r.Allocs)
		}
		_, err := fmt.Fprintf(out, columns, r.Layer, r.Case, r.Variant,
			fmt.Sprintf("%.1f", r.NS), fmt.Sprintf("%.2f", r.Ratio), allocs)
		return err
	}
}
