package main

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

func TestRemediesKeepToTheWidthOfATerminal(t *testing.T) {
	const long = "see which tenant it was; a last rule with action drop and log = true names each frame; add a rule if they should pass"
	got := wrapped(long, "    > ", "      ")
	want := "    > see which tenant it was; a last rule with action drop and log = true names\n" +
		"      each frame; add a rule if they should pass\n"
	if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	if word := strings.Repeat("x", 100); wrapped(word, "> ", "  ") != "> "+word+"\n" {
		t.Error(wrapped(word, "> ", "  "))
	}
}

func TestHelpKeepsToTheWidthOfATerminal(t *testing.T) {
	commands := newRootCommand(streams{}).Commands()
	if len(commands) < 20 {
		t.Fatalf("%d commands", len(commands))
	}
	for _, args := range append([]*cobra.Command{{Use: ""}}, commands...) {
		status, out, stderr := sttwall(append(strings.Fields(args.Name()), "--help")...)
		if status != statusFine || !strings.Contains(out, "Usage:\n") {
			t.Errorf("%s: status %d, %s%s", args.Name(), status, out, stderr)
		}
		for line := range strings.Lines(out) {
			// A default value may be one long word: the path of the socket.
			if utf8.RuneCountInString(line) > textWidth+1 && len(strings.Fields(line)) > 1 {
				t.Errorf("%s: %d columns: %s", args.Name(), len(line)-1, line)
			}
		}
	}
}

func TestColumnsAreAlignedByWhatTheirLettersTakeOnATerminal(t *testing.T) {
	var c columns
	c.row("FILE", "LINE")
	c.row("規則.hcl", 7) // two columns for each of the first two
	c.row("e\u0301.hcl", 12)
	if got, want := strings.Join(c.lines(), ""), "FILE      LINE\n規則.hcl  7\ne\u0301.hcl     12\n"; got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}
