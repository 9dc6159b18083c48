package reason

import (
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/reasons.md anew")

func TestEveryReasonHasOneNameAMeaningAndARemedy(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9_]+$`)
	seen := map[string]Reason{}
	for r := None; r < Count; r++ {
		if !name.MatchString(r.String()) {
			t.Errorf("reason %d is named %q", r, r)
		}
		if other, twice := seen[r.String()]; twice {
			t.Errorf("reasons %d and %d are both named %q", other, r, r)
		}
		seen[r.String()] = r
		for what, text := range map[string]string{"meaning": r.Meaning(), "remedy": r.Remedy()} {
			if len(text) < 10 || strings.ContainsAny(text, "\n|") {
				t.Errorf("%v: its %s is %q", r, what, text)
			}
		}
	}
}

func TestAnUnknownReasonIsNamedSo(t *testing.T) {
	if r := Reason(255); r.Known() || r.String() != "unknown" || r.Remedy() != "" || r.Meaning() != "" {
		t.Errorf("got %v, %q", r, r.Remedy())
	}
}

// docs/reasons.md is generated, so that it cannot say anything else.
func TestDocsListEveryReason(t *testing.T) {
	const path = "../docs/reasons.md"
	var b strings.Builder
	b.WriteString("# Drop reasons\n\nEvery packet that sttwall drops is counted under one of these names, and every name is the\n" +
		"same in logs, counters and `replay --json`. The table is generated (`make docs`).\n\n" +
		"| name | what was seen | what to do |\n| --- | --- | --- |\n")
	for r := None + 1; r < Count; r++ {
		fmt.Fprintf(&b, "| `%v` | %s | %s |\n", r, r.Meaning(), r.Remedy())
	}
	if *update {
		if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != b.String() {
		t.Errorf("%s is not what the table says; run make docs", path)
	}
}

func ExampleReason() {
	r := SegmentOverlap
	fmt.Println(r)
	fmt.Println(r.Remedy())
	// Output:
	// segment_overlap
	// real endpoints never send this; look at who did
}
