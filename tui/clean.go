package tui

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

// maxMarks is how many combining marks a letter keeps: more of them would climb
// over the lines above and below.
const maxMarks = 2

// clean makes text from outside (names in rules files, filters, errors) safe to
// show on one line: control characters, what turns the direction of writing, and
// what cannot be seen become a replacement character each. What it returns sends no
// escape code and is as wide as [width] says.
func clean(s string) string {
	if isPlain(s) {
		return s
	}
	var out strings.Builder
	marks := 0
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		s = s[size:]
		switch {
		case unicode.In(r, unicode.Mn, unicode.Me):
			if unicode.Is(unicode.Variation_Selector, r) {
				continue // terminals disagree on how wide it makes a letter
			}
			if marks++; marks > maxMarks || out.Len() == 0 {
				continue
			}
		case r == utf8.RuneError, !unicode.IsPrint(r):
			r, marks = utf8.RuneError, 0
		default:
			marks = 0
		}
		out.WriteRune(r)
	}
	return out.String()
}

// cleanLines is clean for text of several lines, with tabs.
func cleanLines(s string) string {
	lines := strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n")
	for i := range lines {
		cells := strings.Split(lines[i], "\t")
		for j := range cells {
			cells[j] = clean(cells[j])
		}
		lines[i] = strings.Join(cells, "\t")
	}
	return strings.Join(lines, "\n")
}

func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// width is how many columns clean text takes.
func width(s string) int {
	if isPlain(s) {
		return len(s)
	}
	return ansi.StringWidth(s)
}

// cut shortens clean text to at most so many columns, and shows that it did.
func cut(s string, columns int) string {
	switch {
	case columns <= 0:
		return ""
	case width(s) <= columns:
		return s
	case columns == 1:
		return "…"
	case isPlain(s):
		return s[:columns-1] + "…"
	}
	return ansi.Truncate(s, columns, "…")
}

// fit cuts or fills clean text to exactly so many columns.
func fit(s string, columns int) string {
	s = cut(s, columns)
	return s + spaces(columns-width(s))
}

// fitRight is fit with the text at the right.
func fitRight(s string, columns int) string {
	s = cut(s, columns)
	return spaces(columns-width(s)) + s
}

const blanks = "                                                                                                    "

func spaces(n int) string {
	switch {
	case n <= 0:
		return ""
	case n <= len(blanks):
		return blanks[:n]
	}
	return strings.Repeat(" ", n)
}

// cutStyled cuts text that has SGR sequences in it.
func cutStyled(s string, columns int) string { return ansi.Truncate(s, columns, "") + toneEnd }

// stripStyles takes SGR sequences away.
func stripStyles(s string) string { return ansi.Strip(s) }

// styledWidth is how many columns text takes that has SGR sequences in it.
func styledWidth(s string) int { return ansi.StringWidth(s) }
