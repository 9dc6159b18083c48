package tui

import (
	"testing"

	"github.com/charmbracelet/x/ansi"
)

// Terminals disagree on how wide a letter is with what joins it: half of them count
// clusters, and half count each rune.
func TestCleanTextIsAsWideForTerminalsOfBothKinds(t *testing.T) {
	wrong := 0
	for r := rune(0x80); r < 0x20000; r++ {
		for _, s := range []string{"a" + string(r) + "b", "क" + string(r) + string(r) + "東" + string(r), "\u1100" + string(r), string(r) + "\u0301\u1100"} {
			c := clean(s)
			if clusters, runes := ansi.StringWidth(c), ansi.StringWidthWc(c); clusters != runes {
				if wrong++; wrong < 20 {
					t.Errorf("%+q becomes %+q: %d columns by clusters, and %d by runes", s, c, clusters, runes)
				}
			}
		}
	}
	if wrong > 0 {
		t.Errorf("and so on: %d in all", wrong)
	}
}
