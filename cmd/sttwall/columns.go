package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"sttwall/control"
)

// columns writes rows of words below each other.
type columns struct{ *tabwriter.Writer }

func newColumns(w io.Writer) columns { return columns{tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)} }

func (c columns) row(cells ...any) {
	words := make([]string, len(cells))
	for i, cell := range cells {
		if words[i] = fmt.Sprint(cell); words[i] == "" {
			words[i] = "-"
		}
	}
	fmt.Fprintln(c, strings.Join(words, "\t"))
}

// textWidth is how wide prose is for terminals, in columns.
const textWidth = 80

// wrapped breaks text into lines of at most textWidth, words that are longer aside.
// The first line begins with first, the others with next.
func wrapped(text, first, next string) string {
	var out strings.Builder
	line := first
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
			line += word
		case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) <= textWidth:
			line += " " + word
		default:
			out.WriteString(line + "\n")
			line = next + word
		}
	}
	return out.String() + line + "\n"
}

// writeLines writes each of a list as a line of JSON.
func writeLines[T any](w io.Writer, list []T) error {
	lines := newLines(w)
	for i := range list {
		if err := lines.Encode(&list[i]); err != nil {
			return err
		}
	}
	return nil
}

// newLines writes values as lines of JSON, with < and > as they are.
func newLines(w io.Writer) *json.Encoder {
	lines := json.NewEncoder(w)
	lines.SetEscapeHTML(false)
	return lines
}

// ends writes the two ends of a packet or flow, with ports where it has some.
func ends(in *control.Inner) (src, dst string) {
	return end(in.Src, in.SrcPort), end(in.Dst, in.DstPort)
}

func end(a netip.Addr, port *uint16) string {
	switch {
	case !a.IsValid():
		return ""
	case port == nil:
		return a.String()
	}
	return netip.AddrPortFrom(a, *port).String()
}

// hitText says when something was hit last, or since when it is unused.
func hitText(h *control.Hits) string {
	switch {
	case h.Last != nil:
		return clockText(*h.Last)
	case h.UnusedSince != nil:
		return "unused since " + clockText(*h.UnusedSince)
	}
	return ""
}

func clockText(t time.Time) string { return t.Local().Format(time.DateTime) }

// forText writes a duration in whole seconds.
func forText(d time.Duration) string { return max(0, d).Round(time.Second).String() }

// counted writes how many of a thing there are.
func counted(n int, thing string) string { return fmt.Sprintf("%d %s", n, plural(n, thing, thing+"s")) }

func rulesText(tenants, rules int) string {
	return counted(tenants, "tenant") + ", " + counted(rules, "rule")
}
