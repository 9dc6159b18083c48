package messages

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestSentencesAreFoundWithWhatIsPutIn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.go")
	source := "package x\n\nimport \"fmt\"\n\nvar a = fmt.Sprintf(\"Expected %5d%% of %q.\", 1, b) + \"word\"\nvar b = \"Leave \" + a + \" out.\"\nvar c = 1 + 2\n"
	if err := os.WriteFile(path, []byte(source), 0o600); err != nil {
		t.Fatal(err)
	}
	found, err := In(path, regexp.MustCompile(`^[A-Z]`))
	if err != nil || len(found) != 2 {
		t.Fatalf("got %v, %v", found, err)
	}
	for i, tt := range []struct{ text, shows, not string }{
		{"Expected %5d%% of %q.", `Error: Expected 70% of "all".`, `Expected 70 of "all".`},
		{"Leave %s out.", "Leave it out.", "Leave out."},
	} {
		m := found[i]
		if m.Text != tt.text || m.At.Line != 5+i {
			t.Errorf("got %+v, want %q", m, tt.text)
		}
		if p := m.Pattern(); !p.MatchString(tt.shows) || p.MatchString(tt.not) {
			t.Errorf("%q matches %q: %t, and %q: %t", p, tt.shows, p.MatchString(tt.shows), tt.not, p.MatchString(tt.not))
		}
	}
}

func TestWhatIsNoGoIsAnError(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.go")
	if err := os.WriteFile(path, []byte("no go"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := In(path, regexp.MustCompile("")); err == nil {
		t.Errorf("got %v", found)
	}
}
