package doctest

import "strings"

// Command is one that a page tells its readers to type.
type Command struct {
	// Line of the page, from 1, on which it begins.
	Line int
	// Text is what they type, of several lines where one line alone is none.
	Text string
}

// Typed is the text without a comment behind it that is set off by two spaces or more.
func (c Command) Typed() string {
	text, _, _ := strings.Cut(c.Text, "  #")
	return strings.TrimRight(text, " ")
}

// Commands returns the commands of a page, in their order. A command goes on in the
// next line of its block after a backslash, or where a quote is still open.
func Commands(page string) []Command {
	var (
		all    []Command
		open   bool // the last of all goes on
		fence  string
		before = true // the line before was empty, or of the block
	)
	for number, line := range strings.Split(page, "\n") {
		text, is := "", false
		switch mark := strings.TrimSpace(line); {
		case fence != "" && mark == "```":
			fence, before = "", true
			open = false
			continue
		case fence != "":
			text, is = line, fence == "```sh"
		case strings.HasPrefix(mark, "```"):
			fence = mark
			if fence == "```" {
				fence = "```text"
			}
			continue
		default:
			text, is = strings.CutPrefix(line, "    ")
			is = is && before && mark != "" // a line of a paragraph or a list may be indented too
			before = is || mark == "" || strings.HasPrefix(mark, "<!--")
		}
		switch {
		case !is:
			open = false
		case open:
			last := &all[len(all)-1]
			last.Text += "\n" + text
			open = unfinished(last.Text)
		case strings.TrimSpace(text) != "":
			all = append(all, Command{Line: number + 1, Text: text})
			open = unfinished(text)
		}
	}
	return all
}

// unfinished reports whether a shell would read on after a line.
func unfinished(text string) bool {
	var quote rune
	escaped := false
	for i, r := range text {
		switch {
		case escaped:
			escaped = false
		case r == '\\' && quote != '\'':
			escaped = true
		case quote != 0:
			if r == quote {
				quote = 0
			}
		case r == '\'' || r == '"':
			quote = r
		case r == '#' && (i == 0 || text[i-1] == ' '):
			return false // a comment; none of several lines is on these pages
		}
	}
	return escaped || quote != 0
}

// Words cuts the first simple command of a text into its words as a shell does, without
// a comment and without what is behind a pipe, a redirection or another operator. It
// knows quotes; nothing is expanded.
func Words(text string) []string {
	var (
		words  []string
		word   strings.Builder
		inWord bool
		quote  rune
	)
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	for _, r := range strings.ReplaceAll(text, "\\\n", " ") {
		switch {
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, inWord = r, true
		case r == ' ' || r == '\t' || r == '\n':
			end()
		case strings.ContainsRune("|<>;&", r), r == '#' && !inWord:
			end()
			return words
		default:
			word.WriteRune(r)
			inWord = true
		}
	}
	end()
	return words
}

// Named returns what stands in backticks in the text of a page and begins with one of
// the programs, in its order. Fences are left out.
func Named(page string, programs ...string) []Command {
	var all []Command
	fenced := false
	for number, line := range strings.Split(page, "\n") {
		if strings.HasPrefix(strings.TrimSpace(line), "```") {
			fenced = !fenced
			continue
		}
		if fenced || strings.HasPrefix(line, "    ") {
			continue
		}
		for i, span := range strings.Split(line, "`") {
			program, rest, _ := strings.Cut(span, " ")
			if i%2 == 0 || rest == "" {
				continue
			}
			for _, known := range programs {
				if program == known {
					all = append(all, Command{Line: number + 1, Text: span})
				}
			}
		}
	}
	return all
}
