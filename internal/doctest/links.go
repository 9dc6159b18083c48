package doctest

import (
	"regexp"
	"strings"
	"unicode"
)

// Link is one to another page or place of the repository.
type Link struct {
	// Line of the page, from 1.
	Line int
	// Path is relative to the page's folder; empty for a place on the page itself.
	Path string
	// Anchor is behind the #, if there is one.
	Anchor string
}

var (
	link     = regexp.MustCompile(`\]\(([^()\s]+)\)`)
	code     = regexp.MustCompile("`[^`]*`")
	linkText = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
	named    = regexp.MustCompile(`<a (?:id|name)="([^"]+)"`)
)

// Links returns the links of a page that do not lead to another host.
func Links(page string) []Link {
	var all []Link
	for number, line := range text(page) {
		for _, found := range link.FindAllStringSubmatch(code.ReplaceAllString(line, ""), -1) {
			if strings.Contains(found[1], "://") || strings.HasPrefix(found[1], "mailto:") {
				continue
			}
			path, anchor, _ := strings.Cut(found[1], "#")
			all = append(all, Link{Line: number, Path: path, Anchor: anchor})
		}
	}
	return all
}

// Anchors returns the places of a page that a link can name: its headings, as GitHub
// writes them, and its named anchors.
func Anchors(page string) map[string]bool {
	all := map[string]bool{}
	for _, line := range text(page) {
		for _, found := range named.FindAllStringSubmatch(line, -1) {
			all[found[1]] = true
		}
		heading := strings.TrimLeft(line, "#")
		if len(heading) == len(line) || !strings.HasPrefix(heading, " ") {
			continue
		}
		name := slug(heading)
		for unique, n := name, 1; ; n++ {
			if !all[unique] {
				all[unique] = true
				break
			}
			unique = name + "-" + string(rune('0'+n))
		}
	}
	return all
}

// slug is the anchor of a heading.
func slug(heading string) string {
	heading = linkText.ReplaceAllString(strings.TrimSpace(heading), "$1")
	return strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r), unicode.IsDigit(r), r == '-', r == '_':
			return unicode.ToLower(r)
		case r == ' ':
			return '-'
		}
		return -1
	}, heading)
}

// text yields the lines of a page outside of fences and indented blocks, with their numbers.
func text(page string) func(yield func(int, string) bool) {
	return func(yield func(int, string) bool) {
		fenced := false
		for number, line := range strings.Split(page, "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
				continue
			}
			if !fenced && !strings.HasPrefix(line, "    ") && !yield(number+1, line) {
				return
			}
		}
	}
}
