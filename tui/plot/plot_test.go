package plot

import (
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares text with a file in testdata.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name+".txt")
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s (-want +got; -update writes it anew):\n%s", path, diff)
	}
}

func TestCeilingIsTheNextShortNumber(t *testing.T) {
	for _, c := range []struct{ v, want float64 }{
		{0, 1}, {-5, 1}, {math.NaN(), 1}, {math.Inf(1), math.MaxFloat64}, {1, 1}, {1.01, 1.5}, {2, 2}, {2.5, 3}, {7, 8}, {8.5, 10},
		{10, 10}, {999, 1000}, {1001, 1500}, {123456789, 150000000}, {0.3, 0.3}, {0.031, 0.04}, {math.MaxFloat64, math.MaxFloat64},
		{math.SmallestNonzeroFloat64, math.SmallestNonzeroFloat64},
	} {
		if got := Ceiling(c.v); math.Abs(got-c.want) > c.want*1e-9 {
			t.Errorf("%v: got %v, want %v", c.v, got, c.want)
		}
	}
}

func TestAScaleGrowsAtOnceAndShrinksSlowly(t *testing.T) {
	var s Scale
	for i, c := range []struct{ largest, want float64 }{{90, 100}, {140, 150}, {95, 150}, {160, 200}, {math.NaN(), 200}} {
		if got := s.Next(c.largest); got != c.want {
			t.Fatalf("%d: %v: got %v, want %v", i, c.largest, got, c.want)
		}
	}
	for i := 1; i < patience-1; i++ {
		if got := s.Next(10); got != 200 {
			t.Fatalf("after %d: got %v", i, got)
		}
	}
	if got := s.Next(55); got != 60 {
		t.Errorf("got %v, want room for the largest of those that were shown meanwhile, 60", got)
	}
	// What goes up and down around a step does not make it jump.
	var jumps int
	last := s.Next(101)
	for i := range 100 {
		if top := s.Next(99 + float64(i%3)); top != last {
			jumps, last = jumps+1, top
		}
	}
	if jumps > 1 {
		t.Errorf("%d jumps", jumps)
	}
}

