package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/capture"
	"sttwall/control"
)

// captureOptions are those of capture.
type captureOptions struct {
	file    string
	only    filterFlag
	verdict string
	outer   bool
	count   uint64
	snap    int
}

// verdictFilters are what --verdict stands for.
var verdictFilters = map[string]string{"all": "", "accept": "verdict:accept,audit", "audit": "verdict:audit", "drop": "verdict:drop,reject"}

func newCaptureCommand(s streams) *cobra.Command {
	var (
		where        controlFlag
		o            captureOptions
		inner, outer bool
	)
	cmd := &cobra.Command{
		Use:   "capture -w {FILE | -}",
		Short: "Capture frames, with the verdict on each",
		Long: "capture writes, until ^C, the inner Ethernet frames that the running firewall decides to a pcapng file, or\n" +
			"with --outer the packets that carried them, as they came. The comment of each packet says what became of it, and why:\n" +
			"tenant, rule, reason, context ID, outer endpoints. In Wireshark, 'frame.comment contains \"reason=tenant_default\"' finds\n" +
			"them. Captured is what comes from now on; 'sttwall drops --recent' shows what was dropped before.\n" +
			"If more comes than is written, frames are lost, which is counted; packets do not wait for it.",
		Example: "  sttwall capture -w drops.pcapng --verdict drop --filter tenant:acme\n" +
			"  sttwall capture -w - | wireshark -k -i -\n" +
			"  sttwall capture -w - --outer -c 10 | tshark -r - -V",
		Args: arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, known := verdictFilters[o.verdict]
			switch {
			case o.file == "":
				return usageError{errors.New("-w is missing: a file, or - for standard output")}
			case o.file == "-" && terminal(s.out):
				return usageError{errors.New("-w -: standard output is a terminal, and captures are no text: put | wireshark -k -i - behind it")}
			case !known:
				return usageError{fmt.Errorf("--verdict %q: want accept, drop, audit or all", o.verdict)}
			case inner && outer:
				return usageError{errors.New("--inner and --outer: want one of them")}
			case o.snap < 1 || o.snap > control.MaxSnap:
				return usageError{fmt.Errorf("--snaplen %d: want 1 to %d", o.snap, control.MaxSnap)}
			}
			o.outer = outer
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error { return captureFrames(ctx, s, c, &o) })
		},
	}
	flags := cmd.Flags()
	where.add(flags)
	flags.StringVarP(&o.file, "write", "w", "", "pcapng `file` to write; - is standard output (required)")
	o.only.add(flags, "those")
	flags.StringVar(&o.verdict, "verdict", "all", "only those that are let pass ('accept'), dropped or rejected ('drop'), or let pass by audit mode alone ('audit')")
	flags.BoolVar(&inner, "inner", false, "the inner Ethernet frames; the default")
	flags.BoolVar(&outer, "outer", false, "the outer IP packets, as they came")
	flags.Uint64VarP(&o.count, "count", "c", 0, "stop after so many; 0 goes on until ^C")
	flags.IntVarP(&o.snap, "snaplen", "s", control.MaxSnap, "so many `bytes` of each at most")
	return cmd
}

// both is a filter that selects what both do.
func both(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + " (" + b + ")"
}

// errEnough ends a stream of which enough has come.
var errEnough = errors.New("enough")

func captureFrames(ctx context.Context, s streams, c *control.Client, o *captureOptions) (err error) {
	out := s.out
	if o.file != "-" {
		file, err := os.OpenFile(o.file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	var done captured
	err = done.run(ctx, c, o, out)
	fmt.Fprintln(s.err, done.text(o.outer))
	if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
		return nil // ^C: all is well
	}
	return err
}

// captured counts what a capture has.
type captured struct{ written, lost, unknown uint64 }

func (n *captured) run(ctx context.Context, c *control.Client, o *captureOptions, out io.Writer) error {
	w, err := capture.NewWriter(out, "sttwall "+version())
	if err != nil {
		return err
	}
	link := capture.LinkEthernet
	if o.outer {
		link = capture.LinkRaw
	}
	if err := errors.Join(w.Announce(link), w.Flush()); err != nil {
		return err
	}
	query := control.FrameQuery{Filter: both(verdictFilters[o.verdict], o.only.text), Snap: o.snap, Outer: o.outer}
	return c.Frames(ctx, query, func(f *control.Frame) error {
		var r capture.Record
		if !f.Record(&r) {
			n.unknown++
			return nil
		}
		// Each at once: who looks on waits for it.
		if err := errors.Join(w.Write(&r), w.Flush()); err != nil {
			return err
		}
		if n.written++; n.written == o.count {
			return errEnough
		}
		return nil
	}, func(lost uint64) { n.lost += lost })
}

func (n *captured) text(outer bool) string {
	thing := "frame"
	if outer {
		thing = "packet"
	}
	words := []string{counted(int(n.written), thing) + " captured"}
	if n.lost > 0 {
		words = append(words, fmt.Sprintf("%d lost: they came faster than they were written", n.lost))
	}
	if n.unknown > 0 {
		words = append(words, fmt.Sprintf("%d of which no byte of the inner frame is known (--outer has their packets)", n.unknown))
	}
	return strings.Join(words, "; ")
}
