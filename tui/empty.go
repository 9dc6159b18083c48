package tui

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"sttwall/control"
)

// emptyTable says what is known about a table without rows.
type emptyTable struct {
	heard  bool  // the firewall has answered
	err    error // with this
	what   string
	hidden int // how many a filter hides
	// more says what to do where there is nothing, a line each; nil: as there is no
	// traffic.
	more []string
}

// empty is what stands where a table would: why there is none, and what to do.
func (e *env) empty(room, height int, t emptyTable) string {
	var title string
	var more []string
	as := toneTitle
	var refused *control.Error
	switch {
	case e.lost != nil && !t.heard:
		title, as = "Not connected", toneBad
		more = []string{clean(e.lost.Error()), "It is tried again every second. This screen fills when the firewall answers."}
	case errors.As(t.err, &refused) && refused.Code == http.StatusForbidden:
		title, as = "Not allowed", toneBad
		more = []string{clean(refused.Message), "Ask as root, or as the user that runs the firewall."}
	case t.err != nil && !t.heard:
		title, as = "The firewall does not tell", toneBad
		more = []string{clean(t.err.Error())}
	case !t.heard:
		title, as = "Asking the firewall ...", toneDim
	case !e.filter.All() && t.hidden > 0:
		title = "The filter selects nothing"
		more = []string{
			fmt.Sprintf("%s hides %s.", clean(e.filter.String()), counted(t.hidden, t.what)),
			"/ changes the filter, Esc takes it away.",
		}
		if t.what == "flow" {
			more = append(more, "What was dropped has made no flow: the screen Drops has it, under the same filter.")
		}
	default:
		title, more = "No "+t.what+"s yet", t.more
		if more == nil {
			more = e.noTraffic()
		}
	}
	lines := append([]string{"", e.paint(as, cut("  "+title, room)), ""}, wrapLines(more, room)...)
	return strings.Join(lines[:min(len(lines), max(0, height))], "\n")
}

// noTraffic says what to look at where no packet comes.
func (e *env) noTraffic() []string {
	if n := e.status.Totals.Packets; n > 0 {
		return []string{
			fmt.Sprintf("The firewall has seen %s so far, and passed %s.", counted(int(n), "packet"), counted(int(e.status.Totals.PacketsAccepted), "packet")),
			"Drops, by reason and with what to do about each, are on the screen Drops.",
		}
	}
	return []string{
		"The firewall runs, and has seen no STT packet.",
		"- Does the route between the tunnel endpoints lead through this host, in both directions?",
		"- Is settings.stt_ports in the rules file the port that they use?",
		"- Is the table there? 'nft list table inet sttwall', or, with --no-nft, your own rules.",
	}
}

// wrapLines breaks lines of clean text at words, indented by two.
func wrapLines(lines []string, room int) (out []string) {
	for _, text := range lines {
		line := " "
		for _, word := range strings.Fields(text) {
			if line != " " && width(line)+1+width(word) > room {
				out = append(out, cut(line, room))
				line = " "
			}
			line += " " + word
		}
		out = append(out, cut(line, room))
	}
	return out
}

// counted writes how many of a thing there are.
func counted(n int, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return grouped(uint64(max(0, n))) + " " + thing + "s"
}
