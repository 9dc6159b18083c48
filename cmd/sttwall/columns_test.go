package main

import (
	"strings"
	"testing"
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
