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
// what cannot be seen become a replacement character each, as does what terminals
// disagree on how wide it is. What it returns sends no escape code and is as wide as
// [width] says.
func clean(s string) string {
	if isPlain(s) {
		return s
	}
	var out strings.Builder
	marks, base := 0, rune(0) // base is the letter that marks stand on
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
		case r == utf8.RuneError, !unicode.IsPrint(r), joins(base, r):
			r, base, marks = utf8.RuneError, utf8.RuneError, 0
		default:
			base, marks = r, 0
		}
		out.WriteRune(r)
	}
	return out.String()
}

// joins reports whether a character makes one with those beside it for some
// terminals, and not for others: flags, tones of skin, vowels and syllables of some
// scripts.
func joins(before, r rune) bool {
	if isDrawn(before) && isDrawn(r) {
		return false
	}
	all := string([]rune{before, r, 'x'}) // some join with what follows
	if before == 0 {
		all = all[1:]
	}
	return ansi.StringWidth(all) != ansi.StringWidthWc(all)
}

// isDrawn reports whether a character is of ASCII, or one of which plots are made.
func isDrawn(r rune) bool {
	return r < utf8.RuneSelf || r >= 0x2500 && r < 0x25a0 || r >= 0x2800 && r < 0x2900
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

// skip leaves the first columns of clean text out. Of a letter that is only half in
// them a blank is left.
func skip(s string, columns int) string {
	for i, r := range s {
		w := width(string(r))
		if columns <= 0 && w > 0 {
			return spaces(-columns) + s[i:]
		}
		columns -= w
	}
	return spaces(-columns)
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
