package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"sttwall/conntrack"
	"sttwall/control"
	"sttwall/dissect"
	"sttwall/reason"
)

func newTraceCommand(s streams) *cobra.Command {
	var (
		where  controlFlag
		count  uint64
		asJSON bool
		only   filterFlag
	)
	cmd := &cobra.Command{
		Use:   "trace [FILTER]",
		Short: "Show each step from the packets to the verdict, for live frames",
		Long: "trace shows, until ^C, how the running firewall decides the frames that a filter selects: the packets that a frame\n" +
			"came in, its headers, the tenant and by which claim, what it was to the flow table, every rule that was tried and why it did\n" +
			"not match, and the verdict. The rules are asked right after the frame was decided, and at most 20 times a second;\n" +
			"frames that come faster are counted. Nothing changes by it, and packets do not wait. Filters: see docs/filter.md.",
		Example: "  sttwall trace tenant:acme dst:10.1.0.7 dport:443\n" +
			"  sttwall trace -n 1 'drop (reason:tenant_default or reason:rule_drop)'",
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("filter") {
				if len(args) > 0 {
					return usageError{errors.New("two filters: give it with --filter or without, not both")}
				}
			} else if err := only.Set(strings.Join(args, " ")); err != nil {
				return usageError{fmt.Errorf("the filter: %w", err)}
			}
			t := &tracer{out: s.out, json: asJSON, count: count}
			return where.ask(cmd.Context(), func(ctx context.Context, c *control.Client) error {
				err := c.Frames(ctx, control.FrameQuery{Filter: only.text, Explain: true}, t.frame, t.lost)
				if errors.Is(err, errEnough) || errors.Is(err, context.Canceled) {
					return nil // ^C: all is well
				}
				return err
			})
		},
	}
	flags := cmd.Flags()
	where.add(flags)
	flags.Var(&only, "filter", "the `FILTER`, for those who give it as to other commands")
	flags.Uint64VarP(&count, "count", "n", 0, "stop after so many frames; 0 goes on until ^C")
	flags.BoolVar(&asJSON, "json", false, "write a line of JSON for each")
	return cmd
}

// tracer shows frames.
type tracer struct {
	out     io.Writer
	json    bool
	count   uint64 // 0: no end
	shown   uint64
	skipped uint64 // came too fast, since the last that was shown
}

func (t *tracer) lost(n uint64) { t.skipped += n }

func (t *tracer) frame(f *control.Frame) (err error) {
	if f.Explanation == nil && f.EtherType != "" {
		t.skipped++
		return nil
	}
	if t.json {
		err = newLines(t.out).Encode(f)
	} else {
		text := traceText(f)
		if t.skipped > 0 {
			text = fmt.Sprintf("(%s not traced: they came too fast)\n\n", counted(int(t.skipped), "frame")) + text
		}
		_, err = io.WriteString(t.out, text+"\n")
	}
	t.skipped = 0
	if t.shown++; err == nil && t.shown == t.count {
		err = errEnough
	}
	return err
}

// traceText is the way of a frame in words.
func traceText(f *control.Frame) string {
	var out strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	add("%s %s", f.Time.Local().Format("15:04:05.000000"), verdictText(f))
	add("  packets: %s", partsText(f))
	x := f.Explanation
	ovn := x != nil && (strings.HasPrefix(x.Claim, "datapaths ") || strings.Contains(x.Tenant, "(OVN: "))
	for _, layer := range dissect.Dissect(&dissect.Frame{Header: f.Header, Data: f.Data, Length: f.InnerBytes, OVN: ovn}) {
		line := layer.Name + ": " + layer.Summary
		if layer.Summary == "" {
			line = layer.Name
		}
		if layer.Note != "" {
			line += ": " + layer.Note
		}
		add("  %s", line)
		for _, field := range layer.Fields {
			if field.Note != "" {
				add("    %s = %s: %s", field.Name, field.Value, field.Note)
			}
		}
	}
	if x != nil {
		out.WriteString(decidedText(f, x))
	}
	add("  %s", verdictText(f))
	if f.Reason != "" {
		if why := reasonOf(f.Reason); why != reason.None {
			add("    %s\n    > %s", why.Meaning(), why.Remedy())
		}
	}
	if f.Rewritten {
		add("  it left encoded anew")
	}
	return out.String()
}

