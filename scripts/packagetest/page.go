package main

import (
	"fmt"
	"slices"
	"strings"

	"sttwall/internal/doctest"
)

// elsewhere are what commands of docs/packages.md begin with that are not typed here.
var elsewhere = []string{
	"make packages",  // scripts/packages-test builds them
	"make build && ", // an image
}

// types types a command of docs/packages.md as it stands there: the one that begins so. It
// does so in the root, in a folder of that, and says yes where it is asked.
func (s *scenario) types(beginning, folder string) (string, error) {
	all := doctest.Commands(s.Page)
	i := slices.IndexFunc(all, func(c doctest.Command) bool { return strings.HasPrefix(c.Text, beginning) })
	if i < 0 {
		return "", fmt.Errorf("docs/packages.md has no %q", beginning)
	}
	if !slices.Contains(s.typed, all[i].Text) {
		s.typed = append(s.typed, all[i].Text)
	}
	return s.inRoot(folder, "/bin/sh", "-c", all[i].Text)
}

// typedAll reports what the page has and nobody has typed.
func (s *scenario) typedAll() error {
	for _, c := range doctest.Commands(s.Page) {
		if slices.Contains(s.typed, c.Text) || slices.ContainsFunc(elsewhere, func(e string) bool { return strings.HasPrefix(c.Text, e) }) {
			continue
		}
		return fmt.Errorf("docs/packages.md:%d: %q is not typed here: it has no part in the scenario", c.Line, c.Text)
	}
	s.say("the %d commands of docs/packages.md for this were typed as they stand there", len(s.typed))
	return nil
}
