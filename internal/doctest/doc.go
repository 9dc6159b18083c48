// Package doctest finds in pages of Markdown what a test can try: the commands that
// readers are told to type, and the links that they are told to follow.
//
//	page -> Commands: blocks that are indented, or fenced as "sh", line by line
//	     -> Named:    programs that the text names in backticks
//	     -> Links, Anchors
//
// The convention of the pages: an indented block holds commands and nothing else. What
// is no command (a rules file, output, a picture) stands in a fence that says what it
// is. It is Markdown as these pages use it, not all of Markdown.
//
// What is tried goes through [Follow], and in a process that [Seal] keeps from the host's
// files. What is not here: whether a command works, and where it is tried (the tests of
// cmd/sttwall and of bench).
//
// The functions that read pages are pure, and may be called from many goroutines.
package doctest
