package nearest

import "testing"

func TestASlipOfTheKeyboardFindsItsWord(t *testing.T) {
	words := []string{"source", "destination", "services", "action"}
	for _, c := range []struct{ given, want string }{
		{"sorce", "source"},
		{"Source", "source"},
		{"osurce", "source"},
		{"actions", "action"},
		{"acton", "action"},
		{"destnation", "destination"},
		{"colour", ""},
		{"", ""},
		{"sourcesourcesourcesourcesourcesourcesourcesourcesourcesourcesourcesource", ""},
	} {
		if got := Of(c.given, words); got != c.want {
			t.Errorf("Of(%q) = %q, want %q", c.given, got, c.want)
		}
	}
	if got := Of("sorce", nil); got != "" {
		t.Errorf("without words: %q", got)
	}
}
