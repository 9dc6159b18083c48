package policy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// Printout says how [WriteDiagnostics] prints.
type Printout struct {
	// Files has the source by file name, as [LoadFile] returns it. Without the
	// source, its line is left out.
	Files map[string]*hcl.File
	// Width is where sentences are wrapped and source lines cut, in columns.
	// Zero means 80; less than 40 is taken as 40.
	Width uint
	// Color marks severities and subjects with terminal escapes.
	Color bool
}

// WriteDiagnostics prints each diagnostic with its place, the blocks it is in,
// its source line with the subject marked, and what was expected:
//
//	rules.hcl:9,17-30: error: Invalid address
//	  in tenant "acme", rule "web":
//	  9 |     source = ["10.1.0.1/24"]
//	    |               ^^^^^^^^^^^^^
//	  Expected zeros behind the first 24 bits of a CIDR; did you mean
//	  "10.1.0.0/24", or the single address "10.1.0.1"?
//
// Control characters in the source are printed as U+FFFD, so that a rules file
// cannot write to the terminal. The error is the writer's.
func WriteDiagnostics(w io.Writer, diags hcl.Diagnostics, o Printout) error {
	switch {
	case o.Width == 0:
		o.Width = 80
	case o.Width < 40:
		o.Width = 40
	}
	out := bufio.NewWriter(w)
	for i, d := range diags {
		if i > 0 {
			out.WriteByte('\n')
		}
		o.diagnostic(out, d)
	}
	return out.Flush()
}

const (
	colorError   = "\x1b[1;31m"
	colorWarning = "\x1b[1;33m"
	colorReset   = "\x1b[0m"
)

func (o *Printout) diagnostic(out *bufio.Writer, d *hcl.Diagnostic) {
	severity, color := "error", colorError
	if d.Severity == hcl.DiagWarning {
		severity, color = "warning", colorWarning
	}
	if d.Subject != nil {
		fmt.Fprintf(out, "%s: ", strings.Map(printable, d.Subject.String()))
	}
	fmt.Fprintf(out, "%s: %s\n", o.paint(color, severity), strings.Map(printable, d.Summary))
	if d.Subject != nil {
		if file := o.Files[d.Subject.Filename]; file != nil {
			if where := enclosing(file.Body, d.Subject.Start.Byte); where != "" {
				fmt.Fprintf(out, "  in %s:\n", where)
			}
			o.source(out, file.Bytes, d.Subject, color)
		}
	}
	for _, line := range wrap(strings.Map(printable, d.Detail), int(o.Width)-2) {
		fmt.Fprintf(out, "  %s\n", line)
	}
}

func (o *Printout) paint(color, s string) string {
	if !o.Color {
		return s
	}
	return color + s + colorReset
}

// source prints the line that the subject starts in, and marks the subject as
// far as it goes on it.
func (o *Printout) source(out *bufio.Writer, src []byte, at *hcl.Range, color string) {
	start := at.Start.Byte
	if start < 0 || start > len(src) || len(src) == 0 {
		return
	}
	lineStart := bytes.LastIndexByte(src[:start], '\n') + 1
	lineEnd := len(src)
	if n := bytes.IndexByte(src[start:], '\n'); n >= 0 {
		lineEnd = start + n
	}
	end := min(max(at.End.Byte, start), lineEnd)
	number := fmt.Sprint(at.Start.Line)
	before, marked, after := o.window(src[lineStart:start], src[start:end], src[end:lineEnd], int(o.Width)-len(number)-5)
	fmt.Fprintf(out, "  %s | %s%s%s\n", number, before, o.paint(color, marked), strings.TrimRight(after, " \t\r\uFFFD"))
	carets := strings.Repeat("^", max(1, utf8.RuneCountInString(marked)))
	fmt.Fprintf(out, "  %*s | %s%s\n", len(number), "", blank(before), o.paint(color, carets))
}

// window cuts a line to columns around what is marked: a file can be one line.
func (o *Printout) window(before, marked, after []byte, columns int) (string, string, string) {
	b, m, a := visible(before, columns, true), visible(marked, columns, false), visible(after, columns, false)
	if over := len(b) + len(m) + len(a) - columns; over > 0 {
		a = a[:max(0, len(a)-over)]
	}
	if over := len(b) + len(m) + len(a) - columns; over > 0 {
		b = b[min(len(b), over):]
	}
	return string(b), string(m), string(a)
}

// visible returns at most n runes of the start or the end of s, printable.
func visible(s []byte, n int, fromEnd bool) []rune {
	if longest := n * utf8.UTFMax; len(s) > longest {
		if fromEnd {
			s = s[len(s)-longest:]
		} else {
			s = s[:longest]
		}
	}
	r := []rune(strings.Map(printable, string(s)))
	if len(r) > n {
		if fromEnd {
			return r[len(r)-n:]
		}
		return r[:n]
	}
	return r
}

// printable keeps terminal escapes, and characters that turn the direction of
// the text, out of what is printed.
func printable(r rune) rune {
	switch {
	case r == '\t' || r == '\n':
		return r
	case unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029':
		return '\uFFFD'
	}
	return r
}

// blank returns white space as wide as s.
func blank(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return r
		case unicode.Is(unicode.Mn, r):
			return -1
		}
		return ' '
	}, s)
}

// enclosing names the blocks around an offset, outermost first.
func enclosing(body hcl.Body, offset int) string {
	var out []string
	for {
		b, ok := body.(*hclsyntax.Body)
		if !ok {
			break
		}
		i := 0
		for i < len(b.Blocks) && !b.Blocks[i].Range().ContainsOffset(offset) {
			i++
		}
		if i == len(b.Blocks) || offset < b.Blocks[i].OpenBraceRange.End.Byte {
			break // outside, or in the header, which is printed anyway
		}
		s := b.Blocks[i].Type
		for _, label := range b.Blocks[i].Labels {
			s += fmt.Sprintf(" %q", clip(label))
		}
		out = append(out, s)
		body = b.Blocks[i].Body
	}
	return strings.Join(out, ", ")
}

// wrap breaks text into lines of at most width bytes, save for longer words.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		switch {
		case line == "":
			line = word
		case len(line)+1+len(word) > width:
			lines = append(lines, line)
			line = word
		default:
			line += " " + word
		}
	}
	if line != "" {
		lines = append(lines, line)
	}
	return lines
}
