package chaos

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// Closed says in one word how the firewall was to fail.
func (r *Row) closed() string {
	if r.Open == NoCase {
		return "closed"
	}
	return "open: " + string(r.Open)
}

// verdict is "as it should be", or what was not.
func (r *Row) verdict() string {
	switch {
	case r.Skipped != "":
		return "not tried: " + r.Skipped
	case r.Wrong != "":
		return "WRONG: " + r.Wrong
	}
	return r.Seen
}

func duration(d time.Duration) string {
	switch {
	case d == 0:
		return "-"
	case d < 10*time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// lost is how many questions of the probe were lost.
func (r *Row) lost() string { return fmt.Sprintf("%d of %d", r.Lost, r.Asked) }

// Write prints the row for people.
func (r *Row) Write(w io.Writer) error {
	mark := "ok "
	if r.Wrong != "" {
		mark = "BAD"
	}
	if r.Skipped != "" {
		mark = "-- "
	}
	_, err := fmt.Fprintf(w, "%s %-13s %-15s lost %-12s gap %-8s recovered in %-8s denied %d of %d%s\n      %s\n",
		mark, r.Fault, r.closed(), r.lost(), duration(r.Gap), duration(r.Recovery), r.Denied, r.Sent, r.whileOpen(), r.verdict())
	return err
}

func (r *Row) whileOpen() string {
	if r.DeniedOpen == 0 && (r.Open == NoCase || r.Open != r.Fails) {
		return ""
	}
	return fmt.Sprintf(" (and %d while it was open)", r.DeniedOpen)
}

// Markdown returns the rows as a table of docs/reliability.md.
func Markdown(rows []Row) string {
	var out strings.Builder
	out.WriteString("| fault | case | what was seen | lost | gap | recovered in | denied: arrived of sent |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	last := ""
	for i := range rows {
		r := &rows[i]
		what := ""
		if r.Fault != last {
			what = fmt.Sprintf("**%s**: %s", r.Fault, cell(r.What))
		}
		last = r.Fault
		if r.Skipped != "" {
			fmt.Fprintf(&out, "| %s | %s | %s | | | | |\n", what, r.closed(), cell(r.verdict()))
			continue
		}
		denied := fmt.Sprintf("%d of %d", r.Denied, r.Sent)
		if r.DeniedOpen > 0 {
			denied += fmt.Sprintf("; while open %d", r.DeniedOpen)
		}
		fmt.Fprintf(&out, "| %s | %s | %s | %s | %s | %s | %s |\n", what, r.closed(), cell(r.verdict()), r.lost(), duration(r.Gap), duration(r.Recovery), denied)
	}
	return out.String()
}

func cell(text string) string {
	return strings.NewReplacer("|", "\\|", "\n", " ", "<", "&lt;").Replace(text)
}
