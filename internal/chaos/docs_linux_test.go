package chaos

import (
	"os"
	"strings"
	"testing"
	"time"
)

func TestTheTableHasEachFault(t *testing.T) {
	text, err := os.ReadFile("../../docs/reliability.md")
	if err != nil {
		t.Fatal(err)
	}
	_, table, _ := strings.Cut(string(text), "<!-- chaos: faults -->")
	table, _, _ = strings.Cut(table, "<!-- end of chaos: faults -->")
	for _, name := range Names() {
		if !strings.Contains(table, "| **"+name+"**: ") {
			t.Errorf("%s is not in it: run 'sttwall chaos --write docs/reliability.md'", name)
		}
	}
	if strings.Contains(table, "WRONG") {
		t.Error("it has faults that did not end as they should")
	}
}

func TestABlockIsPutBetweenItsMarks(t *testing.T) {
	const before = "a\n<!-- chaos: x -->\nold\n<!-- end of chaos: x -->\nb\n"
	after, err := Replace(before, "x", "new\n")
	if want := "a\n<!-- chaos: x -->\nnew\n<!-- end of chaos: x -->\nb\n"; err != nil || after != want {
		t.Errorf("%q, %v", after, err)
	}
	if _, err := Replace(before, "y", ""); err == nil {
		t.Error("marks that are not there are no mistake")
	}
}

func TestRowsSayWhatWasOpenedAndWhatArrived(t *testing.T) {
	rows := []Row{
		{Fault: "kill", What: "kill -9", Fails: Absent, Seen: "it was | killed", Asked: 10, Lost: 3, Gap: 20 * time.Millisecond, Sent: 5},
		{Fault: "kill", What: "kill -9", Fails: Absent, Open: Absent, Seen: "it was killed", Asked: 10, Sent: 5, DeniedOpen: 2},
		{Fault: "oom", What: "no memory", Fails: Absent, Skipped: "no cgroup"},
		{Fault: "link", What: "down", Seen: "something", Wrong: "all of it"},
	}
	want := "| **kill**: kill -9 | closed | it was \\| killed | 3 of 10 | 20 ms | - | 0 of 5 |\n" +
		"|  | open: absent | it was killed | 0 of 10 | - | - | 0 of 5; while open 2 |\n" +
		"| **oom**: no memory | closed | not tried: no cgroup | | | | |\n" +
		"| **link**: down | closed | WRONG: all of it | 0 of 0 | - | - | 0 of 0 |\n"
	if got := Markdown(rows); !strings.HasSuffix(got, want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
