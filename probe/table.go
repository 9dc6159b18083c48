package probe

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Write prints the report for people.
func (r *Report) Write(w io.Writer) error {
	var out strings.Builder
	fmt.Fprintf(&out, "path to %v, Context ID %d\n\n", r.Remote, r.ContextID)
	if r.Answered {
		r.writeBody(&out)
	}
	if len(r.Findings) == 0 {
		out.WriteString("fine: nothing was lost, and nothing was rewritten that hurts\n")
	} else {
		out.WriteString("findings:\n")
		for i, f := range r.Findings {
			fmt.Fprintf(&out, "%3d. %s\n", i+1, f)
		}
	}
	_, err := io.WriteString(w, out.String())
	return err
}

func (r *Report) writeBody(out *strings.Builder) {
	line := func(name string, forward, back any) { fmt.Fprintf(out, "%-26s %12v %12v\n", name, forward, back) }
	line("", "forward", "back")
	line("largest packet with DF", r.MTUForward, r.MTUBack)
	line("MTU of the endpoints", r.PathMTU, r.RemoteMTU)
	line("hops that count", hops(r.Forward.Hops), hops(r.Back.Hops))
	for _, row := range []struct {
		name string
		of   func(*Way) int
	}{
		{"frames sent", func(w *Way) int { return w.Sent }},
		{"  lost", func(w *Way) int { return w.Lost }},
		{"  reordered", func(w *Way) int { return w.Reordered }},
		{"  doubled", func(w *Way) int { return w.Duplicates }},
		{"packets, wrong checksum", func(w *Way) int { return w.BadChecksum }},
		{"packets, no segment", func(w *Way) int { return w.Refused }},
	} {
		line(row.name, row.of(&r.Forward), row.of(&r.Back))
	}
	if r.Limited > 0 {
		fmt.Fprintf(out, "%d questions arrived and were not answered: too many a second\n", r.Limited)
	}
	fmt.Fprintf(out, "\nround trip: min %s, median %s, max %s\n\n", millis(r.RTT.Min), millis(r.RTT.Median), millis(r.RTT.Max))
	fmt.Fprintf(out, "%-12s %8s %12s %12s\n", "STT frame", "packets", "forward", "back")
	for _, f := range r.Frames {
		fmt.Fprintf(out, "%-12s %8d %12s %12s\n", fmt.Sprintf("%d bytes", f.Length), f.Segments,
			fmt.Sprintf("%d of %d", f.Forward, f.Tried), fmt.Sprintf("%d of %d", f.Back, f.Tried))
	}
	out.WriteByte('\n')
	if len(r.Changes) == 0 {
		out.WriteString("rewritten: nothing but TTLs\n\n")
		return
	}
	out.WriteString("rewritten:\n")
	for _, c := range r.Changes {
		mark := " "
		if c.Hurts {
			mark = "!"
		}
		fmt.Fprintf(out, "%s %-8s %-16s %s -> %s, %d of %d frames\n             %s\n", mark, c.Direction, c.Field, c.Sent, c.Seen, c.Frames, c.Of, c.Means)
	}
	out.WriteByte('\n')
}

func hops(n int) string {
	if n < 0 {
		return "unknown"
	}
	return fmt.Sprint(n)
}

func millis(d time.Duration) string {
	return fmt.Sprintf("%.3f ms", float64(d)/float64(time.Millisecond))
}
