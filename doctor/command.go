package doctor

import (
	"encoding/json"
	"fmt"
	"strings"
)

// Command is a program and its arguments.
type Command []string

// command takes words that have no spaces; values go in place of %s and %d in them, each
// into one word, whatever is in it. It is nil where a value could mean more to the program
// than a name: kernels let interfaces, tables and chains be called nearly anything, and
// nft takes its words for a script, sysctl for patterns.
func command(words string, values ...any) Command {
	c := Command(strings.Fields(words))
	for i, w := range c {
		n := strings.Count(w, "%")
		for _, v := range values[:n] {
			if name, ok := v.(string); ok && !trusted(name) {
				return nil
			}
		}
		if n > 0 {
			c[i], values = fmt.Sprintf(w, values[:n]...), values[n:]
		}
	}
	return c
}

// trusted reports whether a name is nothing but a name to every program.
func trusted(name string) bool {
	return name != "" && name[0] != '-' && !strings.ContainsFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./@", r))
	})
}

// noCommand is said where names are not trusted.
const noCommand = "No command is given: a name in it could mean something else to the program"

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
	return command("sysctl -w %s=%s", strings.TrimPrefix(path, "proc/sys/"), value)
}
