package doctor

import (
	"encoding/json"
	"strings"
)

// Command is a program and its arguments.
type Command []string

// command takes words that have no spaces.
func command(words string) Command { return strings.Fields(words) }

// String writes it as a shell takes it.
func (c Command) String() string {
	words := make([]string, len(c))
	for i, w := range c {
		if w == "" || strings.ContainsFunc(w, special) {
			w = "'" + strings.ReplaceAll(w, "'", `'\''`) + "'"
		}
		words[i] = w
	}
	return strings.Join(words, " ")
}

// special reports whether a character may mean something to a shell.
func special(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=:,+@%", r))
}

// MarshalJSON writes it as one string.
func (c Command) MarshalJSON() ([]byte, error) { return json.Marshal(c.String()) }

// sysctl sets one; names are those of files below proc/sys, where an interface's name may
// have a dot.
func sysctl(path, value string) Command {
	return Command{"sysctl", "-w", strings.TrimPrefix(path, "proc/sys/") + "=" + value}
}