func TestSparklines(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		name    string
		values  []float64
		columns int
		top     float64
		with    Glyphs
		want    string
	}{
		{"rises", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}, 9, 8, Unicode, " ▁▂▃▄▅▆▇█"},
		{"ASCII", []float64{0, 1, 2, 3, 4, 5, 6, 7, 8}, 9, 8, ASCII, " .:-=+*#@"},
		{"little is not nothing", []float64{0.0001, 0, 1e9}, 3, 0, Unicode, "▁ █"},
		{"fewer than columns stand at the right", []float64{1, 1}, 4, 0, Unicode, "  ██"},
		{"one column has the peak", []float64{1, 9, 2}, 1, 9, Unicode, "█"},
		{"no column", []float64{1}, 0, 0, Unicode, ""},
		{"less than none", []float64{1}, -3, 0, Unicode, ""},
		{"none", nil, 3, 0, Unicode, "   "},
		{"gaps", []float64{1, nan, 1}, 3, 0, Unicode, "█ █"},
		{"nothing but zeros", []float64{0, 0}, 2, 0, Unicode, "  "},
		{"beyond the top", []float64{math.Inf(1), -1, math.MaxFloat64}, 3, 5, Unicode, "█ █"},
	} {
		if got := Sparkline(Window{Values: c.values}, c.columns, c.top, c.with); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestBars(t *testing.T) {
	for _, c := range []struct {
		part, whole float64
		columns     int
		with        Glyphs
		want        string
	}{
		{0, 10, 4, Unicode, "░░░░"}, {10, 10, 4, Unicode, "████"}, {5, 10, 4, Unicode, "██░░"}, {0.001, 10, 4, Unicode, "▏░░░"},
		{9.999, 10, 4, Unicode, "███▉"}, {20, 10, 2, Unicode, "██"}, {1, 0, 2, Unicode, "░░"}, {math.NaN(), 10, 2, Unicode, "░░"},
		{0, 10, 4, ASCII, "...."}, {0.001, 10, 4, ASCII, "#..."}, {9.999, 10, 4, ASCII, "###."}, {10, 10, 4, ASCII, "####"},
		{5, 10, 4, ASCII, "##.."}, {1, 2, 1, ASCII, "#"}, {1, 2, 0, Unicode, ""}, {1, 2, -1, ASCII, ""},
	} {
		if got := Bar(c.part, c.whole, c.columns, c.with); got != c.want {
			t.Errorf("%v of %v in %d: got %q, want %q", c.part, c.whole, c.columns, got, c.want)
		}
	}
}

// wave is a curve with a peak and a gap.
func wave(n int) Window {
	values := make([]float64, n)
	for i := range values {
		x := float64(i) / float64(max(1, n-1))
		values[i] = 1e6 * x * (1 + math.Sin(14*x)) / 2
		if i > n/3 && i < n/3+n/10 {
			values[i] = math.NaN()
		}
	}
	return Window{Values: values}
}

func bits(v float64) string { return fmt.Sprintf("%.4gb/s", v) }

func text(rows []Row) string {
	var out strings.Builder
	for _, r := range rows {
		out.WriteString(r.Label + r.Plot + "|\n")
	}
	return out.String()
}

func TestCharts(t *testing.T) {
	var out strings.Builder
	for _, c := range []struct {
		name string
		Chart
		Window
	}{
		{"area", Chart{Width: 60, Height: 5, Label: bits}, wave(600)},
		{"area of three lines", Chart{Width: 30, Height: 3, Label: bits}, wave(600)},
		{"line", Chart{Width: 60, Height: 5, Label: bits, Style: Line}, wave(600)},
		{"fewer values than dots", Chart{Width: 60, Height: 4, Label: bits, LabelWidth: 12}, wave(40)},
		{"ASCII area", Chart{Width: 60, Height: 5, Label: bits, Glyphs: ASCII}, wave(600)},
		{"ASCII line", Chart{Width: 60, Height: 5, Label: bits, Glyphs: ASCII, Style: Line}, wave(600)},
		{"without an axis", Chart{Width: 20, Height: 2}, wave(600)},
		{"too narrow for the axis", Chart{Width: 15, Height: 2, Label: bits}, wave(600)},
		{"one line", Chart{Width: 40, Height: 1, Label: bits}, wave(600)},
		{"one column", Chart{Width: 1, Height: 2, Label: bits}, wave(600)},
		{"no column", Chart{Width: 0, Height: 2, Label: bits}, wave(600)},
		{"no values", Chart{Width: 40, Height: 2, Label: bits}, Window{}},
		{"zeros", Chart{Width: 40, Height: 2, Label: bits, Style: Line}, Window{Values: make([]float64, 90)}},
		{"beyond the top", Chart{Width: 40, Height: 2, Label: bits, Top: 5}, Window{Values: []float64{1, 4, 6, math.Inf(1), 1e300, -3}}},
	} {
		fmt.Fprintf(&out, "%s:\n%s\n", c.name, text(c.Draw(c.Window)))
	}
	golden(t, "charts", out.String())
}

func TestChartsHaveExactlyTheirSize(t *testing.T) {
	for width := -1; width < 40; width++ {
		for height := -1; height < 6; height++ {
			for _, with := range []Glyphs{Unicode, ASCII} {
				c := Chart{Width: width, Height: height, Label: bits, Glyphs: with}
				rows := c.Draw(wave(100))
				if len(rows) != max(0, height) {
					t.Fatalf("%dx%d: %d rows", width, height, len(rows))
				}
				for _, r := range rows {
					if got := utf8.RuneCountInString(r.Label + r.Plot); got != max(0, width) {
						t.Fatalf("%dx%d: %d columns in %q", width, height, got, r)
					}
					if with == ASCII && len(r.Label+r.Plot) != max(0, width) {
						t.Fatalf("%q is not ASCII", r)
					}
				}
			}
		}
	}
}

// TestAPictureMovesAndDoesNotShimmer: from one second to the next a column keeps its
// value, or all of them move by one.
func TestAPictureMovesAndDoesNotShimmer(t *testing.T) {
	const columns = 37
	all := make([]float64, 900)
	for i := range all {
		all[i] = float64(i * 7919 % 101)
	}
	at := func(start int) []float64 {
		return resample(Window{Values: all[start : start+600], Start: int64(start)}, columns)
	}
	for start := range 299 {
		now, next := at(start), at(start+1)
		// The last column is under way, and of the first two one may be.
		same := cmp.Equal(now[2:columns-1], next[2:columns-1])
		moved := cmp.Equal(now[3:columns-1], next[2:columns-2])
		if !same && !moved {
			t.Fatalf("second %d:\n%v\n%v", start, now, next)
		}
	}
}

func TestValuesFillWhatIsTheirsOfTheWidth(t *testing.T) {
	for _, c := range []struct {
		values  []float64
		steps   int
		columns int
		want    string
	}{
		{[]float64{1, 2}, 2, 8, "▄▄▄▄████"}, {[]float64{1, 2}, 4, 8, "    ▄▄██"}, {[]float64{2}, 8, 8, "       █"},
		{[]float64{1, 2, 1}, 3, 4, "▄█▄▄"}, {[]float64{1, 2}, 1, 2, "▄█"}, {[]float64{2, 1, 1, 1}, 4, 3, " █▄"}, {nil, 5, 3, "   "},
	} {
		if got := Sparkline(Window{Values: c.values, Steps: c.steps}, c.columns, 2, Unicode); got != c.want {
			t.Errorf("%v of %d in %d: got %q, want %q", c.values, c.steps, c.columns, got, c.want)
		}
	}
}

func TestAPeakIsNeverLost(t *testing.T) {
	for columns := 1; columns < 200; columns++ {
		for _, start := range []int64{0, 1, 59, -7} {
			w := Window{Values: make([]float64, 600), Start: start}
			for i := range w.Values {
				w.Values[i] = 1
			}
			w.Values[int(start+300)%600] = 50
			if got := Largest(resample(w, columns)); got != 50 {
				t.Fatalf("%d columns from %d: the peak is %v", columns, start, got)
			}
		}
	}
}

func BenchmarkDraw(b *testing.B) {
	w := wave(600)
	for _, with := range []Glyphs{Unicode, ASCII} {
		c := Chart{Width: 120, Height: 8, Label: bits, Glyphs: with}
		b.Run(map[Glyphs]string{Unicode: "braille", ASCII: "ascii"}[with], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Draw(w)
			}
		})
	}
}
