package page

import (
	"os"
	"path/filepath"
	"testing"
)

var marks = Marks{"<!-- from -->\n", "<!-- to -->\n"}

func TestWhatIsOutsideOfTheMarksStays(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.md")
	if err := marks.Renew(file, nil); err == nil {
		t.Error("a page that is not there was written")
	}
	for _, text := range []string{"", "no marks", marks.Begin, marks.End + marks.Begin} {
		if _, err := marks.Between([]byte(text), nil); err == nil {
			t.Errorf("%q was taken", text)
		}
	}
	if err := os.WriteFile(file, []byte("before\n"+marks.Begin+"old\n"+marks.End+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it finds its own
		if err := marks.Renew(file, []byte("new\n")); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if want := "before\n" + marks.Begin + "new\n" + marks.End + "after\n"; string(got) != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
