package metrics

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of docs/metrics.md anew")

func TestTheReferenceListsEveryMetric(t *testing.T) {
	const path, begin, end = "../docs/metrics.md", "<!-- metrics -->\n", "<!-- end of metrics -->"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(text), begin)
	got, after, closed := strings.Cut(rest, end)
	if !ok || !closed {
		t.Fatal("docs/metrics.md has no place for the table")
	}
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+Reference()+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(got, Reference()); diff != "" {
		t.Errorf("docs/metrics.md is not what is scraped (run make docs):\n%s", diff)
	}
}