// partsText says which packets carried a frame.
func partsText(f *control.Frame) string {
	text := fmt.Sprintf("%s port %d > %s, frame ID 0x%08x, %s in %s", f.From, f.SrcPort, f.To, f.FrameID, counted(f.Bytes, "byte"), counted(f.Segments, "packet"))
	for i, p := range f.Parts {
		sep := ", "
		if i == 0 {
			sep = ": "
		}
		text += fmt.Sprintf("%s%d-%d", sep, p.Offset, p.Offset+p.Bytes-1)
		if p.GSO {
			text += " (GSO)"
		}
	}
	if len(f.Parts) > 0 && len(f.Parts) < f.Segments {
		text += ", ..."
	}
	return text
}

// decidedText is the tenant, the state, and the rules.
func decidedText(f *control.Frame, x *control.Explanation) string {
	var out strings.Builder
	add := func(format string, args ...any) { fmt.Fprintf(&out, "  "+format+"\n", args...) }
	tenant := x.Tenant
	if x.Claim != "" {
		tenant += " (" + x.Claim + ")"
	}
	add("%s", tenant)
	for _, b := range x.Bindings {
		add("  %s", b)
	}
	if state := stateText(f, x.Live); state != "" {
		add("state: %s", state)
	}
	if x.Live != nil && x.Live.OfFlow && len(x.Rules) > 0 {
		add("the flow's first packet decides; the rules for that:")
	}
	for i := range x.Rules {
		if x.Omitted > 0 && i == max(0, len(x.Rules)-omittedBefore) {
			add("  (%s that do not match either)", counted(x.Omitted, "rule"))
		}
		add("  %s", stepText(&x.Rules[i]))
	}
	if x.Default != "" {
		add("  %s", x.Default)
	}
	if x.Changed {
		add("other rules than these have decided: they were changed meanwhile")
	}
	return out.String()
}

// omittedBefore is how many rules stand behind those that are left out.
const omittedBefore = 32

// stateText says what a frame was to the flow table.
func stateText(f *control.Frame, l *control.Live) string {
	text := f.State
	switch {
	case f.State == "":
		return ""
	case f.Begins:
		return text + ": it begins a flow"
	case f.State == conntrack.StateNew.String():
		return text + ": it would begin a flow"
	case f.State == conntrack.StateUntracked.String():
		return text + ": packets of its kind have no flow; the rules decide about each"
	case f.State == conntrack.StateInvalid.String():
		return text + ": it is of no flow, and cannot begin one, or is not what its flow allows"
	}
	if l == nil || l.Flow == nil {
		return text + ": of a flow that has ended since"
	}
	src, dst := ends(&l.Flow.Inner)
	by := "by the default"
	if l.Flow.Rule != "" {
		by = "by " + l.Flow.Rule
	}
	return fmt.Sprintf("%s: of the flow %s %s > %s, %s, %s %s", text, l.Flow.Protocol, src, dst, l.Flow.State, l.Flow.Verdict, by)
}

// verdictText says what became of a frame.
func verdictText(f *control.Frame) string {
	text := f.Verdict
	if f.Verdict == "audit" {
		text = "accept"
	}
	if f.Rule != "" {
		text += " by " + f.Rule
	}
	switch {
	case f.Verdict == "audit":
		return text + ": audit mode; else " + f.WouldBe + " (" + f.Reason + ")"
	case f.Reason != "":
		return text + ": " + f.Reason
	}
	return text
}

// reasonOf returns the reason with that name; None if there is none.
func reasonOf(name string) reason.Reason {
	for r := reason.None + 1; r < reason.Count; r++ {
		if r.String() == name {
			return r
		}
	}
	return reason.None
}
