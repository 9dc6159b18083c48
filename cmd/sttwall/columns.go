package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"

	"sttwall/control"
)

// columns writes rows of words below each other. Each column is as wide as what has
// been in it so far.
type columns struct {
	widths []int
	rows   [][]string
}

func (c *columns) row(cells ...any) {
	words := make([]string, len(cells))
	for i, cell := range cells {
		if words[i] = clean(fmt.Sprint(cell)); words[i] == "" {
			words[i] = "-"
		}
		if i == len(c.widths) {
			c.widths = append(c.widths, 0)
		}
		c.widths[i] = max(c.widths[i], ansi.StringWidth(words[i]))
	}
	c.rows = append(c.rows, words)
}

// lines takes the rows as lines.
func (c *columns) lines() []string {
	lines := make([]string, len(c.rows))
	for i, words := range c.rows {
		var line strings.Builder
		for j, word := range words {
			line.WriteString(word)
			if j < len(words)-1 {
				line.WriteString(strings.Repeat(" ", c.widths[j]-ansi.StringWidth(word)+2))
			}
		}
		lines[i] = line.String() + "\n"
	}
	c.rows = c.rows[:0]
	return lines
}

// flush writes the rows.
func (c *columns) flush(w io.Writer) error {
	_, err := io.WriteString(w, strings.Join(c.lines(), ""))
	return err
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
	lines := json.NewEncoder(inJSON(w))
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
