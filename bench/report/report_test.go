package main

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"sttwall/bench/rows"
)

var update = flag.Bool("update", false, "write the expected files anew")

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s differs: go test ./report -update, and look at the difference\n%s", file, got)
	}
}

// measured are rows of short rounds; one has lost packets, one has an error, and one was
// faster than the source.
func measured(t *testing.T) []rows.Row {
	t.Helper()
	in, err := os.Open("testdata/rows.json")
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	list, err := rows.Read(in)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestTheTablesSayWhatWasMeasured(t *testing.T) {
	got := newFigures(measured(t)).markdown()
	golden(t, "tables.md", got)
	for _, line := range strings.Split(string(got), "\n") {
		if strings.HasPrefix(line, "|") && (strings.Contains(line, "NaN") || strings.Contains(line, "Inf")) {
			t.Errorf("no figure: %s", line)
		}
	}
}

func TestThePicturesShowWhatWasMeasured(t *testing.T) {
	for name, c := range newFigures(measured(t)).charts() {
		golden(t, name, c.SVG())
	}
}

// What has no row is left out, whatever it is.
func TestFewRowsMakeAPageToo(t *testing.T) {
	all := measured(t)
	for n := range all {
		f := newFigures(all[n : n+1])
		if text := string(f.markdown()); strings.Contains(text, "NaN") || strings.Contains(text, "Inf") {
			t.Errorf("row %d: %s", n, text)
		}
		for name, c := range f.charts() {
			if svg := c.SVG(); !bytes.HasSuffix(svg, []byte("</svg>\n")) || bytes.Contains(svg, []byte("NaN")) {
				t.Errorf("row %d: %s: %s", n, name, svg)
			}
		}
	}
}

func TestAGoalIsReachedByItsFigure(t *testing.T) {
	for _, tt := range []struct {
		goal                    goal
		wanted, figure, verdict string
	}{
		{goal{least: 0.88, aim: 0.95, is: 0.96}, "0.95, at least 0.88", "0.960", "yes"},
		{goal{least: 0.88, aim: 0.95, is: 0.9496}, "0.95, at least 0.88", "0.950", "the least, not the goal"},
		{goal{least: 0.88, aim: 0.95, is: 0.87, more: true}, "0.95, at least 0.88", "≥ 0.870", "no"},
		{goal{least: 0.88, aim: 0.95, is: 1.2, less: true}, "0.95, at least 0.88", "≤ 1.20", "not known"},
		{goal{least: 0.88, aim: 0.95, is: 0.9, less: true}, "0.95, at least 0.88", "≤ 0.900", "not known"},
		{goal{least: 0.88, aim: 0.95, is: 0.87, less: true}, "0.95, at least 0.88", "≤ 0.870", "no"},
		{goal{least: 0.88, is: 1, more: true, less: true}, "at least 0.88", "? 1.00", "not known"},
		{goal{least: 6, is: 5.9}, "at least 6", "5.9", "no"},
		{goal{least: 2, is: 1.1, note: "why"}, "at least 2", "1.10", "no: why"},
		{goal{least: 20, is: 20}, "at least 20", "20.0", "yes"},
		{goal{most: 1.5, is: 1.5}, "at most 1.5", "1.50", "yes"},
		{goal{most: 0.1, is: 0.016}, "at most 0.1", "0.016", "yes"},
		{goal{most: 0.1, is: 0.11}, "at most 0.1", "0.110", "no"},
	} {
		if a, b, c := tt.goal.wanted(), tt.goal.figure(), tt.goal.verdict(); a != tt.wanted || b != tt.figure || c != tt.verdict {
			t.Errorf("%+v: %q, %q, %q; want %q, %q, %q", tt.goal, a, b, c, tt.wanted, tt.figure, tt.verdict)
		}
	}
}

func TestAGoalKnowsWhomTheSourceLimits(t *testing.T) {
	for _, tt := range []struct {
		one, other float64 // how often the source waited
		want       string
	}{{1, 1, "0.950"}, {0, 1, "≥ 0.950"}, {1, 0, "≤ 0.950"}, {0, 0, "? 0.950"}} {
		f := newFigures([]rows.Row{
			{Variant: "c_batch", Packet: "150", Queues: 1, Flows: 1000, PPS: 100, Waited: tt.other},
			{Variant: own, Packet: "150", Queues: 1, Flows: 1000, PPS: 95, Waited: tt.one},
		})
		if g := f.goalList()[0]; g.figure() != tt.want {
			t.Errorf("waited %v and %v: %s, want %s", tt.one, tt.other, g.figure(), tt.want)
		}
	}
}

func TestARatioIsOfRoundsOfOneCell(t *testing.T) {
	a := rows.Row{Variant: "a", Packet: "150", Queues: 1, Flows: 1000, PPS: 20, Each: []float64{10, 20, 100}}
	b := rows.Row{Variant: "b", Packet: "150", Queues: 1, Flows: 1000, PPS: 10, Each: []float64{10, 5, 100}}
	other := b
	other.Flows = 1
	f := newFigures([]rows.Row{a, b, other})
	if got := f.of(usual("a", "150"), usual("b", "150")); got != 1 {
		t.Errorf("in one cell: %v, want the median of 1, 4 and 1", got)
	}
	if got := f.of(usual("a", "150"), key{"b", "150", 1, 1}); got != 2 {
		t.Errorf("in two cells: %v, want 20 of 10", got)
	}
	if got := f.of(usual("a", "150"), usual("c", "150")); got != 0 {
		t.Errorf("of nobody: %v", got)
	}
}

// Ratios to forwarding that has no figures are none.
func TestNothingIsComparedWithForwardingThatFailed(t *testing.T) {
	for name, fail := range map[string]func(*rows.Row){
		"lost": func(r *rows.Row) { r.Lost = 3 }, "error": func(r *rows.Row) { r.Error = "it ended" },
	} {
		list := measured(t)
		for i := range list {
			if r := &list[i]; r.Variant == "forward" && r.Packet == "150" && r.Queues == 1 && r.Flows == 1000 {
				fail(r)
			}
		}
		text := string(newFigures(list).markdown())
		for _, want := range []string{"| `c_batch` | - | 0.37 | 0.38 | 0.35 | 0.50 |", "| `c_batch` | 2,606 | 1,979 |", "| `c_batch` | 0.30, 2,555 ns | -, 2,606 ns | 0.28, 2,743 ns |"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %s in\n%s", name, want, text)
			}
		}
		svg := string(newFigures(list).charts()["performance-throughput.svg"].SVG())
		if want := ">- · 307,000/s<"; !strings.Contains(svg, want) {
			t.Errorf("%s: no %s in\n%s", name, want, svg)
		}
	}
}

func TestThePageKeepsWhatIsOutsideOfTheMarks(t *testing.T) {
	docs := t.TempDir()
	if err := os.Mkdir(filepath.Join(docs, "pictures"), 0o755); err != nil {
		t.Fatal(err)
	}
	page := filepath.Join(docs, "performance.md")
	if err := run("testdata/rows.json", docs); err == nil {
		t.Error("a page that is not there was written")
	}
	if err := os.WriteFile(page, []byte("before\n"+marks.Begin+"old\n"+marks.End+"after\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := "before\n" + marks.Begin + string(newFigures(measured(t)).markdown()) + marks.End + "after\n"
	if err := run("testdata/rows.json", docs); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s", got)
	}
	for name := range newFigures(measured(t)).charts() {
		if _, err := os.Stat(filepath.Join(docs, "pictures", name)); err != nil {
			t.Error(err)
		}
	}
}

// The page of this repository can be written anew.
func TestTheDocumentationHasTheMarks(t *testing.T) {
	page, err := os.ReadFile("../../docs/performance.md")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := marks.Between(page, nil); err != nil {
		t.Error(err)
	}
}
